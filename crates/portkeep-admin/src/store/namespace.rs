//! Network namespaces: which one the calling thread is in, and how to get into another.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use nix::sched::{CloneFlags, setns};

use crate::error::{Error, ErrorKind};
use crate::store::scope::Scope;

/// Where `ip netns add` puts names.
const NAMES: &str = "/run/netns";

const HINT: &str = "use a name that `ip netns` lists, a path, or the ID of a process in it";

/// The network namespace that the calling thread is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// How the store writes it.
    pub scope: Scope,
    /// `SO_NETNS_COOKIE`
    pub cookie: u64,
    /// The boot.
    pub boot: String,
}

impl Namespace {
    /// The one that the thread is in, without its name.
    pub fn current(scope: Scope) -> Result<Namespace, Error> {
        Ok(Namespace {
            scope,
            cookie: portkeep::netns_cookie()
                .map_err(|error| Error::system("identifying the network namespace", error))?,
            boot: boot()?,
        })
    }

    /// Its identity, whatever it is called.
    pub fn identity(&self) -> Scope {
        self.identity_of(self.cookie)
    }

    /// That of another one in the same boot.
    pub fn identity_of(&self, cookie: u64) -> Scope {
        Scope::Living {
            cookie,
            boot: self.boot.clone(),
        }
    }

    /// The path at which it is found, if it has one.
    pub fn path(&self) -> Option<PathBuf> {
        match &self.scope {
            Scope::At(path) => Some(path.clone()),
            _ => None,
        }
    }
}

/// The random id that the kernel gives itself at each boot.
pub(crate) fn boot() -> Result<String, Error> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let text = fs::read_to_string(path).map_err(|error| Error::path("reading", path, error))?;
    Ok(text.trim().to_owned())
}

/// Moves the calling thread into the network namespace of a name as `ip netns` has them, of a path
/// or of a process id. Gives how the store is to write it.
///
/// # Errors
///
/// If there is none ([`ErrorKind::UnknownName`]), or without `CAP_SYS_ADMIN` over it.
pub fn enter(name: &str) -> Result<Scope, Error> {
    let path = path_of(name);
    let unknown = |error: io::Error| match error.raw_os_error() {
        Some(libc::ENOENT) => Error::new(
            ErrorKind::UnknownName,
            format!("there is no network namespace {name}"),
        )
        .with_hint(HINT),
        _ => Error::path("opening", &path, error),
    };
    let file = File::open(&path).map_err(unknown)?;
    setns(&file, CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
        nix::errno::Errno::EINVAL => Error::new(
            ErrorKind::UnknownName,
            format!("{} is not a network namespace", path.display()),
        )
        .with_hint(HINT),
        _ => Error::system(
            format!("entering the network namespace {name}"),
            errno.into(),
        ),
    })?;
    if path.starts_with("/proc") {
        let Namespace { cookie, boot, .. } = Namespace::current(Scope::Home)?;
        return Ok(named(&file)?.unwrap_or(Scope::Living { cookie, boot }));
    }
    let path = fs::canonicalize(&path).map_err(|error| Error::path("looking at", &path, error))?;
    Ok(Scope::At(path))
}

fn path_of(name: &str) -> PathBuf {
    let is_pid = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let names = Path::new(NAMES).join(name);
    if name.contains('/') {
        name.into()
    } else if is_pid && !names.exists() {
        format!("/proc/{name}/ns/net").into()
    } else {
        names
    }
}

/// The scope of the thread's own network namespace, where nothing was said about it: home, but for
/// one that has a name, in which `ip netns exec` runs commands.
pub fn own_scope() -> Result<Scope, Error> {
    let path = Path::new("/proc/thread-self/ns/net");
    let file = File::open(path).map_err(|error| Error::path("opening", path, error))?;
    Ok(named(&file)?.unwrap_or_default())
}

/// By its name, if it has one.
fn named(namespace: &File) -> Result<Option<Scope>, Error> {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let wanted = namespace
        .metadata()
        .map(identity)
        .map_err(|error| Error::system("looking at the network namespace", error))?;
    let Ok(names) = fs::read_dir(NAMES) else {
        return Ok(None);
    };
    let found = names
        .flatten()
        .map(|entry| entry.path())
        .find(|path| fs::metadata(path).is_ok_and(|metadata| identity(metadata) == wanted));
    Ok(found.map(Scope::At))
}

/// Runs `work` in the network namespace at a path, in a thread of its own: this thread stays where
/// it is. `None` if there is no namespace any more.
pub fn within<T: Send>(
    path: &Path,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<Option<T>, Error> {
    let Some(name) = path.to_str().filter(|_| path.exists()) else {
        return Ok(None);
    };
    thread::scope(|scope| {
        scope
            .spawn(|| enter(name).and_then(|_| work()))
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
    .map(Some)
}

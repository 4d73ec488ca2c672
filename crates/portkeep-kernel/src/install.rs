//! Installing, and upgrading in place.

use std::fs::{self, DirBuilder};
use std::mem::MaybeUninit;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::cgroup::Cgroup;
use crate::error::{Error, ErrorKind};
use crate::layout::{Bpffs, Layout, Location};
use crate::lock::InstallLock;
use crate::settings::Settings;
use crate::{features, links, object, proof, remove, sys};

/// The ports that wildcard requests are served from: above Linux's default automatic range.
const DEFAULT_POOL: (u16, u16) = (61000, 65535);

/// How to install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallOptions {
    /// Where.
    pub location: Location,
    /// The first and the last port that wildcard requests are served from.
    pub pool: (u16, u16),
    /// The cgroups whose processes can make the control calls; none: where the programs are
    /// attached. Elsewhere socket options cost what they cost without Portkeep.
    pub control: Vec<PathBuf>,
}

impl Default for InstallOptions {
    fn default() -> InstallOptions {
        InstallOptions {
            location: Location::default(),
            pool: DEFAULT_POOL,
            control: Vec::new(),
        }
    }
}

/// What [`install`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Whether Portkeep was there already and its programs were replaced; reservations stay.
    pub upgraded: bool,
    /// Whether the BPF file system was mounted for it.
    pub mounted_bpffs: bool,
    /// Where the programs are attached.
    pub cgroup: PathBuf,
    /// Where things are pinned.
    pub layout: Layout,
}

/// Installs the kernel part, or upgrades the one that is there.
///
/// Before anything is changed, the programs prove on this kernel that they see every kind of bound
/// socket (see `proof.rs`): in a cgroup and a network namespace of their own.
///
/// # Errors
///
/// Nothing is left behind by a failed first installation; a failed upgrade leaves the old programs
/// or the new ones attached at each hook, with every reservation in force.
pub fn install(options: &InstallOptions) -> Result<Installed, Error> {
    require_pool(options.pool)?;
    let cgroup_path = options.location.find_cgroup()?;
    let cgroup = Cgroup::open(&cgroup_path)?;
    let control = open_control(options, &cgroup_path)?;
    features::require_all().map_err(privilege_first)?;
    proof::prove(&cgroup_path)?;

    let bpffs = options.location.find_bpffs()?;
    if !bpffs.mounted {
        sys::mount_bpffs(&bpffs.path)
            .map_err(|error| Error::path("mounting a BPF file system at", &bpffs.path, error))?;
    }
    let result = install_into(options, &bpffs, &cgroup, &control);
    if result.is_err() && !bpffs.mounted {
        let _ = sys::unmount(&bpffs.path);
    }
    let upgraded = result?;
    Ok(Installed {
        upgraded,
        mounted_bpffs: !bpffs.mounted,
        cgroup: cgroup_path,
        layout: bpffs.layout(),
    })
}

fn require_pool((start, end): (u16, u16)) -> Result<(), Error> {
    if start == 0 || start > end {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("{start}-{end} is no port range for a pool"),
        )
        .with_hint("the first port is at least 1 and not above the last, as in 61000-65535"));
    }
    Ok(())
}

fn open_control(options: &InstallOptions, cgroup: &Path) -> Result<Vec<Cgroup>, Error> {
    if options.control.is_empty() {
        return Ok(vec![Cgroup::open(cgroup)?]);
    }
    let top = fs::canonicalize(cgroup).map_err(|error| Error::path("looking at", cgroup, error))?;
    options
        .control
        .iter()
        .map(|path| {
            let below = fs::canonicalize(path)
                .map_err(|error| Error::path("looking at", path, error))?
                .starts_with(&top);
            if !below {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!(
                        "the control cgroup {} is not in {}",
                        path.display(),
                        top.display()
                    ),
                )
                .with_hint("what is reserved there would not be enforced there"));
            }
            Cgroup::open(path)
        })
        .collect()
}

/// Without privilege no feature can be tried out: say that rather than that it is missing.
fn privilege_first(error: Error) -> Error {
    if sys::is_root() {
        return error;
    }
    Error::system(
        "installing the kernel part",
        std::io::Error::from_raw_os_error(libc::EPERM),
    )
}

/// Whether something was there before.
fn install_into(
    options: &InstallOptions,
    bpffs: &Bpffs,
    cgroup: &Cgroup,
    control: &[Cgroup],
) -> Result<bool, Error> {
    let _lock = InstallLock::take(&bpffs.path)?;
    let layout = bpffs.layout();
    let settings_map = layout.map("settings");
    let mut settings = Settings::new(options.pool, !bpffs.mounted);
    let upgraded = settings_map.exists();
    if upgraded {
        let before = Settings::read(&settings_map)?;
        before.require_own_version()?;
        settings.mounted_bpffs |= before.mounted_bpffs;
        settings.opened_bpffs |= before.opened_bpffs;
    }
    let result = make_everything(&mut settings, bpffs, &layout, cgroup, control);
    if result.is_err() && !upgraded {
        let _ = remove::remove_pins(&layout);
    }
    result.map(|()| upgraded)
}

fn make_everything(
    settings: &mut Settings,
    bpffs: &Bpffs,
    layout: &Layout,
    cgroup: &Cgroup,
    control: &[Cgroup],
) -> Result<(), Error> {
    settings.opened_bpffs |= open_for_all(&bpffs.path)?;
    make_directory(layout.root(), 0o755)?;
    make_directory(&layout.maps(), 0o700)?;
    make_directory(&layout.links(), 0o700)?;
    let mut storage = MaybeUninit::uninit();
    let skeleton = object::load(&mut storage, Some(layout))?;
    settings.write(&skeleton.maps.settings)?;
    links::put_all(&skeleton, layout, cgroup, control)
}

fn make_directory(path: &Path, mode: u32) -> Result<(), Error> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        result => result.map_err(|error| Error::path("making", path, error))?,
    }
    // The umask may have taken bits away.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|error| Error::path("setting the mode of", path, error))
}

/// The list is for everybody, but systemd mounts the BPF file system with mode 0700. Lets others
/// pass through its root, without a look at what is in it; what is pinned keeps its own modes.
fn open_for_all(bpffs: &Path) -> Result<bool, Error> {
    let failed = |error| Error::path("letting everybody pass", bpffs, error);
    let mode = fs::metadata(bpffs).map_err(failed)?.permissions().mode();
    if mode & 0o001 != 0 {
        return Ok(false);
    }
    fs::set_permissions(bpffs, fs::Permissions::from_mode(mode & 0o7777 | 0o011))
        .map_err(failed)?;
    Ok(true)
}

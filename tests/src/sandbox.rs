//! The sandbox as the body of a root trial sees it.

use std::env;
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};

use crate::{loopback, machine};

/// Where Portkeep attaches; the `portkeep` command reads it too, as the two below.
pub(crate) const CGROUP: &str = "PORTKEEP_CGROUP";
/// Where Portkeep pins.
pub(crate) const BPFFS: &str = "PORTKEEP_BPFFS";
/// Where Portkeep keeps its store.
pub(crate) const STATE_DIR: &str = "PORTKEEP_STATE_DIR";

/// Where the records of held reservations are.
pub(crate) const RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";

/// The leaf below the attach point where the body's processes are.
pub(crate) const INSIDE: &str = "inside";

/// What a root trial has for itself: a cgroup, a network namespace with `lo` up, a mount namespace
/// with a bpffs, a state directory, and runtime directories. `PORTKEEP_CGROUP`, `PORTKEEP_BPFFS`,
/// `PORTKEEP_STATE_DIR` and `XDG_RUNTIME_DIR` are set to it, for the commands that the body runs. All
/// goes with the trial.
#[derive(Debug)]
pub struct Sandbox {
    cgroup: PathBuf,
    bpffs: PathBuf,
    state_dir: PathBuf,
}

impl Sandbox {
    /// Puts this process, which the supervisor has started in its cgroup, into the namespaces.
    pub(crate) fn enter() -> io::Result<Self> {
        let sandbox = Self {
            cgroup: path(CGROUP)?,
            bpffs: path(BPFFS)?,
            state_dir: path(STATE_DIR)?,
        };
        umask(Mode::from_bits_truncate(0o022));
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)?;
        let (none, private) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
        mount(none, "/", none, private, none)?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(
            Some("bpf"),
            &sandbox.bpffs,
            Some("bpf"),
            flags,
            Some("mode=0755"),
        )?;
        loopback::up()?;
        machine::look();
        Ok(sandbox)
    }

    /// The cgroup to attach to. The body's processes are in the leaf `inside` below it.
    #[must_use]
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// The leaf below [`cgroup`](Self::cgroup) where the body runs.
    #[must_use]
    pub fn inside_cgroup(&self) -> PathBuf {
        self.cgroup.join(INSIDE)
    }

    /// A cgroup beside the attach point, which the kernel part does not reach.
    #[must_use]
    pub fn outside_cgroup(&self) -> PathBuf {
        let outside = outside(&self.cgroup);
        match fs::create_dir(&outside) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                panic!("make {}: {error}", outside.display())
            }
            _ => outside,
        }
    }

    /// The sandbox's bpffs, which every user may read.
    #[must_use]
    pub fn bpffs(&self) -> &Path {
        &self.bpffs
    }

    /// The state directory, empty at first.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }
}

/// What `XDG_RUNTIME_DIR` is to be for a user other than root in this process's sandbox.
///
/// # Panics
///
/// Outside a sandbox.
#[must_use]
pub fn runtime_dir(uid: u32) -> PathBuf {
    make_runtime_dir(uid).expect("a runtime directory")
}

pub(crate) fn make_runtime_dir(uid: u32) -> io::Result<PathBuf> {
    // Outside a sandbox the variable would lead to the user's own.
    path(STATE_DIR)?;
    let directory = path(RUNTIME_DIR)?.with_extension(uid.to_string());
    match DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => {
            made?;
            chown(&directory, Some(uid), None)?;
        }
    }
    Ok(directory)
}

/// The cgroup beside a sandbox's.
pub(crate) fn outside(cgroup: &Path) -> PathBuf {
    let mut name = OsString::from(cgroup);
    name.push("-outside");
    name.into()
}

fn path(variable: &str) -> io::Result<PathBuf> {
    let value = env::var_os(variable);
    value.map(PathBuf::from).ok_or_else(|| {
        io::Error::new(
            ErrorKind::NotFound,
            format!("{variable} is not in the environment"),
        )
    })
}

//! Visits to a control cgroup.
//!
//! With `enable --control`, only sockets opened in a control cgroup have the control calls. An
//! administrator's shell need not be in one, so the commands that change persistent reservations move
//! there themselves.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use portkeep::ErrorKind;
use portkeep_admin::{Installation, inspect};
use portkeep_host::mounts;

/// The prefix of the names of our cgroups.
const PREFIX: &str = "portkeep-command-";

/// While this value lives, the process is in a control cgroup if possible. Then the process moves back.
#[derive(Debug)]
pub struct InControlCgroup(#[expect(dead_code, reason = "held, not read")] Option<Visit>);

#[derive(Debug)]
struct Visit {
    here: PathBuf,
    home: PathBuf,
}

impl InControlCgroup {
    /// Moves the process to a control cgroup, unless it is in one. Whatever prevents that also prevents
    /// the control calls, which then report it.
    pub fn enter(installation: &Installation) -> Self {
        let not_enabled = |error: portkeep::Error| error.kind() == ErrorKind::NotEnabled;
        if !portkeep::version().is_err_and(not_enabled) {
            return Self(None);
        }
        let Ok(Some(installed)) = inspect(installation) else {
            return Self(None);
        };
        let visit = installed
            .control
            .iter()
            .find_map(|cgroup| Visit::start(cgroup).ok());
        Self(visit)
    }
}

impl Visit {
    /// Makes a cgroup of our own: a cgroup with children may not contain processes (cgroup-v2.rst, "No
    /// Internal Process Constraint").
    fn start(control: &Path) -> io::Result<Self> {
        remove_left_behind(control);
        let visit = Self {
            here: control.join(format!("{PREFIX}{}", std::process::id())),
            home: own_cgroup()?,
        };
        fs::create_dir(&visit.here)?;
        move_to(&visit.here)?;
        Ok(visit)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let _ = move_to(&self.home);
        let _ = fs::remove_dir(&self.here);
    }
}

fn move_to(cgroup: &Path) -> io::Result<()> {
    fs::write(cgroup.join("cgroup.procs"), "0")
}

/// Removes the cgroups of commands that were killed: they are empty. Others cannot be removed.
fn remove_left_behind(control: &Path) {
    for entry in fs::read_dir(control).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn own_cgroup() -> io::Result<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup")?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"));
    let hierarchy = mounts::first("cgroup2")?;
    match hierarchy.zip(path) {
        Some((hierarchy, path)) => Ok(hierarchy.join(path.trim_start_matches('/'))),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

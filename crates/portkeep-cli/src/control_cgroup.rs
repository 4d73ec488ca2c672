//! Being in a control cgroup.
//!
//! With `enable --control` only sockets that are made in such a cgroup have the control calls. An
//! administrator's shell need not be in one, and what is persistent is not the business of those who
//! are. So the commands go there themselves.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use portkeep::ErrorKind;
use portkeep_admin::{Installation, inspect};
use portkeep_host::mounts;

/// What the names of our cgroups begin with.
const PREFIX: &str = "portkeep-command-";

/// While it lives, this process is where it has the control calls, if it can be. Then it goes back.
#[derive(Debug)]
pub struct InControlCgroup(#[expect(dead_code, reason = "held, not read")] Option<Visit>);

#[derive(Debug)]
struct Visit {
    here: PathBuf,
    home: PathBuf,
}

impl InControlCgroup {
    /// Goes into one of the control cgroups, unless the process is in one. What prevents it will
    /// prevent the control calls too, and is told then.
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
    /// A cgroup of our own: one that has children may not have processes (cgroup-v2.rst, "No
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

/// Those of commands that were killed are empty; others cannot be removed.
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

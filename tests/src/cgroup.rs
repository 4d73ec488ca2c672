//! Cgroups of a test: made, emptied by force, removed.

use std::env;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use portkeep_host::mounts;

/// The cgroup below which sandboxes are made instead of the root, one that holds no processes itself
/// or is the root.
const TOP: &str = "PORTKEEP_TEST_CGROUP";

/// The cgroup below which sandboxes are made: where version 2 is mounted, on hybrid systems not at
/// `/sys/fs/cgroup` itself.
pub(crate) fn top() -> io::Result<PathBuf> {
    if let Some(path) = env::var_os(TOP) {
        return Ok(path.into());
    }
    mounts::read()?
        .into_iter()
        .find(|mount| mount.kind == "cgroup2")
        .map(|mount| mount.target)
        .ok_or_else(|| {
            io::Error::new(
                ErrorKind::NotFound,
                "no cgroup2 file system in /proc/self/mounts",
            )
        })
}

/// Kills every process in a cgroup and below (`cgroup.kill`, Linux 5.14) and waits until they are
/// gone. A cgroup that does not exist has none.
pub(crate) fn kill(cgroup: &Path) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    absent_is_done(fs::write(cgroup.join("cgroup.kill"), "1"))?;
    while is_populated(cgroup)? {
        if Instant::now() > deadline {
            let message = format!("processes in {} do not die", cgroup.display());
            return Err(io::Error::new(ErrorKind::TimedOut, message));
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Kills what runs in a cgroup and removes it with all below it.
pub(crate) fn remove(cgroup: &Path) -> io::Result<()> {
    kill(cgroup)?;
    remove_tree(cgroup)
}

fn remove_tree(cgroup: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(cgroup) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    absent_is_done(fs::remove_dir(cgroup))
}

fn is_populated(cgroup: &Path) -> io::Result<bool> {
    match fs::read_to_string(cgroup.join("cgroup.events")) {
        Ok(events) => Ok(events.lines().any(|line| line == "populated 1")),
        // ENODEV: removed after the file was opened.
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn absent_is_done(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| {
        if is_absent(&error) {
            Ok(())
        } else {
            Err(error)
        }
    })
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
}

//! The names of what a run makes, and the removal of what a killed run left behind.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;

use nix::unistd::geteuid;

use crate::cgroup;

const PREFIX: &str = "portkeep-test-";

/// A run of a test binary: its process, told from a later one with the same id by its start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pid: u32,
    start: u64,
}

impl Run {
    /// This process's run.
    pub(crate) fn own() -> io::Result<Self> {
        let pid = process::id();
        Ok(Self {
            pid,
            start: start_time(pid)?,
        })
    }

    /// The name of the run's sandbox number `n`: `portkeep-test-<pid>-<n>-<start time>`.
    pub(crate) fn name(self, n: usize) -> String {
        format!("{PREFIX}{}-{n}-{}", self.pid, self.start)
    }

    /// The run that made what has this name, also with a suffix to it.
    fn of(name: &OsStr) -> Option<Self> {
        let mut parts = name.to_str()?.strip_prefix(PREFIX)?.split('-');
        let pid = parts.next()?.parse().ok()?;
        let _: usize = parts.next()?.parse().ok()?;
        Some(Self {
            pid,
            start: parts.next()?.parse().ok()?,
        })
    }

    fn is_over(self) -> bool {
        start_time(self.pid).ok() != Some(self.start)
    }
}

/// When a process started, in clock ticks after boot: field 22 of `/proc/[pid]/stat`, proc(5).
fn start_time(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command name, in parentheses, may itself have spaces and parentheses.
    let after_command = stat.rsplit_once(") ").map(|(_, rest)| rest);
    after_command
        .and_then(|rest| rest.split(' ').nth(19)?.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no start time in stat"))
}

/// Removes the cgroups, with whatever still runs there, and the directories of runs that are over.
/// Runs of another process namespace would look so: let the test runs of one machine share one.
pub(crate) fn sweep() {
    let Ok(cgroups) = cgroup::top() else {
        return;
    };
    for path in leftovers(&cgroups) {
        report(&path, cgroup::remove(&path));
    }
    for path in leftovers(&env::temp_dir()) {
        // Anybody may make a directory of that name in a shared temporary directory.
        let own = path
            .symlink_metadata()
            .is_ok_and(|data| data.uid() == geteuid().as_raw());
        if own {
            report(&path, fs::remove_dir_all(&path));
        }
    }
}

fn leftovers(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| Run::of(&entry.file_name()).is_some_and(Run::is_over))
        .map(|entry| entry.path())
        .collect()
}

fn report(path: &Path, result: io::Result<()>) {
    match result {
        // Another run has swept it at the same time.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            eprintln!(
                "cannot remove {}, left by a killed run: {error}",
                path.display()
            );
        }
        Ok(()) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::Run;

    #[test]
    fn a_name_tells_its_run() {
        let run = Run::own().expect("this process");
        assert_eq!(Run::of(OsStr::new(&run.name(3))), Some(run));
        assert_eq!(
            Run::of(OsStr::new(&format!("{}-outside", run.name(3)))),
            Some(run)
        );
        assert_eq!(Run::of(OsStr::new("portkeep-test-me")), None);
        assert_eq!(Run::of(OsStr::new("portkeep")), None);
    }

    #[test]
    fn a_reused_process_id_is_another_run() {
        let run = Run::own().expect("this process");
        assert!(!run.is_over());
        assert!(
            Run {
                start: run.start + 1,
                ..run
            }
            .is_over()
        );
    }
}

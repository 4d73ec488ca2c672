//! Finds the processes that have a socket open.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;
use nix::unistd::geteuid;
use portkeep::{Consumer, mounts};
use procfs::process::{FDTarget, Process as ProcEntry, all_processes};

/// A process that has a socket open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    /// Its name as in proc_pid_comm(5).
    pub command: String,
    pub uid: u32,
}

/// The processes that have one of a set of sockets open.
#[derive(Debug, Default)]
pub struct Processes {
    by_inode: HashMap<u32, Vec<Process>>,
    /// Whether there may be processes whose descriptors we were not shown.
    hidden: bool,
}

impl Processes {
    /// Looks through the descriptors of all processes.
    pub fn with_sockets(inodes: &HashSet<u32>) -> anyhow::Result<Self> {
        let mut found = Self::default();
        if inodes.is_empty() {
            return Ok(found);
        }
        // hidepid in proc(5) may hide processes altogether from all but root.
        found.hidden = !geteuid().is_root();
        // A process may end while we look: then it has nothing open.
        for entry in all_processes().context("cannot read /proc")?.flatten() {
            match open_sockets(&entry) {
                Ok(open) => {
                    for inode in open.intersection(inodes) {
                        found
                            .by_inode
                            .entry(*inode)
                            .or_default()
                            .extend(describe(&entry));
                    }
                }
                Err(procfs::ProcError::PermissionDenied(_)) => found.hidden = true,
                Err(_) => {}
            }
        }
        Ok(found)
    }

    pub fn of_inode(&self, inode: u32) -> &[Process] {
        self.by_inode
            .get(&inode)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    pub fn some_hidden(&self) -> bool {
        self.hidden
    }
}

fn open_sockets(process: &ProcEntry) -> procfs::ProcResult<HashSet<u32>> {
    let sockets = process
        .fd()?
        .flatten()
        .filter_map(|descriptor| match descriptor.target {
            FDTarget::Socket(inode) => u32::try_from(inode).ok(),
            _ => None,
        });
    Ok(sockets.collect())
}

fn describe(process: &ProcEntry) -> Option<Process> {
    let status = process.status().ok()?;
    Some(Process {
        pid: process.pid.cast_unsigned(),
        command: status.name,
        uid: status.euid,
    })
}

/// A process's command line, while it lives and has one.
pub fn command_line(pid: u32) -> Option<String> {
    let words = ProcEntry::new(pid.try_into().ok()?).ok()?.cmdline().ok()?;
    (!words.is_empty()).then(|| words.join(" "))
}

/// Whether a process is one of those that the kernel part lets bind: by its effective user, a group
/// or a cgroup of it. One that has ended is none.
pub fn is_consumer(pid: u32, consumers: &[Consumer]) -> bool {
    let entry = pid.try_into().ok().and_then(|pid| ProcEntry::new(pid).ok());
    let Some((entry, status)) = entry.and_then(|entry| {
        let status = entry.status().ok()?;
        Some((entry, status))
    }) else {
        return false;
    };
    consumers.iter().any(|consumer| match *consumer {
        Consumer::User(uid) => status.euid == uid,
        Consumer::Group(gid) => status.egid == gid || status.groups.contains(&gid),
        Consumer::Cgroup(id) => is_in_cgroup(&entry, id),
    })
}

/// A cgroup's id is its inode number (cgroup-v2.rst); a process is in its cgroup and those above.
fn is_in_cgroup(process: &ProcEntry, id: u64) -> bool {
    let of_version_2 = process.cgroups().ok().and_then(|cgroups| {
        let mut cgroups = cgroups.0.into_iter();
        cgroups.find(|cgroup| cgroup.hierarchy == 0)
    });
    let hierarchy = mounts::first("cgroup2").ok().flatten();
    let Some((cgroup, hierarchy)) = of_version_2.zip(hierarchy) else {
        return false;
    };
    Path::new(cgroup.pathname.trim_start_matches('/'))
        .ancestors()
        .any(|below| fs::metadata(hierarchy.join(below)).is_ok_and(|cgroup| cgroup.ino() == id))
}

//! Finds the processes that have a socket open.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::geteuid;
use portkeep::Consumer;
use portkeep_host::mounts;
use procfs::process::{FDTarget, Process as ProcEntry, all_processes};

use crate::error::{Error, ErrorKind};
use crate::sockets::words::text_of;

/// A process that has a socket open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its ID.
    pub pid: u32,
    /// Its name as in proc_pid_comm(5).
    pub command: String,
    /// Its effective user.
    pub uid: u32,
}

/// The processes that have one of a set of sockets open.
#[derive(Debug, Default)]
pub struct Processes {
    by_inode: HashMap<u32, Vec<Process>>,
    /// Whether there may be processes whose descriptors we cannot see.
    hidden: bool,
}

impl Processes {
    /// Looks through the descriptors of all processes.
    ///
    /// # Errors
    ///
    /// If `/proc` cannot be read.
    pub fn with_sockets(inodes: &HashSet<u32>) -> Result<Self, Error> {
        let mut found = Self::default();
        if inodes.is_empty() {
            return Ok(found);
        }
        // The option hidepid of proc(5) can hide processes from everybody except root.
        found.hidden = !geteuid().is_root();
        // A process that ends meanwhile has nothing open.
        for entry in all_processes()
            .map_err(|error| of_proc("cannot read /proc", error))?
            .flatten()
        {
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

    /// The processes that have a socket open.
    pub fn of_inode(&self, inode: u32) -> &[Process] {
        self.by_inode
            .get(&inode)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// Whether there may be processes that could not be looked at.
    pub fn some_hidden(&self) -> bool {
        self.hidden
    }
}

pub(crate) fn of_proc(doing: &str, error: procfs::ProcError) -> Error {
    let kind = match error {
        procfs::ProcError::PermissionDenied(_) => ErrorKind::NotPermitted,
        _ => ErrorKind::System,
    };
    Error::new(kind, doing).caused_by(error)
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
    let pid = process.pid.cast_unsigned();
    let command = read(pid, "comm")?;
    Some(Process {
        pid,
        command: text(command.strip_suffix(b"\n").unwrap_or(&command)),
        uid: Identity::of(pid)?.uid,
    })
}

/// The longest file below /proc/PID that we read: the status of a process in as many groups as possible.
const LENGTH_MAX: u64 = 1 << 20;

/// How much of a command line to show.
const COMMAND_LINE_MAX: usize = 4096;

/// A file of a process, with bytes that others chose. `None` if the process has ended or the file may not be
/// read.
fn read(pid: u32, name: &str) -> Option<Vec<u8>> {
    // Most fit: the standard library begins with 32 bytes, and each read(2) of so few costs as much.
    let mut bytes = Vec::with_capacity(4096);
    let file = File::open(format!("/proc/{pid}/{name}")).ok()?;
    file.take(LENGTH_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn text(bytes: &[u8]) -> String {
    text_of(OsStr::from_bytes(bytes))
}

/// The command line of a process, if the process exists and has one.
///
/// It is in the memory of the process. Since 4.17, Linux does not read parts of it that are mapped from
/// a file (`FOLL_ANON` in `fs/proc/base.c`), so a file system of that process cannot make us wait.
pub fn command_line(pid: u32) -> Option<String> {
    let line = read(pid, "cmdline")?;
    let line = &line[..line.len().min(COMMAND_LINE_MAX)];
    let words: Vec<_> = line
        .strip_suffix(b"\0")
        .unwrap_or(line)
        .split(|&byte| byte == 0)
        .map(text)
        .collect();
    (!line.is_empty()).then(|| words.join(" "))
}

/// The parent of a process.
pub fn parent(pid: u32) -> Option<u32> {
    status(pid, "PPid:")?.parse().ok()
}

/// A field of proc_pid_status(5) of a process or thread, by its name with the colon.
pub fn status(pid: u32, name: &str) -> Option<String> {
    field(&read(pid, "status")?, name).map(str::to_owned)
}

/// The name of the process comes first; it may be any bytes, but contains no line breaks.
fn field<'a>(status: &'a [u8], name: &str) -> Option<&'a str> {
    let mut lines = status.split(|&byte| byte == b'\n').skip(1);
    let value = lines.find_map(|line| line.strip_prefix(name.as_bytes()))?;
    Some(std::str::from_utf8(value).ok()?.trim())
}

/// The user and groups of a process.
#[derive(Debug)]
struct Identity {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl Identity {
    fn of(pid: u32) -> Option<Self> {
        let status = read(pid, "status")?;
        let numbers = |name: &str| -> Option<Vec<u32>> {
            Some(
                field(&status, name)?
                    .split_ascii_whitespace()
                    .filter_map(|number| number.parse().ok())
                    .collect(),
            )
        };
        // Real, effective, saved, of the file system.
        const EFFECTIVE: usize = 1;
        Some(Self {
            uid: *numbers("Uid:")?.get(EFFECTIVE)?,
            gid: *numbers("Gid:")?.get(EFFECTIVE)?,
            groups: numbers("Groups:")?,
        })
    }
}

/// Whether the kernel part lets a process bind, because of its effective user, one of its groups or its
/// cgroup. A process that has ended is not a consumer.
pub fn is_consumer(pid: u32, consumers: &[Consumer]) -> bool {
    let Some(identity) = Identity::of(pid) else {
        return false;
    };
    consumers.iter().any(|consumer| match *consumer {
        Consumer::User(uid) => identity.uid == uid,
        Consumer::Group(gid) => identity.gid == gid || identity.groups.contains(&gid),
        Consumer::Cgroup(id) => is_in_cgroup(pid, id),
        _ => false,
    })
}

/// The ID of a cgroup is its inode number (cgroup-v2.rst). A process is in its cgroup and those above.
fn is_in_cgroup(pid: u32, id: u64) -> bool {
    let cgroups = read(pid, "cgroup").unwrap_or_default();
    let of_version_2 = cgroups
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(b"0::/"));
    let hierarchy = mounts::first("cgroup2").ok().flatten();
    let Some((cgroup, hierarchy)) = of_version_2.zip(hierarchy) else {
        return false;
    };
    Path::new(OsStr::from_bytes(cgroup))
        .ancestors()
        .any(|below| fs::metadata(hierarchy.join(below)).is_ok_and(|cgroup| cgroup.ino() == id))
}

//! Records of held reservations, by which other processes of the user learn of them.
//!
//! They are files of one reservation each, in a directory of the user's own. Nothing relies on
//! them but what is shown: the holders themselves keep strangers out.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use portkeep_host::environment;

use crate::netns;
use crate::sys;
use crate::types::{HeldEntry, Owner, ParseError, PortRange};

/// The reservations that processes of this user, in this process namespace, hold by sockets; in all
/// network namespaces, in no order.
///
/// Each process keeps a record of its own in the directory `portkeep` of `$XDG_RUNTIME_DIR`, or
/// else in `/tmp/portkeep-UID`. Records whose process has ended are removed by the way.
pub fn list() -> Vec<HeldEntry> {
    let Some(directory) = directory().filter(|path| is_ours(path)) else {
        return Vec::new();
    };
    let Ok(files) = fs::read_dir(&directory) else {
        return Vec::new();
    };
    let namespace = pid_namespace();
    let mut entries = Vec::new();
    for file in files.flatten() {
        let name = file.file_name();
        let Some(writer) = name.to_str().and_then(Writer::parse) else {
            continue;
        };
        // Its process cannot be seen from here.
        if writer.namespace != namespace {
            continue;
        }
        let path = file.path();
        if started(writer.pid) != Some(writer.started) {
            let _ = fs::remove_file(&path);
            continue;
        }
        entries.extend(read(&path).unwrap_or_default());
    }
    entries
}

/// The record of a reservation; dropping it removes the file.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    /// A child of fork has a copy, and must leave the file to its parent.
    pid: u32,
}

impl Record {
    pub(super) fn write(ranges: &[PortRange]) -> io::Result<Record> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let directory = directory().ok_or(io::ErrorKind::NotFound)?;
        match DirBuilder::new().mode(0o700).create(&directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if !is_ours(&directory) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let pid = process::id();
        let writer = Writer {
            pid,
            started: started(pid).ok_or(io::ErrorKind::NotFound)?,
            namespace: pid_namespace(),
        };
        let path = directory.join(writer.name(NUMBER.fetch_add(1, Ordering::Relaxed)));
        let netns = netns::netns_cookie()?;
        let since = sys::time_since_boot().as_nanos();
        let (user, command) = (sys::effective_user(), command());
        let text: String = ranges
            .iter()
            .map(|range| {
                let (protocol, start, end) = (range.protocol(), range.start(), range.end());
                format!("{protocol} {start}-{end} {pid} {user} {command} {since} {netns}\n")
            })
            .collect();
        // A name of ours can be there only from before a boot, where the directory outlives one.
        let _ = fs::remove_file(&path);
        let record = Record { path, pid };
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&record.path)?
            .write_all(text.as_bytes())?;
        Ok(record)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if process::id() == self.pid {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Who wrote a record, as the name of its file tells: `PID-START-NAMESPACE-NUMBER`.
#[derive(Debug, PartialEq, Eq)]
struct Writer {
    pid: u32,
    /// When the process started, in clock ticks since boot: process ids come again.
    started: u64,
    /// The inode of the process namespace.
    namespace: u64,
}

impl Writer {
    fn name(&self, number: u32) -> String {
        format!("{}-{}-{}-{number}", self.pid, self.started, self.namespace)
    }

    fn parse(name: &str) -> Option<Writer> {
        let mut parts = name.split('-');
        Some(Writer {
            pid: parts.next()?.parse().ok()?,
            started: parts.next()?.parse().ok()?,
            namespace: parts.next()?.parse().ok()?,
        })
    }
}

fn directory() -> Option<PathBuf> {
    let user = sys::effective_user();
    let own = environment::variable("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        // It is another user's where su(1) has changed the user only.
        .filter(|path| path.is_absolute() && fs::metadata(path).is_ok_and(|it| it.uid() == user));
    Some(match own {
        Some(path) => path.join("portkeep"),
        None => PathBuf::from(format!("/tmp/portkeep-{user}")),
    })
}

/// Whether a directory, and no link to one, is this user's and nobody else can write to it. In
/// `/tmp` anybody may have made it, but nobody but its owner can rename it (the sticky bit).
fn is_ours(directory: &Path) -> bool {
    fs::symlink_metadata(directory)
        .is_ok_and(|it| it.is_dir() && it.uid() == sys::effective_user() && it.mode() & 0o077 == 0)
}

fn read(path: &Path) -> io::Result<Vec<HeldEntry>> {
    let mut text = String::new();
    File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?
        .take(4096)
        .read_to_string(&mut text)?;
    Ok(text.lines().filter_map(|line| parse(line).ok()).collect())
}

fn parse(line: &str) -> Result<HeldEntry, ParseError> {
    let mut columns = line.split(' ');
    let mut next = || columns.next().ok_or(ParseError::Line);
    let (protocol, ports) = (next()?, next()?);
    Ok(HeldEntry {
        range: format!("{ports}/{protocol}").parse()?,
        owner: Owner {
            pid: number(next()?)?,
            uid: number(next()?)?,
            command: printable(next()?.as_bytes()),
        },
        since: Duration::from_nanos(number(next()?)?),
        netns_cookie: number(next()?)?,
    })
}

fn number<T: std::str::FromStr>(column: &str) -> Result<T, ParseError> {
    column.parse().map_err(|_| ParseError::Line)
}

/// When a process started, field 22 of [`proc_pid_stat(5)`]; `None` if there is no such process.
///
/// [`proc_pid_stat(5)`]: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The command's name, field 2, may have spaces and parentheses in it.
    let after = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(stat.get(after + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

fn pid_namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |it| it.ino())
}

/// The name of this command, written as the kernel part's list does.
fn command() -> String {
    let name = fs::read("/proc/self/comm").unwrap_or_default();
    let name = name.strip_suffix(b"\n").unwrap_or(&name);
    match name {
        [] => "-".to_owned(),
        name => printable(name),
    }
}

fn printable(name: &[u8]) -> String {
    name.iter()
        .map(|&byte| match byte {
            b'!'..=b'~' => char::from(byte),
            _ => '_',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let writer = Writer {
            pid: 12,
            started: 345,
            namespace: 678,
        };
        assert_eq!(Writer::parse(&writer.name(9)), Some(writer));
        for name in ["", "12", "12-345", "x-1-2-3", "-1-2-3"] {
            assert_eq!(Writer::parse(name), None, "{name:?}");
        }
    }

    #[test]
    fn lines() {
        let entry = parse("udp 61000-61001 12 1000 a_b 5000000000 7").expect("a line");
        assert_eq!(entry.range.to_string(), "61000-61001/udp");
        assert_eq!((entry.owner.pid, entry.owner.uid), (12, 1000));
        assert_eq!(entry.owner.command, "a_b");
        assert_eq!(
            (entry.since, entry.netns_cookie),
            (Duration::from_secs(5), 7)
        );
        let entry = parse("udp 61000-61001 12 1000 a\u{1b}b 5 7").expect("a line");
        assert_eq!(entry.owner.command, "a_b");
        for line in ["", "udp 61000-61001 12 1000 a_b 5", "udp 0-1 12 1000 a 5 7"] {
            assert!(parse(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn this_process_has_started_once() {
        assert!(started(process::id()).is_some());
        assert_eq!(started(process::id()), started(process::id()));
        assert_eq!(started(u32::MAX), None);
    }
}

//! Cgroups of a test: made, emptied by force, removed.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Where cgroup version 2 is mounted; on hybrid systems not at `/sys/fs/cgroup` itself.
pub(crate) fn mount_point() -> io::Result<PathBuf> {
    let mounts = fs::read("/proc/self/mounts")?;
    mounts
        .split(|&byte| byte == b'\n')
        .find_map(parse_cgroup2)
        .ok_or_else(|| {
            io::Error::new(
                ErrorKind::NotFound,
                "no cgroup2 file system in /proc/self/mounts",
            )
        })
}

fn parse_cgroup2(line: &[u8]) -> Option<PathBuf> {
    let mut columns = line.split(|&byte| byte == b' ').skip(1);
    let (directory, kind) = (columns.next()?, columns.next()?);
    (kind == b"cgroup2").then(|| OsString::from_vec(unescape(directory)).into())
}

/// Undoes the octal escapes (`\040` for a space) of fstab(5).
fn unescape(mut escaped: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(escaped.len());
    while let [first, rest @ ..] = escaped {
        match rest {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] if *first == b'\\' => {
                bytes.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                escaped = rest;
            }
            _ => {
                bytes.push(*first);
                escaped = rest;
            }
        }
    }
    bytes
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::parse_cgroup2;

    #[test]
    fn finds_cgroup2_behind_escapes() {
        let line = br"cgroup2 /mnt/a\040b\134c cgroup2 rw,relatime 0 0";
        assert_eq!(parse_cgroup2(line), Some(PathBuf::from(r"/mnt/a b\c")));
        assert_eq!(
            parse_cgroup2(b"cgroup /sys/fs/cgroup/cpu cgroup rw 0 0"),
            None
        );
        assert_eq!(parse_cgroup2(b""), None);
    }
}

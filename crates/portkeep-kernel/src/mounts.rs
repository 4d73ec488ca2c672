//! Finding mounts in `/proc/self/mounts` (`proc(5)`, `fstab(5)`).

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The first mount of a file system type, or none.
pub fn first_of_type(wanted: &str) -> io::Result<Option<PathBuf>> {
    Ok(find(&fs::read("/proc/self/mounts")?, wanted.as_bytes()))
}

/// The source of the topmost mount at `target`, which is without symbolic links.
pub fn source_of(target: &Path) -> io::Result<Option<OsString>> {
    let mounts = fs::read("/proc/self/mounts")?;
    Ok(mounts
        .split(|&byte| byte == b'\n')
        .filter_map(|line| {
            let mut fields = line.split(|&byte| byte == b' ').map(unescape);
            let (source, at) = (fields.next()?, fields.next()?);
            (at == target.as_os_str().as_bytes()).then(|| OsString::from_vec(source))
        })
        .next_back())
}

fn find(mounts: &[u8], wanted: &[u8]) -> Option<PathBuf> {
    mounts.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = line.split(|&byte| byte == b' ');
        let (target, kind) = (fields.nth(1)?, fields.next()?);
        (kind == wanted).then(|| PathBuf::from(OsString::from_vec(unescape(target))))
    })
}

/// White space and backslashes stand as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        match tail {
            [
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                after @ ..,
            ] if first == b'\\' => {
                out.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = after;
            }
            _ => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"proc /proc proc rw 0 0\n\
        cgroup2 /sys/fs/cgroup/uni\\040fied cgroup2 rw 0 0\n\
        bpf /a bpf rw 0 0\nbpf /b bpf rw 0 0\nodd\n";

    #[test]
    fn the_first_mount_of_a_type_is_found_and_unescaped() {
        assert_eq!(
            find(MOUNTS, b"cgroup2"),
            Some("/sys/fs/cgroup/uni fied".into())
        );
        assert_eq!(find(MOUNTS, b"bpf"), Some("/a".into()));
        assert_eq!(find(MOUNTS, b"tmpfs"), None);
    }

    #[test]
    fn a_lone_backslash_stays() {
        assert_eq!(unescape(b"a\\04"), b"a\\04");
    }
}

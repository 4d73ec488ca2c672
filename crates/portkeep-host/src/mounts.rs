//! The table of mounted file systems, `/proc/self/mounts` ([`proc(5)`], [`fstab(5)`]).
//!
//! [`proc(5)`]: https://man7.org/linux/man-pages/man5/proc_pid_mounts.5.html
//! [`fstab(5)`]: https://man7.org/linux/man-pages/man5/fstab.5.html

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One mount of the calling process's mount namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted; for file systems without a device whatever the mounter wrote.
    pub source: OsString,
    /// Where.
    pub target: PathBuf,
    /// The type of the file system, such as `bpf`.
    pub kind: OsString,
}

/// More than a mount namespace has with as many mounts as it may (`fs.mount-max`) of usual length.
const LENGTH_MAX: u64 = 64 << 20;

/// All mounts, in the order in which they were made: of several at one place the last is on top.
pub fn read() -> io::Result<Vec<Mount>> {
    let mut table = Vec::new();
    let file = File::open("/proc/self/mounts")?;
    match file.take(LENGTH_MAX).read_to_end(&mut table)? as u64 {
        LENGTH_MAX => Err(io::Error::from_raw_os_error(libc::EFBIG)),
        _ => Ok(parse(&table)),
    }
}

/// Where a file system of this type, such as `cgroup2`, is mounted first.
pub fn first(kind: &str) -> io::Result<Option<PathBuf>> {
    Ok(read()?
        .into_iter()
        .find(|mount| mount.kind == kind)
        .map(|mount| mount.target))
}

fn parse(mounts: &[u8]) -> Vec<Mount> {
    mounts
        .split(|&byte| byte == b'\n')
        .filter_map(|line| {
            let mut fields = line
                .split(|&byte| byte == b' ')
                .map(|field| OsString::from_vec(unescape(field)));
            Some(Mount {
                source: fields.next()?,
                target: fields.next()?.into(),
                kind: fields.next()?,
            })
        })
        .collect()
}

/// Undoes the escapes of the table: a space is `\040`, a backslash `\134`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (
                b'\\',
                [
                    a @ b'0'..=b'3',
                    b @ b'0'..=b'7',
                    c @ b'0'..=b'7',
                    after @ ..,
                ],
            ) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => bytes.push(byte),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mounts_are_read_and_unescaped() {
        let mounts = b"proc /proc proc rw 0 0\n\
            bpf /tmp/a\\040b\\134c bpf rw,relatime 0 0\n\
            odd\n";
        let mounts = parse(mounts);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].target, PathBuf::from("/proc"));
        assert_eq!(
            mounts[1],
            Mount {
                source: "bpf".into(),
                target: "/tmp/a b\\c".into(),
                kind: "bpf".into(),
            }
        );
    }

    #[test]
    fn a_type_is_told_from_its_like() {
        let mounts = parse(
            b"cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n\
              cgroup2 /mnt/a\\040b\\134c cgroup2 rw,relatime 0 0\n",
        );
        let cgroup2: Vec<_> = mounts
            .iter()
            .filter(|mount| mount.kind == "cgroup2")
            .collect();
        assert_eq!(cgroup2.len(), 1);
        assert_eq!(cgroup2[0].target, PathBuf::from("/mnt/a b\\c"));
        assert_eq!(parse(b""), []);
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!(unescape(b"a\\04"), b"a\\04");
        assert_eq!(unescape(b"a\\400"), b"a\\400");
        assert_eq!(unescape(b"\\377\\"), b"\xff\\");
    }

    proptest! {
        #[test]
        fn undoes_the_kernels_escapes(name: Vec<u8>) {
            let escaped: Vec<u8> = name
                .iter()
                .flat_map(|&byte| match byte {
                    b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{byte:03o}").into_bytes(),
                    _ => vec![byte],
                })
                .collect();
            prop_assert_eq!(unescape(&escaped), name);
        }
    }
}

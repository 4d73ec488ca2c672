//! Where the kernel part's files are.
//!
//! The kernel part pins its objects in the folder `portkeep` of a bpf file system. One of them is
//! the list of reservations, a text that everybody may read.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The environment variable that names the bpf file system, where it is not the first mounted one.
pub const VARIABLE: &str = "PORTKEEP_BPFFS";

/// The bpf file system: `$PORTKEEP_BPFFS` if it is set and not empty, else the first one in
/// `/proc/self/mounts`; `None` if this mount namespace has none.
pub fn mount_point() -> Option<PathBuf> {
    match env::var_os(VARIABLE) {
        Some(path) if !path.is_empty() => Some(path.into()),
        _ => first_mount(&fs::read("/proc/self/mounts").ok()?),
    }
}

/// The list of reservations, `portkeep/reservations` in the bpf file system. The file need not
/// exist.
pub fn reservations_file() -> Option<PathBuf> {
    mount_point().map(|mount| mount.join("portkeep/reservations"))
}

/// The mount point of the first bpf file system in a table as of
/// [`fstab(5)`](https://man7.org/linux/man-pages/man5/fstab.5.html).
fn first_mount(mounts: &[u8]) -> Option<PathBuf> {
    mounts.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = line.split(|&byte| byte == b' ');
        let (_source, target, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == b"bpf").then(|| OsString::from_vec(unescape(target)).into())
    })
}

/// Undoes the escapes of `/proc/self/mounts`: a space is `\040`, a backslash `\134`.
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
    fn the_first_bpf_mount() {
        let mounts = b"proc /proc proc rw 0 0\n\
            bpf /tmp/a\\040b\\134c bpf rw,relatime 0 0\n\
            none /sys/fs/bpf bpf rw 0 0\n";
        assert_eq!(first_mount(mounts), Some(PathBuf::from("/tmp/a b\\c")));
    }

    #[test]
    fn no_bpf_mount() {
        assert_eq!(first_mount(b"bpf /bpf tmpfs rw 0 0\n"), None);
        assert_eq!(first_mount(b"bpf /bpf"), None);
        assert_eq!(first_mount(b""), None);
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

//! Reading files that others may have put there: a FIFO would keep the reader waiting, and a device has no
//! end.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The bytes of a regular file that is shorter than `limit` bytes.
///
/// # Errors
///
/// Those of the system calls, [`io::ErrorKind::Other`] for what is no regular file, and those of
/// [`read_below`].
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    read_below(file, limit)
}

/// The bytes of an open file that is shorter than `limit` bytes.
///
/// # Errors
///
/// `EFBIG` for a longer one, and those of read(2).
pub fn read_below(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file.take(limit).read_to_end(&mut bytes)? as u64 == limit {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_not_read() {
        let device = read(Path::new("/dev/zero"), 10).expect_err("a device");
        assert_eq!(device.to_string(), "not a regular file");
        // Tests run in the directory of their package.
        let path = Path::new("Cargo.toml");
        let bytes = read(path, 1 << 20).expect("read it");
        let length = bytes.len() as u64;
        assert_eq!(read(path, length + 1).expect("read it"), bytes);
        let error = read(path, length).expect_err("one byte too long");
        assert_eq!(error.raw_os_error(), Some(libc::EFBIG));
    }
}

//! Option values as bytes, and the sockets they are tried on.

use std::os::fd::{AsFd, AsRawFd};

use portkeep_tests::raw::SOL_PORTKEEP;
use portkeep_tests::socket2::Socket;
use portkeep_tests::{libc, sock};

/// The lengths that are tried: around every boundary of the ABI, of the kernel's buffer on the
/// stack, and of the page that it shows to the hooks at most.
pub(crate) fn lengths() -> impl Iterator<Item = usize> {
    (0..=66).chain([127, 128, 129, 4095, 4096, 4097, 65536])
}

/// The longest value of a set call, `PORTKEEP_VALUE_MAX`.
pub(crate) const LONGEST: usize = 64;

/// A socket of each kind.
pub(crate) fn sockets() -> [Socket; 4] {
    [sock::tcp4(), sock::tcp6(), sock::udp4(), sock::udp6()]
}

/// `struct portkeep_acquire`.
pub(crate) fn acquire(start: u16, count: u16, flags: u32, align: u16) -> Vec<u8> {
    let mut value = range(start, count);
    value.extend(flags.to_ne_bytes());
    value.extend(align.to_ne_bytes());
    value.extend([0; 6]);
    value
}

/// `struct portkeep_range`.
pub(crate) fn range(start: u16, count: u16) -> Vec<u8> {
    [start.to_be_bytes(), count.to_ne_bytes()].concat()
}

/// The value cut to a length, or made as long with zeros.
pub(crate) fn resized(value: &[u8], len: usize) -> Vec<u8> {
    let mut value = value.to_vec();
    value.resize(len, 0);
    value
}

/// `getsockopt(2)` into a buffer as it is: its length in, the length that the kernel tells out.
pub(crate) fn get_into(socket: impl AsFd, option: i32, buffer: &mut [u8]) -> Result<usize, i32> {
    let fd = socket.as_fd().as_raw_fd();
    let mut len = buffer.len() as libc::socklen_t;
    let value = buffer.as_mut_ptr().cast();
    // SAFETY: the kernel writes at most `len` bytes, which the buffer has.
    let result = unsafe { libc::getsockopt(fd, SOL_PORTKEEP, option, value, &raw mut len) };
    if result == 0 {
        return Ok(len as usize);
    }
    Err(std::io::Error::last_os_error()
        .raw_os_error()
        .expect("an error of the kernel"))
}

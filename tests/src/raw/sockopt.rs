//! The two system calls, also with addresses that the kernel must refuse.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// `setsockopt(2)` of the bytes of `value`.
pub fn set_bytes(socket: impl AsFd, level: i32, option: i32, value: &[u8]) -> Result<(), i32> {
    set_at(&socket, level, option, value.as_ptr(), value.len())
}

/// `getsockopt(2)` into `len` zeroed bytes, cut to the length that the kernel returned.
pub fn get_bytes(socket: impl AsFd, level: i32, option: i32, len: usize) -> Result<Vec<u8>, i32> {
    let mut value = vec![0; len];
    let returned = get_at(&socket, level, option, value.as_mut_ptr(), len)?;
    assert!(
        returned <= len,
        "getsockopt returned {returned} bytes in a buffer of {len}"
    );
    value.truncate(returned);
    Ok(value)
}

/// An address in the zero page, which is never mapped (`vm.mmap_min_addr`).
const UNMAPPED: usize = 8;

/// `setsockopt(2)` of `len` bytes at an address that cannot be read.
pub fn set_unreadable(socket: impl AsFd, level: i32, option: i32, len: usize) -> Result<(), i32> {
    set_at(
        &socket,
        level,
        option,
        std::ptr::without_provenance(UNMAPPED),
        len,
    )
}

/// `getsockopt(2)` into `len` bytes at an address that cannot be written.
pub fn get_unwritable(socket: impl AsFd, level: i32, option: i32, len: usize) -> Result<(), i32> {
    let value = std::ptr::without_provenance_mut(UNMAPPED);
    get_at(&socket, level, option, value, len).map(drop)
}

fn set_at(
    socket: &impl AsFd,
    level: i32,
    option: i32,
    value: *const u8,
    len: usize,
) -> Result<(), i32> {
    let fd = socket.as_fd().as_raw_fd();
    let len = libc::socklen_t::try_from(len).expect("the length of a socket option");
    // SAFETY: the kernel only reads the value, and answers EFAULT where it cannot.
    let result = unsafe { libc::setsockopt(fd, level, option, value.cast(), len) };
    Errno::result(result)
        .map(drop)
        .map_err(|errno| errno as i32)
}

fn get_at(
    socket: &impl AsFd,
    level: i32,
    option: i32,
    value: *mut u8,
    len: usize,
) -> Result<usize, i32> {
    let fd = socket.as_fd().as_raw_fd();
    let mut len = libc::socklen_t::try_from(len).expect("the length of a socket option");
    // SAFETY: both callers pass either `len` writable bytes or an address that is never mapped,
    // and the kernel writes at most `len` bytes.
    let result = unsafe { libc::getsockopt(fd, level, option, value.cast(), &raw mut len) };
    Errno::result(result).map_err(|errno| errno as i32)?;
    Ok(len as usize)
}

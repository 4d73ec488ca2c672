//! Numbers that nobody can foresee.

use std::ffi::c_uint;
use std::io;

/// Random bytes, by getrandom(2) with these flags.
///
/// # Errors
///
/// With `GRND_NONBLOCK` early at boot, and where a filter refuses the call.
pub fn bytes<const N: usize>(flags: c_uint) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    // By its number: glibc has the function since 2.25, and packages are built for 2.17.
    // SAFETY: the pointer and the length describe `bytes`.
    let length =
        unsafe { libc::syscall(libc::SYS_getrandom, bytes.as_mut_ptr(), bytes.len(), flags) };
    match usize::try_from(length) {
        Ok(length) if length == N => Ok(bytes),
        Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

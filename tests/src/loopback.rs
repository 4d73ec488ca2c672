//! The loopback interface of a new network namespace, which starts down.

use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

use crate::sock;

/// Sets `lo` of the calling thread's network namespace up, and with it 127.0.0.1 and ::1
/// (netdevice(7), `SIOCSIFFLAGS`).
pub(crate) fn up() -> io::Result<()> {
    let socket = sock::udp4();
    // SAFETY: ifreq is a C structure of numbers and arrays, for which all zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    // SAFETY: SIOCGIFFLAGS reads and writes one ifreq.
    let result = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCGIFFLAGS as _,
            &raw mut request,
        )
    };
    Errno::result(result)?;
    // SAFETY: SIOCGIFFLAGS has filled in the member ifru_flags.
    unsafe { request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short };
    // SAFETY: SIOCSIFFLAGS reads one ifreq.
    let result = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    };
    Errno::result(result)?;
    Ok(())
}

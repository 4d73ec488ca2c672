//! A new socket in the place of the caller's, where that cannot be had.

use std::ffi::CString;
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::run::supervisor::notification::{Listener, Notification};
use crate::run::supervisor::options::Options;
use crate::run::supervisor::process;

/// A socket that is as the caller's, as far as that can be told from outside: of the same family and
/// protocol, with the options that were noted.
#[derive(Debug)]
pub struct Replacement {
    pub socket: OwnedFd,
    number: i32,
    closed_on_exec: bool,
}

impl Replacement {
    /// Fails if there is no such socket, or if it is in another network namespace than this process.
    pub fn of(thread: i32, number: i32, options: &Options) -> Result<Self, Errno> {
        let (family, kind, protocol) = protocol(thread, number)?;
        let flags = process::flags(thread, number).ok_or(Errno::EACCES)?;
        if !process::is_in_this_namespace(thread) {
            return Err(Errno::EXDEV);
        }
        let socket = open(family, kind, protocol)?;
        if let Some(inode) = process::socket_inode(thread, number) {
            options.apply(inode, socket.as_fd());
        }
        if flags & libc::O_NONBLOCK != 0 {
            fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok(Self {
            socket,
            number,
            closed_on_exec: flags & libc::O_CLOEXEC != 0,
        })
    }

    /// Puts it in its place.
    pub fn place(&self, listener: &Listener, caller: &Notification) -> Result<(), Errno> {
        listener.replace(
            caller,
            self.socket.as_fd(),
            self.number,
            self.closed_on_exec,
        )
    }
}

fn open(family: AddressFamily, kind: SockType, protocol: i32) -> Result<OwnedFd, Errno> {
    if protocol == 0 {
        return socket(family, kind, SockFlag::SOCK_CLOEXEC, None);
    }
    let (family, kind) = (family as i32, kind as i32 | libc::SOCK_CLOEXEC);
    // SAFETY: the call takes no pointers.
    let socket = Errno::result(unsafe { libc::socket(family, kind, protocol) })?;
    // SAFETY: the kernel has just made this descriptor, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(socket) })
}

/// The protocol of a socket that cannot be had, by the name that the kernel has for it (`struct proto`).
fn protocol(thread: i32, number: i32) -> Result<(AddressFamily, SockType, i32), Errno> {
    const STREAM: SockType = SockType::Stream;
    const DATAGRAM: SockType = SockType::Datagram;
    const V4: AddressFamily = AddressFamily::Inet;
    const V6: AddressFamily = AddressFamily::Inet6;
    let path = CString::new(format!("/proc/{thread}/fd/{number}")).map_err(|_| Errno::EINVAL)?;
    let mut name = [0_u8; 32];
    // SAFETY: the kernel reads the two strings and writes no more than the length of the name.
    let length = Errno::result(unsafe {
        libc::getxattr(
            path.as_ptr(),
            c"system.sockprotoname".as_ptr(),
            name.as_mut_ptr().cast(),
            name.len(),
        )
    })?;
    let name = &name[..length as usize];
    match name.strip_suffix(b"\0").unwrap_or(name) {
        b"TCP" => Ok((V4, STREAM, 0)),
        b"TCPv6" => Ok((V6, STREAM, 0)),
        b"UDP" => Ok((V4, DATAGRAM, 0)),
        b"UDPv6" => Ok((V6, DATAGRAM, 0)),
        b"MPTCP" => Ok((V4, STREAM, libc::IPPROTO_MPTCP)),
        b"MPTCPv6" => Ok((V6, STREAM, libc::IPPROTO_MPTCP)),
        _ => Err(Errno::EPROTONOSUPPORT),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use nix::unistd::gettid;

    use super::*;

    #[test]
    fn sockets_are_told_by_their_names() {
        let tell = |family, kind, number| {
            let socket = open(family, kind, number).expect("a socket");
            protocol(gettid().as_raw(), socket.as_raw_fd())
        };
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            for kind in [SockType::Stream, SockType::Datagram] {
                assert_eq!(tell(family, kind, 0), Ok((family, kind, 0)));
            }
        }
        let unix = tell(AddressFamily::Unix, SockType::Stream, 0);
        assert_eq!(unix, Err(Errno::EPROTONOSUPPORT));
        let no_socket = protocol(gettid().as_raw(), 987_654);
        assert_eq!(no_socket, Err(Errno::ENOENT));
    }
}

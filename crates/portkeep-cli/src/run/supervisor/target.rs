//! The process whose call waits, and its sockets.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{SockaddrStorage, getsockname};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use crate::run::supervisor::address;

/// A thread, whose memory and descriptors the holder can reach as that of its descendant of the same
/// user (ptrace(2), "Ptrace access mode checking"). One that has changed its user, or has made itself
/// undumpable (PR_SET_DUMPABLE(2const)), is out of reach.
#[derive(Debug)]
pub struct Target {
    pid: Pid,
    handle: OwnedFd,
}

/// `PIDFD_THREAD`, of Linux 6.9.
const THREAD: u32 = libc::O_EXCL as u32;

impl Target {
    pub fn open(pid: i32) -> Option<Self> {
        let handle = open_process(pid, THREAD)
            .or_else(|_| open_process(thread_group(pid).ok_or(Errno::ESRCH)?, 0))
            .ok()?;
        Some(Self {
            pid: Pid::from_raw(pid),
            handle,
        })
    }

    /// So many bytes of its memory, or as many as a socket address of interest has.
    pub fn read(&self, address: u64, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length.min(address::LENGTH_MAX)];
        let remote = RemoteIoVec {
            base: usize::try_from(address).ok()?,
            len: bytes.len(),
        };
        let read =
            process_vm_readv(self.pid, &mut [IoSliceMut::new(&mut bytes)], &[remote]).ok()?;
        (read == bytes.len()).then_some(bytes)
    }

    /// A copy of one of its descriptors, pidfd_getfd(2).
    pub fn descriptor(&self, number: i32) -> Option<OwnedFd> {
        // SAFETY: the call takes no pointers.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_getfd,
                self.handle.as_raw_fd(),
                number,
                0_u32,
            )
        };
        owned(result).ok()
    }
}

fn open_process(pid: i32, flags: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: the call takes no pointers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) })
}

fn owned(result: libc::c_long) -> Result<OwnedFd, Errno> {
    let descriptor = Errno::result(result)? as RawFd;
    // SAFETY: the kernel has just returned this descriptor, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// The process that a thread is of.
fn thread_group(pid: i32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("Tgid:"))?
        .trim()
        .parse()
        .ok()
}

/// The address family of a socket.
pub fn family(socket: BorrowedFd<'_>) -> Option<i32> {
    option(socket, libc::SO_DOMAIN)
}

/// The port that a socket is bound to.
pub fn port(socket: BorrowedFd<'_>) -> Option<u16> {
    let name: SockaddrStorage = getsockname(socket.as_raw_fd()).ok()?;
    let port = match (name.as_sockaddr_in(), name.as_sockaddr_in6()) {
        (Some(name), _) => name.port(),
        (_, Some(name)) => name.port(),
        _ => return None,
    };
    (port != 0).then_some(port)
}

/// Whether a socket is of this process's network namespace: the ports of another one are others.
pub fn is_of_this_namespace(socket: BorrowedFd<'_>) -> bool {
    let cookie: Option<u64> = option(socket, libc::SO_NETNS_COOKIE);
    cookie.is_some() && cookie == portkeep::netns_cookie().ok()
}

/// A socket option that is a number.
fn option<T: Copy + Default>(socket: BorrowedFd<'_>, option: i32) -> Option<T> {
    let mut value = T::default();
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes no more than the length of the value, which is a number.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    (result == 0 && length as usize == size_of::<T>()).then_some(value)
}

//! The process whose call waits, and its sockets.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{SockaddrStorage, getsockname};
use nix::sys::stat::fstat;
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
    /// Whether the handle is of the thread, not of the process's first one.
    is_of_thread: bool,
}

/// `PIDFD_THREAD`, of Linux 6.9.
const THREAD: u32 = libc::O_EXCL as u32;

impl Target {
    pub fn open(pid: i32) -> Option<Self> {
        match open_process(pid, THREAD) {
            Ok(handle) => Some(Self {
                pid: Pid::from_raw(pid),
                handle,
                is_of_thread: true,
            }),
            Err(_) => Self::open_first_thread(pid),
        }
    }

    fn open_first_thread(pid: i32) -> Option<Self> {
        Some(Self {
            pid: Pid::from_raw(pid),
            handle: open_process(thread_group(pid)?, 0).ok()?,
            is_of_thread: false,
        })
    }

    /// So many bytes of its memory, if a socket address can be that long. It may take for ever: the
    /// memory may be a file's, or the caller's to fill (userfaultfd(2)).
    pub fn read(&self, address: u64, length: usize) -> Option<Vec<u8>> {
        if !address::LENGTHS.contains(&length) {
            return None;
        }
        let mut bytes = vec![0; length];
        let remote = RemoteIoVec {
            base: usize::try_from(address).ok()?,
            len: bytes.len(),
        };
        let read =
            process_vm_readv(self.pid, &mut [IoSliceMut::new(&mut bytes)], &[remote]).ok()?;
        (read == bytes.len()).then_some(bytes)
    }

    /// A copy of one of its descriptors, pidfd_getfd(2).
    ///
    /// A thread can have a table of descriptors of its own (`CLONE_FILES` of unshare(2)). Before Linux
    /// 6.9 the first thread's is the only one in reach, so what it has under the number counts only if the
    /// thread itself has the same.
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
        let descriptor = owned(result).ok()?;
        (self.is_of_thread || self.has(number, &descriptor)).then_some(descriptor)
    }

    /// Whether the thread has this socket under that number.
    fn has(&self, number: i32, socket: &OwnedFd) -> bool {
        let link = std::fs::read_link(format!("/proc/{}/fd/{number}", self.pid));
        let (Ok(link), Ok(status)) = (link, fstat(socket)) else {
            return false;
        };
        link.to_str() == Some(&format!("socket:[{}]", status.st_ino))
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

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd as _;
    use std::thread;

    use nix::sched::{CloneFlags, unshare};
    use nix::unistd::{dup2_raw, gettid};

    use super::*;

    fn inode(socket: &impl std::os::fd::AsFd) -> u64 {
        fstat(socket).expect("fstat").st_ino
    }

    /// What the two ways give for a descriptor of a thread that has a table of its own, in which the
    /// number is another socket's.
    #[test]
    fn a_thread_with_its_own_descriptors() {
        let shared = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let (before, number) = (inode(&shared), shared.as_raw_fd());
        let thread = thread::spawn(move || {
            let pid = gettid().as_raw();
            let of_process = Target::open_first_thread(pid).expect("open");
            let same = of_process.descriptor(number).expect("the same table");
            assert_eq!(inode(&same), before);

            unshare(CloneFlags::CLONE_FILES).expect("unshare");
            let same = of_process.descriptor(number).expect("a copy of the table");
            assert_eq!(inode(&same), before);

            let own = UdpSocket::bind("127.0.0.1:0").expect("bind");
            // SAFETY: in this thread's table nobody uses the number any more.
            let copy = unsafe { dup2_raw(&own, number) }.expect("dup2");
            assert!(of_process.descriptor(number).is_none());
            let of_thread = Target::open(pid).expect("open");
            if of_thread.is_of_thread {
                let right = of_thread.descriptor(number).expect("its own");
                assert_eq!(inode(&right), inode(&own));
            }
            drop(copy);
        });
        thread.join().expect("the thread");
        assert_eq!(inode(&shared), before);
    }
}

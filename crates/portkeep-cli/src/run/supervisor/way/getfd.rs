//! A copy of the caller's descriptor, pidfd_getfd(2).

use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::unistd::getpid;

use crate::pidfd;
use crate::run::supervisor::process;
use crate::run::supervisor::socket;

/// A thread, whose descriptors the holder can reach as those of its descendant of the same user (ptrace(2),
/// "Ptrace access mode checking"). One that has changed its user, or has made itself undumpable
/// (PR_SET_DUMPABLE(2const)), is out of reach.
#[derive(Debug)]
pub struct Target {
    pid: i32,
    handle: OwnedFd,
    /// Whether the handle is of the thread, not of the process's first one.
    is_of_thread: bool,
}

/// `PIDFD_THREAD`, of Linux 6.9.
const THREAD: u32 = libc::O_EXCL as u32;

impl Target {
    pub fn open(pid: i32) -> Result<Self, Errno> {
        match pidfd::open(pid, THREAD) {
            Ok(handle) => Ok(Self {
                pid,
                handle,
                is_of_thread: true,
            }),
            Err(_) => Self::open_first_thread(pid),
        }
    }

    fn open_first_thread(pid: i32) -> Result<Self, Errno> {
        Ok(Self {
            pid,
            handle: pidfd::open(process::of_thread(pid).ok_or(Errno::ESRCH)?, 0)?,
            is_of_thread: false,
        })
    }

    /// A copy of one of its descriptors.
    ///
    /// A thread can have a table of descriptors of its own (`CLONE_FILES` of unshare(2)). Before Linux
    /// 6.9 the first thread's is the only one in reach, so what it has under the number counts only if the
    /// thread itself has the same.
    pub fn descriptor(&self, number: i32) -> Result<OwnedFd, Errno> {
        // SAFETY: the call takes no pointers.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_getfd,
                self.handle.as_raw_fd(),
                number,
                0_u32,
            )
        };
        let descriptor = owned(result)?;
        let is_its_own =
            || process::socket_inode(self.pid, number) == socket::inode(descriptor.as_fd());
        match self.is_of_thread || is_its_own() {
            true => Ok(descriptor),
            false => Err(Errno::EBADF),
        }
    }
}

/// Whether the call is allowed here at all, which it tells even of this process.
pub fn is_allowed() -> bool {
    let copy = Target::open(getpid().as_raw())
        .and_then(|target| target.descriptor(target.handle.as_raw_fd()));
    !matches!(copy, Err(Errno::EPERM | Errno::ENOSYS | Errno::EACCES))
}

fn owned(result: libc::c_long) -> Result<OwnedFd, Errno> {
    let descriptor = Errno::result(result)? as RawFd;
    // SAFETY: the kernel has just returned this descriptor, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
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
        socket::inode(socket.as_fd()).expect("fstat")
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
            assert!(of_process.descriptor(number).is_err());
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

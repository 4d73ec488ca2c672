//! Calls that wait for an answer, seccomp_unotify(2).

use std::io;
use std::mem;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The descriptor that tells of calls.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// A call that waits.
#[derive(Debug)]
pub struct Notification {
    id: u64,
    /// The thread that makes it.
    pub pid: i32,
    pub call: Call,
}

#[derive(Debug)]
pub enum Call {
    Bind {
        socket: i32,
        /// Where the address is in the caller's memory.
        address: u64,
        length: usize,
    },
    Listen {
        socket: i32,
        backlog: i32,
    },
    SetOption {
        socket: i32,
        level: i32,
        name: i32,
        /// Where the value is in the caller's memory.
        value: u64,
        length: usize,
    },
}

#[derive(Debug)]
pub enum Reply {
    /// The kernel makes the call as if it had not been stopped.
    Continue,
    /// The call returns without being made: 0, or an errno.
    Return(i32),
}

/// A later kernel may write more than it does today, never more than this.
#[repr(C)]
struct Room<T>(T, [u64; 32]);

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`, Linux 6.6.
const SYNC_WAKE_UP: u64 = 1;

impl Listener {
    pub fn new(descriptor: OwnedFd) -> Self {
        let request = libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS;
        // The caller waits for us, and we for it: one processor is best. Before Linux 6.6 this fails, and
        // nothing is lost.
        // SAFETY: the call takes a number.
        unsafe { libc::ioctl(descriptor.as_raw_fd(), request as _, SYNC_WAKE_UP) };
        Self(descriptor)
    }

    /// Waits for the next call; `None` if its caller has died, and perhaps everybody, see
    /// [`is_over`](Listener::is_over).
    pub fn receive(&self) -> io::Result<Option<Notification>> {
        // SAFETY: integers, for which the kernel demands zeros.
        let mut room: Room<libc::seccomp_notif> = unsafe { mem::zeroed() };
        // SAFETY: the kernel writes a seccomp_notif to the room, which is longer.
        let result = unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_RECV as _,
                &raw mut room,
            )
        };
        match Errno::result(result) {
            Ok(_) => {}
            Err(Errno::ENOENT | Errno::EINTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let Room(notification, _) = room;
        Ok(Some(Notification {
            id: notification.id,
            pid: notification.pid as i32,
            call: Call::of(&notification.data),
        }))
    }

    /// Whether nobody is left under the filter.
    pub fn is_over(&self) -> bool {
        self.poll(PollTimeout::ZERO)
    }

    /// Waits for a call. Returns true if nobody is left under the filter. Before Linux 6.11
    /// [`receive`](Listener::receive) would wait on.
    pub fn wait_or_over(&self) -> bool {
        self.poll(PollTimeout::NONE)
    }

    fn poll(&self, timeout: PollTimeout) -> bool {
        let mut inputs = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        poll(&mut inputs, timeout).is_ok()
            && inputs[0]
                .revents()
                .is_some_and(|events| events.contains(PollFlags::POLLHUP))
    }

    /// Whether the call still waits, and thus its caller's process id is still its own.
    pub fn is_waiting(&self, notification: &Notification) -> bool {
        let request = libc::SECCOMP_IOCTL_NOTIF_ID_VALID;
        // SAFETY: the kernel reads the id.
        unsafe { libc::ioctl(self.0.as_raw_fd(), request as _, &raw const notification.id) == 0 }
    }

    /// Gives the caller a descriptor, closed on exec, and its number.
    #[cfg(target_arch = "x86_64")]
    pub fn give(&self, to: &Notification, descriptor: BorrowedFd<'_>) -> Result<i32, Errno> {
        self.add_descriptor(to, descriptor, None, true, 0)
    }

    /// Puts a descriptor in the place of one of the caller's.
    pub fn replace(
        &self,
        to: &Notification,
        descriptor: BorrowedFd<'_>,
        number: i32,
        closed_on_exec: bool,
    ) -> Result<(), Errno> {
        self.add_descriptor(to, descriptor, Some(number), closed_on_exec, 0)
            .map(drop)
    }

    /// Gives the caller a descriptor, closed on exec, whose number its call returns.
    pub fn answer_with(&self, to: &Notification, descriptor: BorrowedFd<'_>) -> Result<(), Errno> {
        let flags = libc::SECCOMP_ADDFD_FLAG_SEND as u32;
        self.add_descriptor(to, descriptor, None, true, flags)
            .map(drop)
    }

    fn add_descriptor(
        &self,
        to: &Notification,
        descriptor: BorrowedFd<'_>,
        number: Option<i32>,
        closed_on_exec: bool,
        flags: u32,
    ) -> Result<i32, Errno> {
        let set = match number {
            Some(_) => libc::SECCOMP_ADDFD_FLAG_SETFD as u32,
            None => 0,
        };
        let request = libc::seccomp_notif_addfd {
            id: to.id,
            flags: flags | set,
            srcfd: descriptor.as_raw_fd().cast_unsigned(),
            newfd: number.unwrap_or(0).cast_unsigned(),
            newfd_flags: match closed_on_exec {
                true => libc::O_CLOEXEC.cast_unsigned(),
                false => 0,
            },
        };
        // SAFETY: the kernel reads the request, as long as its number says.
        Errno::result(unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_ADDFD as _,
                &raw const request,
            )
        })
    }

    /// Answers; the caller may have died, which is no error.
    pub fn reply(&self, notification: &Notification, reply: Reply) -> io::Result<()> {
        let (error, flags) = match reply {
            Reply::Continue => (0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
            Reply::Return(errno) => (-errno, 0),
        };
        let response = libc::seccomp_notif_resp {
            id: notification.id,
            val: 0,
            error,
            flags,
        };
        let mut room = Room(response, [0; 32]);
        // SAFETY: the kernel reads a seccomp_notif_resp from the room.
        let result = unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SEND as _,
                &raw mut room,
            )
        };
        match Errno::result(result) {
            Ok(_) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Call {
    fn of(data: &libc::seccomp_data) -> Self {
        // The kernel takes the lower half of a register for an int.
        let int = |index: usize| data.args[index] as i32;
        // A negative length is of nothing either.
        let length = |index| usize::try_from(int(index)).unwrap_or(0);
        match i64::from(data.nr) {
            libc::SYS_listen => Self::Listen {
                socket: int(0),
                backlog: int(1),
            },
            libc::SYS_setsockopt => Self::SetOption {
                socket: int(0),
                level: int(1),
                name: int(2),
                value: data.args[3],
                length: length(4),
            },
            _ => Self::Bind {
                socket: int(0),
                address: data.args[1],
                length: length(2),
            },
        }
    }
}

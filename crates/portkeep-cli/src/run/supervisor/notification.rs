//! Calls that wait for an answer, seccomp_unotify(2).

use std::io;
use std::mem;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

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

impl Listener {
    pub fn new(descriptor: OwnedFd) -> Self {
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
        let arguments = notification.data.args;
        // The kernel takes the lower half of a register for an int.
        let socket = arguments[0] as i32;
        let call = if i64::from(notification.data.nr) == libc::SYS_listen {
            Call::Listen {
                socket,
                backlog: arguments[1] as i32,
            }
        } else {
            Call::Bind {
                socket,
                address: arguments[1],
                // A negative one is of no address either.
                length: usize::try_from(arguments[2] as i32).unwrap_or(0),
            }
        };
        Ok(Some(Notification {
            id: notification.id,
            pid: notification.pid as i32,
            call,
        }))
    }

    /// Whether nobody is left under the filter.
    pub fn is_over(&self) -> bool {
        let mut inputs = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        poll(&mut inputs, PollTimeout::ZERO).is_ok()
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

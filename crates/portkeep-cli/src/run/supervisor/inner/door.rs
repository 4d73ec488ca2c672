//! The inner run's way to the outer one.

use std::io;
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};

use nix::errno::Errno;

use crate::run::supervisor::inner::{ToInner, ToOuter, channel};
use crate::run::supervisor::notification::Call;

/// The backlog that asks for the door: no program listens on no socket, with so long a queue.
const DOOR: i32 = 0x504b_0002;

impl Call {
    /// Whether it knocks at the door.
    pub fn is_knock(&self) -> bool {
        matches!(
            self,
            Self::Listen {
                socket: -1,
                backlog: DOOR
            }
        )
    }
}

/// A channel to the outer run.
#[derive(Debug)]
pub struct Door(pub(super) OwnedFd);

/// The outer run's door, if there is one.
pub fn knock() -> Result<Option<Door>, Errno> {
    // SAFETY: the call takes no pointers.
    match Errno::result(unsafe { libc::listen(-1, DOOR) }) {
        // SAFETY: the outer run has just put this descriptor here, nobody else owns it.
        Ok(descriptor) => Ok(Some(Door(unsafe { OwnedFd::from_raw_fd(descriptor) }))),
        // No filter, or one whose holder has gone.
        Err(Errno::EBADF | Errno::ENOSYS) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Door {
    /// Has the outer run send us the sockets that want to bind to these ports.
    pub fn register(&self, ranges: Vec<(u16, u16)>) -> io::Result<()> {
        channel::send(self.0.as_fd(), &ToOuter::Register(ranges), None)?;
        match channel::receive(self.0.as_fd())? {
            Some((ToInner::Registered, _)) => Ok(()),
            _ => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

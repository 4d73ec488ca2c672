//! A library that the command's programs load, for those who ask (`LD_PRELOAD`, ld.so(8)).
//!
//! It leads to sockets that are out of the holder's reach: under Yama's ptrace_scope 2 and 3, and those of
//! programs that are undumpable. The library, `bind.c`, knocks with a listen(2) that fails wherever no
//! supervisor sees it, is answered with a channel, and sends the socket and what is to be done with it.
//! Programs that do not load it (static ones, and those that gain privileges) meet held ports as strangers do.

mod library;
mod sent;

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socketpair};

use crate::run::supervisor::notification::{Call, Listener, Notification};

pub use library::Library;
pub use sent::Sent;

/// The backlog of a listen(2) on no socket that asks for a channel.
const KNOCK: i32 = 0x504b_0001;

impl Call {
    /// Whether the library makes it, to send a socket.
    pub fn is_of_library(&self) -> bool {
        matches!(
            self,
            Self::Listen {
                socket: -1,
                backlog: KNOCK
            }
        )
    }
}

/// Asks as the library does, and sends nothing; gives whether it is answered. Async-signal-safe.
pub fn knock() -> bool {
    // SAFETY: the call takes no pointers.
    let channel = unsafe { libc::listen(-1, KNOCK) };
    // SAFETY: it is the channel, which nobody else has; or no descriptor.
    channel >= 0 && unsafe { libc::close(channel) } == 0
}

/// A channel to a program that has loaded the library.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// Answers a program that knocks.
    pub fn open(listener: &Listener, knock: &Notification) -> Result<Self, Errno> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        listener.answer_with(knock, theirs.as_fd())?;
        Ok(Self(ours))
    }

    /// What is sent; `None` if nothing comes, or not what the library sends.
    pub fn receive(&self) -> Option<Sent> {
        Sent::receive(self.0.as_fd())
    }

    /// Tells what the call came to: 0 or an errno, or that the kernel is to have it.
    pub fn answer(&self, result: Option<i32>) -> io::Result<()> {
        let bytes = result.unwrap_or(-1).to_ne_bytes();
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        send(self.0.as_raw_fd(), &bytes, flags)?;
        Ok(())
    }
}

//! The messages between the foreground process and the holder.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::run::signals::ReceivedSignal;

/// A report of the holder to the foreground process.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// The ports are refused, the command does not start, or the holder fails. The holder ends.
    Failed(Error),
    /// The command has ended.
    Ended {
        /// Its status as shells give it.
        code: u8,
        /// Whether the holder stays for the command's descendants.
        holder_stays: bool,
        /// What may have made it fail.
        reason: Option<String>,
    },
}

/// One end of a connection that sends `S` and receives `R`, one message per packet.
#[derive(Debug)]
pub struct Channel<S, R> {
    socket: OwnedFd,
    messages: PhantomData<(S, R)>,
}

/// The result of receiving.
#[derive(Debug)]
pub enum Received<R> {
    Message(R),
    Nothing,
    /// The other end is closed.
    Closed,
}

/// The foreground process's end.
pub type ToHolder = Channel<ReceivedSignal, Report>;
/// The holder's end.
pub type ToForeground = Channel<Report, ReceivedSignal>;

/// The longest message, far longer than any error.
const MESSAGE_MAX: usize = 64 * 1024;

impl ToHolder {
    /// A connected pair of non-blocking sockets that are closed on exec.
    pub fn pair() -> io::Result<(ToHolder, ToForeground)> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok((Channel::new(ours), Channel::new(theirs)))
    }
}

impl<S: Serialize, R: DeserializeOwned> Channel<S, R> {
    fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            messages: PhantomData,
        }
    }

    /// Sends a message. It is not an error if the other end is closed.
    pub fn send(&self, message: &S) -> io::Result<()> {
        let packet = serde_json::to_vec(message)?;
        match send(self.socket.as_raw_fd(), &packet, MsgFlags::MSG_NOSIGNAL) {
            Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub fn receive(&self) -> io::Result<Received<R>> {
        let mut packet = vec![0; MESSAGE_MAX];
        loop {
            return match recv(self.socket.as_raw_fd(), &mut packet, MsgFlags::empty()) {
                Ok(0) => Ok(Received::Closed),
                Ok(length) => Ok(Received::Message(serde_json::from_slice(
                    &packet[..length],
                )?)),
                Err(Errno::EAGAIN) => Ok(Received::Nothing),
                // ECONNRESET says, once, that the other end has not read all our messages. Its last
                // message may still be waiting.
                Err(Errno::EINTR | Errno::ECONNRESET) => continue,
                Err(error) => Err(error.into()),
            };
        }
    }
}

impl<S, R> AsFd for Channel<S, R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

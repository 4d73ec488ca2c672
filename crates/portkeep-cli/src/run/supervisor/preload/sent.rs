//! A call and its socket, as the library sends them: `struct request` of `bind.c`.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recvmsg};

use crate::run::supervisor::request::Request;
use crate::run::supervisor::{address, rights};

/// A call that the holder is to make.
#[derive(Debug)]
pub struct Sent {
    pub socket: OwnedFd,
    pub request: Request,
}

/// The backlog, the length of the address, and room for it.
const LENGTH: usize = 8 + address::STORAGE;
/// In place of a backlog.
const BIND: i32 = -1;

impl Sent {
    /// The process may be any of the command's, and may send anything.
    pub fn receive(from: BorrowedFd<'_>) -> Option<Self> {
        let mut packet = [0; LENGTH];
        let mut space = cmsg_space!([RawFd; 1]);
        let (length, socket) = loop {
            let mut buffers = [IoSliceMut::new(&mut packet)];
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            match recvmsg::<()>(from.as_raw_fd(), &mut buffers, Some(&mut space), flags) {
                Ok(message) => break (message.bytes, rights::descriptor(&message).ok()?),
                Err(Errno::EINTR) => {}
                Err(_) => return None,
            }
        };
        Some(Self {
            request: parse(&packet[..length])?,
            socket: socket?,
        })
    }
}

fn parse(packet: &[u8]) -> Option<Request> {
    let packet: &[u8; LENGTH] = packet.try_into().ok()?;
    let (backlog, rest) = packet.split_first_chunk()?;
    let (length, address) = rest.split_first_chunk()?;
    match i32::from_ne_bytes(*backlog) {
        BIND => {
            let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
            Some(Request::Bind(address.get(..length)?.to_vec()))
        }
        backlog => Some(Request::Listen(backlog)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(backlog: i32, length: u32) -> [u8; LENGTH] {
        let mut packet = [7; LENGTH];
        packet[..4].copy_from_slice(&backlog.to_ne_bytes());
        packet[4..8].copy_from_slice(&length.to_ne_bytes());
        packet
    }

    #[test]
    fn what_the_library_sends() {
        let bind = parse(&packet(BIND, 16));
        assert!(matches!(bind, Some(Request::Bind(address)) if address == [7; 16]));
        let listen = parse(&packet(5, 0));
        assert!(matches!(listen, Some(Request::Listen(5))));
    }

    #[test]
    fn what_it_does_not() {
        let packet = packet(BIND, 129);
        assert!(parse(&packet).is_none());
        assert!(parse(&packet[..LENGTH - 1]).is_none());
        assert!(parse(&[]).is_none());
    }
}

//! Messages between the trial and its workers.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// More than any message has.
const LONGEST: usize = 4096;

/// One end of a pair of connected sockets, whose messages may bring a descriptor along.
#[derive(Debug)]
pub(crate) struct Wire(OwnedFd);

impl Wire {
    pub(crate) fn pair() -> (Wire, Wire) {
        let kind = SockType::SeqPacket;
        let (one, other) = socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC)
            .expect("make a socket pair");
        (Wire(one), Wire(other))
    }

    pub(crate) fn from_fd(fd: OwnedFd) -> Wire {
        Wire(fd)
    }

    pub(crate) fn into_fd(self) -> OwnedFd {
        self.0
    }

    /// Fails if the other end is gone.
    pub(crate) fn send(
        &self,
        message: &impl Serialize,
        fd: Option<impl AsFd>,
    ) -> Result<(), String> {
        let bytes = serde_json::to_vec(message).expect("a message in JSON");
        let fds: Vec<RawFd> = fd.iter().map(|fd| fd.as_fd().as_raw_fd()).collect();
        let control = [ControlMessage::ScmRights(&fds)];
        let control = if fds.is_empty() { &[] } else { &control[..] };
        let data = [IoSlice::new(&bytes)];
        let (to, flags) = (self.0.as_raw_fd(), MsgFlags::MSG_NOSIGNAL);
        sendmsg::<()>(to, &data, control, flags, None)
            .map(drop)
            .map_err(|error| format!("send to the other process: {error}"))
    }

    /// Fails if the other end is gone.
    pub(crate) fn receive<T: DeserializeOwned>(&self) -> Result<(T, Option<OwnedFd>), String> {
        let mut bytes = [0; LONGEST];
        let mut data = [IoSliceMut::new(&mut bytes)];
        let mut space = nix::cmsg_space!(RawFd);
        let (from, flags) = (self.0.as_raw_fd(), MsgFlags::MSG_CMSG_CLOEXEC);
        let message = recvmsg::<()>(from, &mut data, Some(&mut space), flags)
            .map_err(|error| format!("receive from the other process: {error}"))?;
        let length = message.bytes;
        let fd = message
            .cmsgs()
            .expect("the control messages")
            .find_map(|control| match control {
                ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
                _ => None,
            });
        // SAFETY: the kernel has just made this descriptor for us; nothing else owns it.
        let fd = fd.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        if length == 0 {
            return Err("the other process is gone".into());
        }
        let message = serde_json::from_slice(&bytes[..length]).expect("a message in JSON");
        Ok((message, fd))
    }
}

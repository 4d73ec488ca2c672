//! Numbers and descriptors from one process to another.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, setsockopt, socketpair, sockopt,
};
use nix::sys::time::TimeVal;

use crate::event::PATIENCE;

/// One end of a pair of connected Unix sockets that carry numbers (tokens, ports, process ids) and
/// descriptors (`SCM_RIGHTS`, unix(7)). Receiving panics after 30 seconds without a message.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// Two connected ends. Make them before the fork; each process uses one.
    #[must_use]
    pub fn pair() -> (Self, Self) {
        let kind = SockType::SeqPacket;
        let (one, other) = socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC)
            .expect("make a socket pair");
        let patience = TimeVal::new(PATIENCE.as_secs().cast_signed(), 0);
        for end in [&one, &other] {
            setsockopt(end, sockopt::ReceiveTimeout, &patience).expect("set SO_RCVTIMEO");
        }
        (Self(one), Self(other))
    }

    /// Sends a number.
    pub fn send(&self, number: u64) {
        self.send_message(number, &[]);
    }

    /// Receives a number.
    #[must_use]
    pub fn recv(&self) -> u64 {
        let (number, fd) = self.recv_message();
        assert!(
            fd.is_none(),
            "a descriptor came where a number was expected"
        );
        number
    }

    /// Sends a descriptor; the receiver gets another one for the same open file.
    pub fn send_fd(&self, fd: impl AsFd) {
        let fds = [fd.as_fd().as_raw_fd()];
        self.send_message(0, &[ControlMessage::ScmRights(&fds)]);
    }

    /// Receives a descriptor, close-on-exec.
    #[must_use]
    pub fn recv_fd(&self) -> OwnedFd {
        self.recv_message()
            .1
            .expect("a number came where a descriptor was expected")
    }

    fn send_message(&self, number: u64, control: &[ControlMessage<'_>]) {
        let number = number.to_ne_bytes();
        let data = [IoSlice::new(&number)];
        sendmsg::<()>(
            self.0.as_raw_fd(),
            &data,
            control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        )
        .expect("send to the other process");
    }

    fn recv_message(&self) -> (u64, Option<OwnedFd>) {
        let mut number = [0; 8];
        let mut data = [IoSliceMut::new(&mut number)];
        let mut space = nix::cmsg_space!(RawFd);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(self.0.as_raw_fd(), &mut data, Some(&mut space), flags)
            .expect("receive from the other process");
        assert_eq!(message.bytes, 8, "the other process is gone");
        let fd = message
            .cmsgs()
            .expect("the control messages")
            .find_map(|control| match control {
                ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
                _ => None,
            });
        // SAFETY: the kernel has just made this descriptor for us; nothing else owns it.
        let fd = fd.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        (u64::from_ne_bytes(number), fd)
    }
}

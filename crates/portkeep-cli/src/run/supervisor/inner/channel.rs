//! Messages with descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, recvmsg, sendmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::run::supervisor::rights;

/// The longest message: a list of ranges of ports.
const MESSAGE_MAX: usize = 64 * 1024;

/// Sends a message, and does not wait for one who does not read.
pub fn send(
    to: BorrowedFd<'_>,
    message: &impl Serialize,
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let packet = serde_json::to_vec(message)?;
    let descriptors = descriptor.map(|it| [it.as_raw_fd()]);
    let rights = descriptors
        .as_ref()
        .map(|it| [ControlMessage::ScmRights(it)]);
    let rights = rights.as_ref().map_or(&[][..], |it| &it[..]);
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    sendmsg::<()>(
        to.as_raw_fd(),
        &[IoSlice::new(&packet)],
        rights,
        flags,
        None,
    )?;
    Ok(())
}

/// Waits for a message; `None` if the other end has gone.
pub fn receive<M: DeserializeOwned>(
    from: BorrowedFd<'_>,
) -> io::Result<Option<(M, Option<OwnedFd>)>> {
    let mut packet = vec![0; MESSAGE_MAX];
    let mut space = cmsg_space!([RawFd; 1]);
    let (length, descriptor) = loop {
        let mut buffers = [IoSliceMut::new(&mut packet)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        match recvmsg::<()>(from.as_raw_fd(), &mut buffers, Some(&mut space), flags) {
            Ok(message) => break (message.bytes, rights::descriptor(&message)?),
            Err(Errno::EINTR) => {}
            Err(Errno::ECONNRESET) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    };
    if length == 0 {
        return Ok(None);
    }
    Ok(Some((
        serde_json::from_slice(&packet[..length])?,
        descriptor,
    )))
}

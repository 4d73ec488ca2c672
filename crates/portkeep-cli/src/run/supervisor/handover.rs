//! How the filter's descriptor gets from the command, which must install it, to the holder.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::Arc;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};

use crate::run::supervisor::notification::Listener;
use crate::run::supervisor::{Shared, Supervisor, filter, threads};

/// The command's end, before it is executed.
#[derive(Debug)]
pub struct ToHolder(OwnedFd);

/// The holder's end.
#[derive(Debug)]
pub struct FromCommand(OwnedFd);

pub fn pair() -> io::Result<(FromCommand, ToHolder)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    Ok((FromCommand(ours), ToHolder(theirs)))
}

impl ToHolder {
    /// Installs the filter and hands it over, or tells why not, in which case the command does
    /// without. Async-signal-safe.
    pub fn install_filter(&self) -> io::Result<()> {
        let socket = self.0.as_raw_fd();
        let send = |errno: i32, messages: &[ControlMessage<'_>]| {
            let bytes = errno.to_ne_bytes();
            let flags = MsgFlags::MSG_NOSIGNAL;
            sendmsg::<()>(socket, &[IoSlice::new(&bytes)], messages, flags, None).map(drop)
        };
        match filter::install() {
            Ok(listener) => send(0, &[ControlMessage::ScmRights(&[listener.as_raw_fd()])]),
            Err(error) => send(error as i32, &[]),
        }?;
        Ok(())
    }
}

impl FromCommand {
    /// Takes what a command that has been executed has sent, and supervises it from now on; or tells why
    /// that cannot be.
    pub fn supervise(self, holding: &Arc<Shared>) -> io::Result<Result<(), Errno>> {
        let mut bytes = [0; 4];
        let mut space = cmsg_space!([std::os::fd::RawFd; 1]);
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(self.0.as_raw_fd(), &mut buffers, Some(&mut space), flags)?;
        let listener = message.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::ScmRights(descriptors) => descriptors.first().copied(),
            _ => None,
        });
        let Some(descriptor) = listener else {
            return Ok(Err(Errno::from_raw(i32::from_ne_bytes(bytes))));
        };
        // SAFETY: the kernel has just made this descriptor, nobody else owns it.
        let listener = Listener::new(unsafe { OwnedFd::from_raw_fd(descriptor) });
        threads::start(Supervisor::new(listener, Arc::clone(holding)))?;
        Ok(Ok(()))
    }
}

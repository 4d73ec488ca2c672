//! How the filter's descriptor gets from the command, which must install it, to the holder.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recvmsg, sendmsg, socketpair,
};

use crate::run::supervisor::filter::{Filter, Tells};
use crate::run::supervisor::notification::Listener;
use crate::run::supervisor::rights;
use crate::run::supervisor::trial::{self, NoWay};
use crate::run::supervisor::way::{self, Way};

/// The command's end, before it is executed.
#[derive(Debug)]
pub struct ToHolder {
    socket: OwnedFd,
    filter: Filter,
    preloads: bool,
}

/// The holder's end.
#[derive(Debug)]
pub struct FromCommand {
    socket: OwnedFd,
    preloads: bool,
}

/// For a command whose programs load the library, or not.
pub fn pair(preloads: bool) -> io::Result<(FromCommand, ToHolder)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    let tells = match preloads {
        true => Tells::Knocks,
        // Where sockets are to be had, none takes another's place.
        false if way::can_copy() => Tells::Binds,
        false => Tells::BindsAndOptions,
    };
    let to_holder = ToHolder {
        socket: theirs,
        filter: Filter::new(tells),
        preloads,
    };
    let from_command = FromCommand {
        socket: ours,
        preloads,
    };
    Ok((from_command, to_holder))
}

impl ToHolder {
    /// Installs the filter, hands it over and makes the trial of it; or tells why not. Async-signal-safe.
    pub fn install_filter(&self) -> io::Result<()> {
        let socket = self.socket.as_raw_fd();
        let send = |errno: i32, messages: &[ControlMessage<'_>]| {
            let bytes = errno.to_ne_bytes();
            let flags = MsgFlags::MSG_NOSIGNAL;
            sendmsg::<()>(socket, &[IoSlice::new(&bytes)], messages, flags, None).map(drop)
        };
        match self.filter.install() {
            Ok(listener) => {
                send(0, &[ControlMessage::ScmRights(&[listener.as_raw_fd()])])?;
                drop(listener);
                trial::make(self.preloads);
            }
            Err(error) => send(error as i32, &[])?,
        }
        Ok(())
    }
}

/// What calls come by, and how they are served.
#[derive(Debug)]
pub struct Tried {
    pub listener: Listener,
    pub way: Way,
    /// How many seccomp filters it is started with.
    pub filters: u32,
}

impl FromCommand {
    /// Takes what a child that has not been executed yet sends, and tries the ways to its sockets; or tells
    /// why there is none.
    pub fn try_ways(&self) -> io::Result<Result<Tried, NoWay>> {
        let mut input = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        while let Err(error) = poll(&mut input, PollTimeout::NONE) {
            if error != Errno::EINTR {
                return Err(error.into());
            }
        }
        let mut bytes = [0; 4];
        let mut space = cmsg_space!([std::os::fd::RawFd; 1]);
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let socket = self.socket.as_raw_fd();
        let message = recvmsg::<()>(socket, &mut buffers, Some(&mut space), flags)?;
        let Some(descriptor) = rights::descriptor(&message)? else {
            // It has ended, if it has not said why.
            let error = match i32::from_ne_bytes(bytes) {
                0 => Errno::ESRCH,
                error => Errno::from_raw(error),
            };
            return Ok(Err(NoWay::of("seccomp", error)));
        };
        let listener = Listener::new(descriptor);
        let judged = trial::judge(&listener, self.preloads)?;
        Ok(judged.map(|(way, filters)| Tried {
            listener,
            way,
            filters,
        }))
    }
}

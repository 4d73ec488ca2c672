//! A copy that the thread itself sends: it is stopped and made to (ptrace(2)).
//!
//! It is given one end of a pair of sockets, and its call is answered with ENOSYS, so that whatever kills
//! us from now on leaves it with an honest error. On its way out of the call it sends the descriptor, and
//! closes that end. Then its call returns what has come of the bind.

use std::io::IoSliceMut;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recvmsg, socketpair};

use crate::run::supervisor::notification::{Listener, Notification, Reply};
use crate::run::supervisor::rights;
use crate::run::supervisor::way::thread::{Seized, Stopped};

/// What has become of a call.
#[derive(Debug)]
pub enum Fetched {
    /// The thread is stopped; this is a copy of its socket.
    Copy(Stopped, OwnedFd),
    /// The thread is stopped, and has not given its socket.
    Refused(Stopped, Errno),
    /// The thread has died.
    Gone,
    /// Nothing: it waits for its answer still, and may be traced by us.
    Untouched(Option<Seized>, Errno),
}

/// Has a thread give a copy of one of its descriptors.
pub fn fetch(listener: &Listener, notification: &Notification, number: i32) -> Fetched {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags);
    let (ours, theirs) = match pair {
        Ok(pair) => pair,
        Err(error) => return Fetched::Untouched(None, error),
    };
    let thread = match Seized::new(notification.pid) {
        Ok(thread) => thread,
        Err(error) => return Fetched::Untouched(None, error),
    };
    let given = match listener.give(notification, theirs.as_fd()) {
        Ok(given) => given,
        Err(error) => return Fetched::Untouched(Some(thread), error),
    };
    let answer = || {
        // That it fails shows where the thread stops.
        let _ = listener.reply(notification, Reply::Return(libc::ENOSYS));
    };
    let Ok(mut stopped) = thread.stop(answer) else {
        return Fetched::Gone;
    };
    if !stopped.can_call() {
        return Fetched::Refused(stopped, Errno::ENOSYS);
    }
    let sent = send(&stopped, given, number);
    let closed = stopped.call(libc::SYS_close, [given.cast_unsigned().into(), 0, 0]);
    let closed = closed.and_then(|_| stopped.settle());
    match (sent, closed) {
        (_, Err(_)) => Fetched::Gone,
        (Ok(_), _) => match receive(&ours) {
            Some(copy) => Fetched::Copy(stopped, copy),
            None => Fetched::Refused(stopped, Errno::EIO),
        },
        (Err(error), _) => Fetched::Refused(stopped, error),
    }
}

/// sendmsg(2) of one byte and a descriptor.
fn send(stopped: &Stopped, channel: i32, number: i32) -> Result<(), Errno> {
    const FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let arguments = |base| [channel.cast_unsigned().into(), base, FLAGS as u64];
    let message = |base| message(base, number);
    match stopped.call_with(libc::SYS_sendmsg, message, arguments, MESSAGE)? {
        1 => Ok(()),
        error => Err(Errno::from_raw(error.wrapping_neg() as i32)),
    }
}

const VECTOR: usize = size_of::<libc::msghdr>();
const CONTROL: usize = VECTOR + size_of::<libc::iovec>();
/// A header and one descriptor.
const CONTROL_LENGTH: usize = size_of::<libc::cmsghdr>() + 8;
const MESSAGE: usize = CONTROL + CONTROL_LENGTH;

/// A `struct msghdr` and what it points to, for the address that it will be at: words of 64 bits, as all
/// pointers and lengths are. The byte that is sent is the first of the control message.
fn message(base: u64, number: i32) -> Vec<u8> {
    let at = |offset: usize| base + offset as u64;
    let header = size_of::<libc::cmsghdr>() as u64;
    let level_and_type = u64::from(libc::SOL_SOCKET.cast_unsigned())
        | u64::from(libc::SCM_RIGHTS.cast_unsigned()) << 32;
    let words = [
        // Name and its length, the vector and its, the control message and its, flags.
        0,
        0,
        at(VECTOR),
        1,
        at(CONTROL),
        CONTROL_LENGTH as u64,
        0,
        // The vector: the byte.
        at(CONTROL),
        1,
        // The control message: its length, level and type, descriptor.
        header + 4,
        level_and_type,
        number.cast_unsigned().into(),
    ];
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

const _: () = assert!(MESSAGE == 12 * 8 && VECTOR == 7 * 8);

fn receive(from: &OwnedFd) -> Option<OwnedFd> {
    let mut byte = [0; 1];
    let mut space = cmsg_space!([RawFd; 1]);
    let mut buffers = [IoSliceMut::new(&mut byte)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(from.as_raw_fd(), &mut buffers, Some(&mut space), flags).ok()?;
    rights::descriptor(&message).ok()?
}

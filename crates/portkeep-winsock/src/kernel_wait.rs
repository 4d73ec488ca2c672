//! Calls that wait in the kernel, and `closesocket` meanwhile, which ends them as on Windows: with
//! `WSAEINTR`. Linux lets such a call wait on when its descriptor is closed.
//!
//! A call that finds something to do at once never comes here. One that has to wait is noted at its
//! sockets; `socket::close` shuts those down, which wakes every call, and waits until the last has left.

use std::ffi::c_int;

use crate::code::Code;
use crate::monitor;
use crate::socket::{self, Handle};
use crate::thread::{self, ThreadId};

/// Makes a call that may wait at a socket: `WSAEINTR` if that is closed meanwhile, unless the call has
/// done something.
pub(crate) fn at_one<T>(
    descriptor: c_int,
    call: impl FnOnce() -> Result<T, Code>,
    has_done: impl FnOnce(&T) -> bool,
) -> Result<T, Code> {
    let (result, closed) = at(&[descriptor], call);
    match result {
        None => Err(Code::NOTSOCK),
        Some(Ok(done)) if closed.is_empty() || has_done(&done) => Ok(done),
        Some(Err(code)) if closed.is_empty() => Err(code),
        Some(_) => Err(Code::INTR),
    }
}

/// Makes a call that may wait at these sockets: what it says, and which of them were closed meanwhile.
/// `None` if one is being closed already: then nothing is called.
///
/// Descriptors of no socket are passed over: the call says what is wrong with them.
pub(crate) fn at<T>(descriptors: &[c_int], call: impl FnOnce() -> T) -> (Option<T>, Vec<c_int>) {
    let thread = thread::current();
    match enter(descriptors, thread) {
        Ok(sockets) => {
            let result = call();
            (Some(result), leave(&sockets, thread))
        }
        Err(closing) => (None, closing),
    }
}

fn enter(descriptors: &[c_int], thread: ThreadId) -> Result<Vec<Handle>, Vec<c_int>> {
    let mut world = monitor::lock();
    let (mut sockets, mut closing) = (Vec::with_capacity(descriptors.len()), Vec::new());
    for &descriptor in descriptors {
        let Ok(socket) = socket::look_up(&mut world, descriptor as usize) else {
            continue;
        };
        match world.sockets.get(socket) {
            Some(entry) if entry.transfers.closing => closing.push(descriptor),
            _ => sockets.push(socket),
        }
    }
    if !closing.is_empty() {
        return Err(closing);
    }
    for &socket in &sockets {
        if let Some(entry) = world.sockets.get(socket) {
            entry.in_kernel.push(thread);
        }
    }
    Ok(sockets)
}

/// Which of them are being closed.
fn leave(sockets: &[Handle], thread: ThreadId) -> Vec<c_int> {
    let mut world = monitor::lock();
    let mut closing = Vec::new();
    for &socket in sockets {
        // One that close(2) has closed may be another's by now.
        let Some(entry) = world.sockets.get(socket) else {
            continue;
        };
        let threads = &mut entry.in_kernel;
        if let Some(index) = threads.iter().position(|&it| it == thread) {
            threads.swap_remove(index);
        }
        if entry.transfers.closing {
            closing.push(socket.descriptor);
        }
    }
    if !closing.is_empty() {
        world.changed();
    }
    closing
}

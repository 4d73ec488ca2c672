//! Control calls on a socket take turns: one at a time, overlapped ones in their order.
//!
//! A turn that is free is taken at once, so most operations are done before the call returns.
//! Where another thread has it, which may be in its blocking hook for long, an overlapped request
//! is left in the socket's queue, and that thread serves it when its own turn ends. No thread of
//! the library's is needed.

use std::mem::MaybeUninit;

use crate::blocking;
use crate::code::Code;
use crate::monitor::{self, Deadline, Guard, World};
use crate::notice::{Notice, Outcome};
use crate::operation::Operation;
use crate::socket::Handle;
use crate::thread::ThreadId;

/// How often a thread that waits for its turn calls its blocking hook.
const HOOK_INTERVAL_MS: u32 = 10;

/// An overlapped operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) operation: Operation,
    pub(crate) notice: Notice,
}

/// What has become of an overlapped operation when the call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Submitted {
    /// It has succeeded, with so many bytes.
    Done(u32),
    /// Its end is told later, or is told already and is an error.
    Pending,
}

/// Makes a blocking call: waits for the turn, then acts.
///
/// `WSAEINTR` if the blocking hook cancels it or another thread closes the socket.
pub(crate) fn run(socket: Handle, operation: &Operation) -> Result<u32, Code> {
    if operation.takes_no_turn() {
        return operation.perform(socket);
    }
    take_turn(socket)?;
    let hook = blocking::run_hook();
    let mut world = monitor::lock();
    let result = match world.sockets.get(socket) {
        None => return Err(Code::INTR),
        Some(_) => match hook {
            Ok(()) => perform(&mut world, socket, operation),
            Err(code) => Err(code),
        },
    };
    end_turn(world, socket);
    result
}

fn take_turn(socket: Handle) -> Result<(), Code> {
    let mut world = monitor::lock();
    loop {
        let entry = world.sockets.get(socket).ok_or(Code::INTR)?;
        if !entry.busy {
            entry.busy = true;
            return Ok(());
        }
        if blocking::has_hook() {
            drop(world);
            blocking::run_hook()?;
            world = monitor::lock();
            world.wait(Deadline::after(HOOK_INTERVAL_MS));
        } else {
            world.wait(Deadline::NEVER);
        }
    }
}

/// Acts if the turn is free, else leaves the request to the thread that has it.
pub(crate) fn submit(socket: Handle, request: Request) -> Result<Submitted, Code> {
    let mut world = monitor::lock();
    let skips_port = world.sockets.get(socket).ok_or(Code::NOTSOCK)?.skips_port;
    request.notice.start(&mut world)?;
    if request.operation.takes_no_turn() {
        let result = world.unlocked(|| request.operation.perform(socket));
        complete_at_once(&mut world, request.notice, result, skips_port);
        return result.map(Submitted::Done);
    }
    let entry = world.sockets.get(socket).ok_or(Code::NOTSOCK)?;
    if entry.busy {
        entry.waiting.push_back(request);
        return Ok(Submitted::Pending);
    }
    entry.busy = true;
    let result = perform(&mut world, socket, &request.operation);
    complete_at_once(&mut world, request.notice, result, skips_port);
    end_turn(world, socket);
    Ok(result.map_or(Submitted::Pending, Submitted::Done))
}

/// A program may have said that success in the call needs no packet.
fn complete_at_once(
    world: &mut Guard,
    mut notice: Notice,
    result: Result<u32, Code>,
    skips_port: bool,
) {
    if skips_port && result.is_ok() {
        notice.port = None;
    }
    notice.complete(world, result.into());
}

/// Acts, with the lock let go.
fn perform(world: &mut Guard, socket: Handle, operation: &Operation) -> Result<u32, Code> {
    set_executing(world, socket, true);
    let result = world.unlocked(|| operation.perform(socket));
    set_executing(world, socket, false);
    world.changed();
    result
}

fn set_executing(world: &mut World, socket: Handle, executing: bool) {
    if let Some(entry) = world.sockets.get(socket) {
        entry.executing = executing;
    }
}

/// Serves the requests that have come meanwhile, and lets the next thread have its turn.
fn end_turn(mut world: Guard, socket: Handle) {
    while let Some(entry) = world.sockets.get(socket) {
        let Some(request) = entry.waiting.pop_front() else {
            entry.busy = false;
            break;
        };
        let result = perform(&mut world, socket, &request.operation);
        request.notice.complete(&mut world, result.into());
    }
    world.changed();
}

/// Aborts the operations of the calling thread, which ends, but for those that tell a port. One that is
/// in the kernel is waited for: its structures may be gone with the thread.
pub(crate) fn abort_of_thread(world: &mut Guard, thread: ThreadId) {
    let is_its = |notice: &Notice| notice.bound_to() == thread;
    let mut aborted: Vec<Notice> = Vec::new();
    for socket in world.sockets.iter_mut() {
        socket.waiting.retain(|request| {
            let taken = is_its(&request.notice);
            if taken {
                aborted.push(request.notice);
            }
            !taken
        });
        // One that was cancelled there by pthread_cancel(3) has not left.
        socket.in_kernel.retain(|&it| it != thread);
        let (transfers, _) = socket.transfers.cancel(|notice, _| is_its(notice));
        aborted.extend(transfers);
    }
    for notice in aborted {
        // The functions that had their variables there have returned; this one has taken the place.
        match is_on_this_stack(notice.overlapped) {
            true => notice.tell(world, Outcome::ABORTED),
            false => notice.complete(world, Outcome::ABORTED),
        }
    }
    world.changed();
    while world.pending.values().any(|&issuer| issuer == thread) {
        world.wait(Deadline::NEVER);
    }
}

fn is_on_this_stack(address: usize) -> bool {
    let mut attributes = MaybeUninit::uninit();
    let (mut start, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the attributes are made by the first call, used by the second and ended by the third.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return false;
        }
        libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut start, &raw mut size);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
    }
    (start.addr()..start.addr().saturating_add(size)).contains(&address)
}

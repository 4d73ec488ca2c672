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
use crate::operation::Operation;
use crate::overlapped;
use crate::socket::Handle;
use crate::thread::{CompletionRoutine, Due, ThreadId};

/// How often a thread that waits for its turn calls its blocking hook.
const HOOK_INTERVAL_MS: u32 = 10;

/// An overlapped operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) operation: Operation,
    /// The address of the `WSAOVERLAPPED`.
    pub(crate) overlapped: usize,
    pub(crate) completion: Completion,
    /// Who made it, and takes it along when it ends.
    pub(crate) thread: ThreadId,
}

/// How the end of an overlapped operation is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Completion {
    /// By the `WSAOVERLAPPED` alone.
    Quiet,
    Event(usize),
    Routine {
        routine: CompletionRoutine,
        thread: ThreadId,
    },
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
    world.sockets.get(socket).ok_or(Code::NOTSOCK)?;
    // A new operation resets the event, as Windows' I/O manager does.
    if let Completion::Event(event) = request.completion {
        world.handles.put_event(event, false)?;
    }
    overlapped::start(request.overlapped)?;
    world.pending.insert(request.overlapped, request.thread);
    if request.operation.takes_no_turn() {
        let result = world.unlocked(|| request.operation.perform(socket));
        complete(&mut world, request, result);
        world.changed();
        return result.map(Submitted::Done);
    }
    let entry = world.sockets.get(socket).ok_or(Code::NOTSOCK)?;
    if entry.busy {
        entry.waiting.push_back(request);
        return Ok(Submitted::Pending);
    }
    entry.busy = true;
    let result = perform(&mut world, socket, &request.operation);
    complete(&mut world, request, result);
    end_turn(world, socket);
    Ok(result.map_or(Submitted::Pending, Submitted::Done))
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
        complete(&mut world, request, result);
    }
    world.changed();
}

/// Tells the end of an operation.
pub(crate) fn complete(world: &mut World, request: Request, result: Result<u32, Code>) {
    overlapped::finish(request.overlapped, result);
    tell(world, request, result);
}

fn tell(world: &mut World, request: Request, result: Result<u32, Code>) {
    world.pending.remove(&request.overlapped);
    match request.completion {
        Completion::Quiet => {}
        // An event that has been closed since is the program's affair.
        Completion::Event(event) => drop(world.handles.put_event(event, true)),
        Completion::Routine { routine, thread } => world.threads.queue(
            thread,
            Due::Completion {
                routine,
                error: result.map_or_else(|code| code.0.unsigned_abs(), |_| 0),
                bytes: result.unwrap_or(0),
                overlapped: request.overlapped,
            },
        ),
    }
}

/// Aborts the requests of a socket that wait for their turn.
pub(crate) fn flush(world: &mut Guard, socket: Handle) {
    let waiting = world
        .sockets
        .get(socket)
        .map(|entry| std::mem::take(&mut entry.waiting));
    for request in waiting.into_iter().flatten() {
        complete(world, request, Err(Code::OPERATION_ABORTED));
    }
    world.changed();
}

/// Aborts the requests of the calling thread, which ends. One that is in the kernel is waited for:
/// its structures may be gone with the thread.
pub(crate) fn abort_of_thread(world: &mut Guard, thread: ThreadId) {
    let mut aborted: Vec<Request> = Vec::new();
    for socket in world.sockets.iter_mut() {
        aborted.extend(
            socket
                .waiting
                .iter()
                .filter(|request| request.thread == thread),
        );
        socket.waiting.retain(|request| request.thread != thread);
    }
    for request in aborted {
        let result = Err(Code::OPERATION_ABORTED);
        // The functions that had their variables there have returned; this one has taken the place.
        if !is_on_this_stack(request.overlapped) {
            overlapped::finish(request.overlapped, result);
        }
        tell(world, request, result);
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

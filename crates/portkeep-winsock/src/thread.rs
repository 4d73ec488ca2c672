//! Threads with their queues of completion routines (Windows' asynchronous procedure calls), which
//! run when the thread waits alertably.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{c_int, c_void};

use crate::blocking::{self, Callback};
use crate::code::Code;
use crate::monitor;
use crate::request;
use crate::user_memory;

/// `LPWSAOVERLAPPED_COMPLETION_ROUTINE`: the error code, the bytes transferred, the `WSAOVERLAPPED`,
/// flags.
pub type CompletionRoutine = unsafe extern "C" fn(u32, u32, *mut c_void, u32);
/// What `WPUQueueApc` queues: one argument of the caller's.
pub type UserRoutine = unsafe extern "C" fn(usize);

/// `WSATHREADID`, 16 bytes (8 on 32-bit): names a thread to `WSPIoctl`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ThreadName {
    /// `ThreadHandle`: the thread's id, `gettid(2)`; 0 is the calling thread.
    pub handle: usize,
    /// `Reserved`: which of the threads that had this id one after the other; 0 is the present one.
    pub reserved: usize,
}

/// A call that is due in a thread's next alertable wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    Completion {
        routine: CompletionRoutine,
        error: u32,
        bytes: u32,
        overlapped: usize,
        flags: u32,
    },
    User {
        routine: UserRoutine,
        context: usize,
    },
}

/// A thread by a number that no later thread has.
pub(crate) type ThreadId = usize;

#[derive(Debug)]
pub(crate) struct Thread {
    tid: libc::pid_t,
    due: VecDeque<Due>,
}

/// The threads that have used the library and not ended.
#[derive(Debug)]
pub(crate) struct Threads {
    last: ThreadId,
    threads: BTreeMap<ThreadId, Thread>,
}

impl Threads {
    pub(crate) const fn new() -> Threads {
        Threads {
            last: 0,
            threads: BTreeMap::new(),
        }
    }

    pub(crate) fn has_routines(&self, thread: ThreadId) -> bool {
        self.threads
            .get(&thread)
            .is_some_and(|thread| !thread.due.is_empty())
    }

    /// Queues a call. That of a thread which has ended is dropped, as Windows does.
    pub(crate) fn queue(&mut self, thread: ThreadId, due: Due) {
        if let Some(thread) = self.threads.get_mut(&thread) {
            thread.due.push_back(due);
        }
    }

    /// The id of the calling thread, which is another one since a fork.
    fn renew(&mut self, thread: ThreadId) -> usize {
        let tid = tid();
        if let Some(thread) = self.threads.get_mut(&thread) {
            thread.tid = tid;
        }
        usize::try_from(tid).unwrap_or(0)
    }

    /// The thread that a `WSATHREADID` names.
    pub(crate) fn named(&self, name: ThreadName) -> Result<ThreadId, Code> {
        self.threads
            .iter()
            .find(|(id, thread)| {
                usize::try_from(thread.tid) == Ok(name.handle)
                    && (name.reserved == 0 || name.reserved == **id)
            })
            .map(|(&id, _)| id)
            .ok_or(Code::INVAL)
    }
}

fn tid() -> libc::pid_t {
    // SAFETY: gettid(2) takes nothing and cannot fail.
    let tid = unsafe { libc::syscall(libc::SYS_gettid) };
    libc::pid_t::try_from(tid).unwrap_or_default()
}

/// The thread's entry in the state, which goes with the thread.
struct Registration(ThreadId);

impl Registration {
    fn new() -> Registration {
        let mut world = monitor::lock();
        world.threads.last += 1;
        let id = world.threads.last;
        let thread = Thread {
            tid: tid(),
            due: VecDeque::new(),
        };
        world.threads.threads.insert(id, thread);
        Registration(id)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut world = monitor::lock();
        world.threads.threads.remove(&self.0);
        request::abort_of_thread(&mut world, self.0);
    }
}

thread_local! {
    static REGISTRATION: Registration = Registration::new();
}

/// The calling thread. 0 names none: that of a thread which is ending.
pub(crate) fn current() -> ThreadId {
    REGISTRATION
        .try_with(|registration| registration.0)
        .unwrap_or(0)
}

/// Calls what is due, in the order in which it became so, and what becomes due meanwhile.
pub(crate) fn call_routines(thread: ThreadId) {
    let next = || {
        let mut world = monitor::lock();
        world.threads.threads.get_mut(&thread)?.due.pop_front()
    };
    while let Some(due) = next() {
        let _inside = blocking::enter(Callback::CompletionRoutine);
        match due {
            Due::Completion {
                routine,
                error,
                bytes,
                overlapped,
                flags,
                // SAFETY: the program gave the routine and the structure for this call.
            } => unsafe { routine(error, bytes, overlapped as *mut c_void, flags) },
            // SAFETY: as above.
            Due::User { routine, context } => unsafe { routine(context) },
        }
    }
}

/// `WPUOpenCurrentThread`: the name of the calling thread, for `WSPIoctl` in another one.
#[unsafe(no_mangle)]
pub extern "C" fn WPUOpenCurrentThread(name: *mut ThreadName, error: *mut c_int) -> c_int {
    let reserved = current();
    let handle = monitor::lock().threads.renew(reserved);
    let name = user_memory::write(name, ThreadName { handle, reserved });
    provider_result(name, error)
}

/// `WPUCloseThread`. A name holds nothing, so there is nothing to do; one of no thread is
/// `WSAEINVAL`.
#[unsafe(no_mangle)]
pub extern "C" fn WPUCloseThread(name: *const ThreadName, error: *mut c_int) -> c_int {
    provider_result(named(name).map(|_| ()), error)
}

/// `WPUQueueApc`: calls a routine in the next alertable wait of a thread.
#[unsafe(no_mangle)]
pub extern "C" fn WPUQueueApc(
    name: *const ThreadName,
    routine: Option<UserRoutine>,
    context: usize,
    error: *mut c_int,
) -> c_int {
    let queued = named(name).and_then(|thread| {
        let routine = routine.ok_or(Code::FAULT)?;
        user_memory::check_readable(routine as *const c_void, 1)?;
        let mut world = monitor::lock();
        world.threads.queue(thread, Due::User { routine, context });
        world.changed();
        Ok(())
    });
    provider_result(queued, error)
}

/// The thread that the caller's `WSATHREADID` names.
pub(crate) fn named(name: *const ThreadName) -> Result<ThreadId, Code> {
    let name = user_memory::read(name)?;
    match name.handle {
        0 => Ok(current()),
        _ => monitor::lock().threads.named(name),
    }
}

/// Functions of the provider's interface tell their error through a pointer.
fn provider_result(result: Result<(), Code>, error: *mut c_int) -> c_int {
    match result {
        Ok(()) => 0,
        Err(code) => {
            // A bad pointer to the error leaves nowhere to tell it.
            let _ = user_memory::write(error, code.0);
            -1
        }
    }
}

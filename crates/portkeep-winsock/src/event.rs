//! Event objects, and waiting for them.
//!
//! An event is set or not, and stays so until it is told otherwise (Windows' manual reset).

use std::collections::BTreeMap;
use std::ffi::c_int;

use crate::code::Code;
use crate::last_error;
use crate::monitor::{self, Deadline};
use crate::startup;
use crate::thread;
use crate::user_memory;

/// `WSA_WAIT_FAILED`
const WAIT_FAILED: u32 = u32::MAX;
/// `WSA_WAIT_TIMEOUT`
const WAIT_TIMEOUT: u32 = 258;
/// `WSA_WAIT_IO_COMPLETION`
pub(crate) const WAIT_IO_COMPLETION: u32 = 0xC0;
/// `WSA_MAXIMUM_WAIT_EVENTS`
const MAXIMUM: usize = 64;

/// The two low bits of a handle mean nothing here: Windows' programs set the lowest one in
/// `WSAOVERLAPPED::hEvent` to keep a completion from the completion port.
const STEP: usize = 4;

/// The events, by handle. A number is never used again, so the handle of an event that has been
/// closed names none.
#[derive(Debug)]
pub(crate) struct Events {
    last: usize,
    set: BTreeMap<usize, bool>,
}

impl Events {
    pub(crate) const fn new() -> Events {
        Events {
            last: 0,
            set: BTreeMap::new(),
        }
    }

    fn create(&mut self) -> usize {
        self.last += STEP;
        self.set.insert(self.last, false);
        self.last
    }

    /// Sets or resets an event. Whoever sets one also tells the monitor.
    pub(crate) fn put(&mut self, handle: usize, set: bool) -> Result<(), Code> {
        let event = self.set.get_mut(&(handle & !(STEP - 1)));
        *event.ok_or(Code::INVALID_HANDLE)? = set;
        Ok(())
    }

    fn is_set(&self, handle: usize) -> Result<bool, Code> {
        let event = self.set.get(&(handle & !(STEP - 1)));
        event.copied().ok_or(Code::INVALID_HANDLE)
    }

    /// The first of the events that is set; with `all`, the first one once all are.
    fn satisfied(&self, handles: &[usize], all: bool) -> Result<Option<usize>, Code> {
        let mut first = None;
        let mut count = 0;
        for (index, &handle) in handles.iter().enumerate() {
            if self.is_set(handle)? {
                first = first.or(Some(index));
                count += 1;
            }
        }
        Ok(first.filter(|_| !all || count == handles.len()))
    }
}

/// `WSACreateEvent`: a new event, not set; 0 (`WSA_INVALID_EVENT`) before `WSAStartup`.
#[unsafe(no_mangle)]
pub extern "C" fn WSACreateEvent() -> usize {
    let mut world = monitor::lock();
    match startup::check() {
        Ok(()) => world.events.create(),
        Err(code) => {
            last_error::set(code);
            0
        }
    }
}

/// `WSASetEvent`
#[unsafe(no_mangle)]
pub extern "C" fn WSASetEvent(event: usize) -> c_int {
    put(event, true)
}

/// `WSAResetEvent`
#[unsafe(no_mangle)]
pub extern "C" fn WSAResetEvent(event: usize) -> c_int {
    put(event, false)
}

fn put(event: usize, set: bool) -> c_int {
    let mut world = monitor::lock();
    let result = startup::check().and_then(|()| world.events.put(event, set));
    if result.is_ok() && set {
        world.changed();
    }
    true_or_last_error(result)
}

/// `WSACloseEvent`. A thread that waits for the event is told `WSA_INVALID_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn WSACloseEvent(event: usize) -> c_int {
    let mut world = monitor::lock();
    let result = startup::check().and_then(|()| {
        let removed = world.events.set.remove(&(event & !(STEP - 1)));
        removed.map(|_| ()).ok_or(Code::INVALID_HANDLE)
    });
    world.changed();
    true_or_last_error(result)
}

/// `BOOL`: 1, or 0 with the last error set.
pub(crate) fn true_or_last_error(result: Result<(), Code>) -> c_int {
    match result {
        Ok(()) => 1,
        Err(code) => {
            last_error::set(code);
            0
        }
    }
}

/// `WSAWaitForMultipleEvents`: waits for one of the events, or for all. An alertable wait also ends
/// when completion routines of this thread were due, which it has then called.
///
/// Errors: `WSA_INVALID_PARAMETER` for no event, for more than 64, or for an unreadable array;
/// `WSA_INVALID_HANDLE` for what is no event, `WSANOTINITIALISED`.
#[unsafe(no_mangle)]
pub extern "C" fn WSAWaitForMultipleEvents(
    count: u32,
    events: *const usize,
    wait_all: c_int,
    timeout: u32,
    alertable: c_int,
) -> u32 {
    let handles = match read_handles(count, events) {
        Ok(handles) => handles,
        Err(code) => {
            last_error::set(code);
            return WAIT_FAILED;
        }
    };
    let deadline = Deadline::after(timeout);
    let thread = thread::current();
    let mut world = monitor::lock();
    loop {
        let satisfied =
            startup::check().and_then(|()| world.events.satisfied(&handles, wait_all != 0));
        match satisfied {
            Ok(None) => {}
            Ok(Some(index)) => return index as u32,
            Err(code) => {
                last_error::set(code);
                return WAIT_FAILED;
            }
        }
        if alertable != 0 && world.threads.has_routines(thread) {
            drop(world);
            thread::call_routines(thread);
            return WAIT_IO_COMPLETION;
        }
        if !world.wait(deadline) {
            return WAIT_TIMEOUT;
        }
    }
}

fn read_handles(count: u32, events: *const usize) -> Result<Vec<usize>, Code> {
    let count = count as usize;
    if count == 0 || count > MAXIMUM {
        return Err(Code::INVALID_PARAMETER);
    }
    (0..count)
        .map(|index| user_memory::read(events.wrapping_add(index)))
        .collect::<Result<_, _>>()
        .map_err(|_| Code::INVALID_PARAMETER)
}

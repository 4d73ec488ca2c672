//! Waiting for objects, and sleeping.

use std::ffi::c_int;

use crate::code::Code;
use crate::handle::{Handles, Object, canonical};
use crate::last_error;
use crate::monitor::{self, Deadline};
use crate::startup;
use crate::thread;
use crate::user_memory;

/// `WAIT_FAILED`
const WAIT_FAILED: u32 = u32::MAX;
/// `WAIT_TIMEOUT`
const WAIT_TIMEOUT: u32 = 258;
/// `WAIT_IO_COMPLETION`
const WAIT_IO_COMPLETION: u32 = 0xC0;
/// `MAXIMUM_WAIT_OBJECTS`
const MAXIMUM: usize = 64;

/// Whose rules a wait follows: Winsock's functions fail before `WSAStartup`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rules {
    Winsock,
    Win32,
}

/// What a thread waits for.
struct Wait {
    handles: Vec<usize>,
    all: bool,
    rules: Rules,
}

impl Wait {
    fn read(count: u32, handles: *const usize, all: bool, rules: Rules) -> Result<Wait, Code> {
        let count = count as usize;
        if count == 0 || count > MAXIMUM {
            return Err(Code::INVALID_PARAMETER);
        }
        let handles = (0..count)
            .map(|index| user_memory::read(handles.wrapping_add(index)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Code::INVALID_PARAMETER)?;
        let wait = Wait {
            handles,
            all,
            rules,
        };
        match all && wait.has_one_twice() {
            true => Err(Code::INVALID_PARAMETER),
            false => Ok(wait),
        }
    }

    /// Windows waits for all of several objects, not for one of them several times.
    fn has_one_twice(&self) -> bool {
        let mut sorted: Vec<_> = self.handles.iter().copied().map(canonical).collect();
        sorted.sort_unstable();
        sorted.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// The index of the object that ends the wait, the first one if all have to.
    fn satisfied(&self, handles: &Handles) -> Result<Option<usize>, Code> {
        if self.rules == Rules::Winsock {
            startup::check()?;
        }
        let set = self
            .handles
            .iter()
            .map(|&handle| is_set(handles, handle))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(match self.all {
            true => set.iter().all(|&set| set).then_some(0),
            false => set.iter().position(|&set| set),
        })
    }

    /// What ends a wait is reset, if it resets itself.
    fn take(&self, handles: &mut Handles, index: usize) {
        let taken = match self.all {
            true => &self.handles[..],
            false => &self.handles[index..=index],
        };
        for &handle in taken {
            if let Ok(Object::Event(event)) = handles.get_mut(handle) {
                event.set &= !event.resets_itself;
            }
        }
    }

    /// The index, `WAIT_TIMEOUT` or `WAIT_IO_COMPLETION`.
    fn make(&self, timeout: u32, alertable: bool) -> Result<u32, Code> {
        let deadline = Deadline::after(timeout);
        let thread = thread::current();
        let mut world = monitor::lock();
        loop {
            if let Some(index) = self.satisfied(&world.handles)? {
                self.take(&mut world.handles, index);
                return Ok(index as u32);
            }
            if alertable && world.threads.has_routines(thread) {
                drop(world);
                thread::call_routines(thread);
                return Ok(WAIT_IO_COMPLETION);
            }
            if !world.wait(deadline) {
                return Ok(WAIT_TIMEOUT);
            }
        }
    }
}

fn is_set(handles: &Handles, handle: usize) -> Result<bool, Code> {
    match handles.get(handle)? {
        Object::Event(event) => Ok(event.set),
        Object::Port(_) => Err(Code::INVALID_HANDLE),
    }
}

fn value(result: Result<u32, Code>) -> u32 {
    result.unwrap_or_else(|code| {
        last_error::set(code);
        WAIT_FAILED
    })
}

/// `WSAWaitForMultipleEvents`: waits for one of the events, or for all. An alertable wait also ends
/// when completion routines of this thread were due, which it has then called.
///
/// Errors: `WSA_INVALID_PARAMETER` for no event, for more than 64, for all of several that are one,
/// and for an unreadable array; `WSA_INVALID_HANDLE` for what is no event, `WSANOTINITIALISED`.
#[unsafe(no_mangle)]
pub extern "C" fn WSAWaitForMultipleEvents(
    count: u32,
    events: *const usize,
    wait_all: c_int,
    timeout: u32,
    alertable: c_int,
) -> u32 {
    let wait = Wait::read(count, events, wait_all != 0, Rules::Winsock);
    value(wait.and_then(|wait| wait.make(timeout, alertable != 0)))
}

/// `WaitForMultipleObjectsEx`: as `WSAWaitForMultipleEvents`, also outside `WSAStartup`.
#[unsafe(no_mangle)]
pub extern "C" fn WaitForMultipleObjectsEx(
    count: u32,
    handles: *const usize,
    wait_all: c_int,
    timeout: u32,
    alertable: c_int,
) -> u32 {
    let wait = Wait::read(count, handles, wait_all != 0, Rules::Win32);
    value(wait.and_then(|wait| wait.make(timeout, alertable != 0)))
}

/// `WaitForMultipleObjects`: not alertable.
#[unsafe(no_mangle)]
pub extern "C" fn WaitForMultipleObjects(
    count: u32,
    handles: *const usize,
    wait_all: c_int,
    timeout: u32,
) -> u32 {
    WaitForMultipleObjectsEx(count, handles, wait_all, timeout, 0)
}

/// `WaitForSingleObjectEx`
#[unsafe(no_mangle)]
pub extern "C" fn WaitForSingleObjectEx(handle: usize, timeout: u32, alertable: c_int) -> u32 {
    let wait = Wait {
        handles: vec![handle],
        all: false,
        rules: Rules::Win32,
    };
    value(wait.make(timeout, alertable != 0))
}

/// `WaitForSingleObject`: not alertable.
#[unsafe(no_mangle)]
pub extern "C" fn WaitForSingleObject(handle: usize, timeout: u32) -> u32 {
    WaitForSingleObjectEx(handle, timeout, 0)
}

/// `SleepEx`: 0 after the time; `WAIT_IO_COMPLETION` as soon as an alertable sleep has called
/// completion routines of this thread.
#[unsafe(no_mangle)]
pub extern "C" fn SleepEx(milliseconds: u32, alertable: c_int) -> u32 {
    let deadline = Deadline::after(milliseconds);
    let thread = thread::current();
    let mut world = monitor::lock();
    loop {
        if alertable != 0 && world.threads.has_routines(thread) {
            drop(world);
            thread::call_routines(thread);
            return WAIT_IO_COMPLETION;
        }
        if !world.wait(deadline) {
            return 0;
        }
    }
}

/// `Sleep`
#[unsafe(no_mangle)]
pub extern "C" fn Sleep(milliseconds: u32) {
    SleepEx(milliseconds, 0);
}

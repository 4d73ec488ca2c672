//! Event objects. Those of Winsock stay set until they are reset (Windows' manual reset); of the others
//! their maker decides.

use std::ffi::{c_char, c_int, c_void};

use libc::wchar_t;

use crate::code::Code;
use crate::handle::{Event, Object};
use crate::last_error::{self, true_or_last_error};
use crate::monitor;
use crate::startup;

const CREATE_EVENT_MANUAL_RESET: u32 = 1;
const CREATE_EVENT_INITIAL_SET: u32 = 2;

/// `WSACreateEvent`: a new event, not set; 0 (`WSA_INVALID_EVENT`) before `WSAStartup`.
#[unsafe(no_mangle)]
pub extern "C" fn WSACreateEvent() -> usize {
    let mut world = monitor::lock();
    match startup::check() {
        Ok(()) => world.handles.open(Object::Event(Event {
            set: false,
            resets_itself: false,
        })),
        Err(code) => {
            last_error::set(code);
            0
        }
    }
}

/// `WSASetEvent`
#[unsafe(no_mangle)]
pub extern "C" fn WSASetEvent(event: usize) -> c_int {
    true_or_last_error(startup::check().and_then(|()| put(event, true)))
}

/// `WSAResetEvent`
#[unsafe(no_mangle)]
pub extern "C" fn WSAResetEvent(event: usize) -> c_int {
    true_or_last_error(startup::check().and_then(|()| put(event, false)))
}

/// `WSACloseEvent`. A thread that waits for the event is told `WSA_INVALID_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn WSACloseEvent(event: usize) -> c_int {
    let mut world = monitor::lock();
    let closed = startup::check().and_then(|()| match world.handles.get(event)? {
        Object::Event(_) => world.handles.close(event),
        Object::Port(_) => Err(Code::INVALID_HANDLE),
    });
    world.changed();
    true_or_last_error(closed.map(drop))
}

/// `SetEvent`
#[unsafe(no_mangle)]
pub extern "C" fn SetEvent(event: usize) -> c_int {
    true_or_last_error(put(event, true))
}

/// `ResetEvent`
#[unsafe(no_mangle)]
pub extern "C" fn ResetEvent(event: usize) -> c_int {
    true_or_last_error(put(event, false))
}

fn put(event: usize, set: bool) -> Result<(), Code> {
    let mut world = monitor::lock();
    world.handles.put_event(event, set)?;
    if set {
        world.changed();
    }
    Ok(())
}

/// `CreateEventW`: a new event, or 0 with the last error set. The attributes mean nothing here, for
/// handles belong to their process; an event with a name, which others could open, is
/// `ERROR_NOT_SUPPORTED`.
#[unsafe(no_mangle)]
pub extern "C" fn CreateEventW(
    _attributes: *const c_void,
    manual_reset: c_int,
    set: c_int,
    name: *const wchar_t,
) -> usize {
    create(manual_reset != 0, set != 0, name.is_null())
}

/// `CreateEventA`: as `CreateEventW`.
#[unsafe(no_mangle)]
pub extern "C" fn CreateEventA(
    _attributes: *const c_void,
    manual_reset: c_int,
    set: c_int,
    name: *const c_char,
) -> usize {
    create(manual_reset != 0, set != 0, name.is_null())
}

/// `CreateEventExW`: as `CreateEventW`; flags that it does not know are `ERROR_INVALID_PARAMETER`.
#[unsafe(no_mangle)]
pub extern "C" fn CreateEventExW(
    _attributes: *const c_void,
    name: *const wchar_t,
    flags: u32,
    _access: u32,
) -> usize {
    create_by_flags(flags, name.is_null())
}

/// `CreateEventExA`: as `CreateEventExW`.
#[unsafe(no_mangle)]
pub extern "C" fn CreateEventExA(
    _attributes: *const c_void,
    name: *const c_char,
    flags: u32,
    _access: u32,
) -> usize {
    create_by_flags(flags, name.is_null())
}

fn create_by_flags(flags: u32, unnamed: bool) -> usize {
    if flags & !(CREATE_EVENT_MANUAL_RESET | CREATE_EVENT_INITIAL_SET) != 0 {
        last_error::set(Code::INVALID_PARAMETER);
        return 0;
    }
    let has = |flag| flags & flag != 0;
    create(
        has(CREATE_EVENT_MANUAL_RESET),
        has(CREATE_EVENT_INITIAL_SET),
        unnamed,
    )
}

fn create(manual_reset: bool, set: bool, unnamed: bool) -> usize {
    if !unnamed {
        last_error::set(Code::NOT_SUPPORTED);
        return 0;
    }
    // As on Windows, where the caller learns from 0 that no other event has the name.
    last_error::set(Code(0));
    monitor::lock().handles.open(Object::Event(Event {
        set,
        resets_itself: !manual_reset,
    }))
}

//! What a `HANDLE` names. `WSAEVENT` is one, too.
//!
//! A `HANDLE` may also be a `SOCKET`, which is a descriptor: `is_handle` tells the two apart.

use std::collections::BTreeMap;
use std::ffi::c_int;

use crate::code::Code;
use crate::create;
use crate::last_error::{self, true_or_last_error};
use crate::monitor::{self, Condition};
use crate::port::Port;

/// Numbers of handles begin above all descriptors, which are numbers of C's `int`.
const FIRST: usize = 1 << 31;

/// The two low bits of a handle mean nothing here: Windows' programs set the lowest one in
/// `OVERLAPPED::hEvent` to keep a completion from the completion port.
const STEP: usize = 4;

/// An object that a handle names.
#[derive(Debug)]
pub(crate) enum Object {
    Event(Event),
    Port(Port),
}

/// An event is set until it is told otherwise; one that resets itself also until a wait has ended by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) set: bool,
    pub(crate) resets_itself: bool,
}

/// The objects, by handle. A number is never used again, so the handle of an object that has been
/// closed names none.
#[derive(Debug)]
pub(crate) struct Handles {
    next: usize,
    objects: BTreeMap<usize, Object>,
}

/// Whether a number may be that of an object here, and not that of a socket. `INVALID_HANDLE_VALUE`,
/// which has all bits set, is neither.
pub(crate) fn is_handle(number: usize) -> bool {
    number >= FIRST && number != usize::MAX
}

impl Handles {
    pub(crate) const fn new() -> Handles {
        Handles {
            next: FIRST,
            objects: BTreeMap::new(),
        }
    }

    /// A handle for a new object.
    pub(crate) fn open(&mut self, object: Object) -> usize {
        let handle = self.next;
        self.next += STEP;
        self.objects.insert(handle, object);
        handle
    }

    /// Whoever closes one also tells the monitor: threads may wait for it.
    pub(crate) fn close(&mut self, handle: usize) -> Result<Object, Code> {
        self.objects
            .remove(&canonical(handle))
            .ok_or(Code::INVALID_HANDLE)
    }

    pub(crate) fn get(&self, handle: usize) -> Result<&Object, Code> {
        self.objects
            .get(&canonical(handle))
            .ok_or(Code::INVALID_HANDLE)
    }

    pub(crate) fn get_mut(&mut self, handle: usize) -> Result<&mut Object, Code> {
        self.objects
            .get_mut(&canonical(handle))
            .ok_or(Code::INVALID_HANDLE)
    }

    /// Those of the completion ports.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = Condition> {
        self.objects.values().filter_map(|object| match object {
            Object::Port(port) => Some(port.condition()),
            Object::Event(_) => None,
        })
    }

    /// Sets or resets an event. Whoever sets one also tells the monitor.
    pub(crate) fn put_event(&mut self, handle: usize, set: bool) -> Result<(), Code> {
        match self.get_mut(handle)? {
            Object::Event(event) => {
                event.set = set;
                Ok(())
            }
            Object::Port(_) => Err(Code::INVALID_HANDLE),
        }
    }
}

/// Without the bits that mean nothing.
pub(crate) fn canonical(handle: usize) -> usize {
    handle & !(STEP - 1)
}

/// `CloseHandle`: closes an object, or a socket as `closesocket` does. `ERROR_INVALID_HANDLE` for what is
/// neither.
#[unsafe(no_mangle)]
pub extern "C" fn CloseHandle(handle: usize) -> c_int {
    if is_handle(handle) {
        let mut world = monitor::lock();
        let closed = world.handles.close(handle);
        if let Ok(Object::Port(port)) = &closed {
            world.abandon(port);
        }
        world.changed();
        return true_or_last_error(closed.map(drop));
    }
    // NULL names nothing, although descriptor 0 may be a socket's.
    if handle == 0 {
        return true_or_last_error(Err(Code::INVALID_HANDLE));
    }
    match create::closesocket(handle) {
        0 => 1,
        _ => {
            if last_error::get() == Code::NOTSOCK {
                last_error::set(Code::INVALID_HANDLE);
            }
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_names_one_object_ever() {
        let event = || {
            Object::Event(Event {
                set: false,
                resets_itself: false,
            })
        };
        let mut handles = Handles::new();
        let first = handles.open(event());
        assert!(is_handle(first) && !is_handle(i32::MAX as usize) && !is_handle(usize::MAX));
        assert!(handles.get(first | 1).is_ok());
        assert!(handles.close(first).is_ok());
        assert_eq!(handles.close(first).err(), Some(Code::INVALID_HANDLE));
        assert_ne!(handles.open(event()), first);
        assert_eq!(handles.put_event(first, true), Err(Code::INVALID_HANDLE));
        assert_eq!(handles.get(usize::MAX).err(), Some(Code::INVALID_HANDLE));
    }
}

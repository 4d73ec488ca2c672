//! I/O completion ports: queues of packets, each of which tells the end of an overlapped operation or
//! was posted by the program.

use std::collections::VecDeque;
use std::ffi::c_int;

use crate::code::Code;
use crate::handle::Object;
use crate::last_error::{self, true_or_last_error};
use crate::monitor::{self, Condition, Deadline, Guard};
use crate::overlapped::Overlapped;
use crate::socket;
use crate::status::Status;
use crate::thread::{self, ThreadId};
use crate::user_memory;

const INVALID_HANDLE_VALUE: usize = usize::MAX;
const SKIP_COMPLETION_PORT_ON_SUCCESS: u8 = 1;
const SKIP_SET_EVENT_ON_HANDLE: u8 = 2;

/// A port that a socket's completions go to, and what they are to be known by there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Association {
    pub(crate) port: usize,
    pub(crate) key: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) key: usize,
    pub(crate) overlapped: usize,
    pub(crate) status: Status,
    pub(crate) bytes: u32,
}

/// `OVERLAPPED_ENTRY`: 32 bytes, 16 on 32-bit.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Entry {
    /// `lpCompletionKey`
    pub key: usize,
    /// `lpOverlapped`
    pub overlapped: usize,
    /// `Internal`: the NTSTATUS
    pub internal: usize,
    /// `dwNumberOfBytesTransferred`
    pub bytes: u32,
    /// Nothing, and zero.
    #[cfg(target_pointer_width = "64")]
    pub padding: u32,
}

#[derive(Debug)]
pub(crate) struct Port {
    packets: VecDeque<Packet>,
    /// For threads that wait for nothing else: a packet wakes one of them.
    ready: Condition,
    /// Threads that wait for their completion routines, too, as every other wait does.
    alertable: usize,
}

impl Port {
    pub(crate) fn condition(&self) -> Condition {
        self.ready
    }
}

impl Guard {
    fn port(&mut self, handle: usize) -> Result<&mut Port, Code> {
        match self.handles.get_mut(handle)? {
            Object::Port(port) => Ok(port),
            Object::Event(_) => Err(Code::INVALID_HANDLE),
        }
    }

    pub(crate) fn post(&mut self, handle: usize, packet: Packet) -> Result<(), Code> {
        let port = self.port(handle)?;
        port.packets.push_back(packet);
        let (ready, alertable) = (port.ready, port.alertable);
        self.signal(ready);
        if alertable != 0 {
            self.changed();
        }
        Ok(())
    }

    /// A port whose handle has been closed: those that wait there are told.
    pub(crate) fn abandon(&mut self, port: &Port) {
        self.give_back(port.ready);
    }

    /// Waits for packets and takes up to `most` of them.
    fn take(
        mut self,
        handle: usize,
        most: usize,
        deadline: Deadline,
        alertable: Option<ThreadId>,
    ) -> Result<Vec<Packet>, Code> {
        self.port(handle)?;
        let mut in_time = true;
        loop {
            let port = self.port(handle).map_err(|_| Code::ABANDONED_WAIT)?;
            if !port.packets.is_empty() {
                let taken = most.min(port.packets.len());
                return Ok(port.packets.drain(..taken).collect());
            }
            if let Some(thread) = alertable.filter(|&it| self.threads.has_routines(it)) {
                drop(self);
                thread::call_routines(thread);
                return Err(Code::WAIT_IO_COMPLETION);
            }
            // One that was woken and late at once has looked.
            if !in_time {
                return Err(Code::WAIT_TIMEOUT);
            }
            let port = self.port(handle)?;
            if alertable.is_some() {
                port.alertable += 1;
                in_time = self.wait(deadline);
                if let Ok(port) = self.port(handle) {
                    port.alertable -= 1;
                }
            } else {
                let ready = port.ready;
                in_time = self.wait_at(ready, deadline);
            }
        }
    }
}

/// `CreateIoCompletionPort`: with `INVALID_HANDLE_VALUE` a new port; else the completions of a socket go
/// to the port from now on, to a new one if it is null. 0 and the last error on failure.
///
/// `ERROR_INVALID_PARAMETER` for a socket that has a port already or is not overlapped, and for a port
/// without a socket; `ERROR_INVALID_HANDLE`. The number of threads is not limited.
#[unsafe(no_mangle)]
pub extern "C" fn CreateIoCompletionPort(
    file: usize,
    existing: usize,
    key: usize,
    _threads: u32,
) -> usize {
    create_or_associate(file, existing, key).unwrap_or_else(|code| {
        last_error::set(code);
        0
    })
}

fn create_or_associate(file: usize, existing: usize, key: usize) -> Result<usize, Code> {
    let mut world = monitor::lock();
    let socket = match (file, existing) {
        (INVALID_HANDLE_VALUE, 0) => None,
        (INVALID_HANDLE_VALUE, _) => return Err(Code::INVALID_PARAMETER),
        (file, _) => {
            let socket = socket::look_up(&mut world, file).map_err(|_| Code::INVALID_HANDLE)?;
            let entry = world.sockets.get(socket).ok_or(Code::INVALID_HANDLE)?;
            if entry.port.is_some() || !entry.overlapped {
                return Err(Code::INVALID_PARAMETER);
            }
            Some(socket)
        }
    };
    let port = match existing {
        0 => {
            let ready = world.condition();
            world.handles.open(Object::Port(Port {
                packets: VecDeque::new(),
                ready,
                alertable: 0,
            }))
        }
        existing => {
            world.port(existing)?;
            existing
        }
    };
    if let Some(entry) = socket.and_then(|socket| world.sockets.get(socket)) {
        entry.port = Some(Association { port, key });
    }
    Ok(port)
}

/// `PostQueuedCompletionStatus`: a packet of the program's own. `ERROR_INVALID_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn PostQueuedCompletionStatus(
    port: usize,
    bytes: u32,
    key: usize,
    overlapped: *mut Overlapped,
) -> c_int {
    let packet = Packet {
        key,
        overlapped: overlapped.expose_provenance(),
        status: Status::SUCCESS,
        bytes,
    };
    true_or_last_error(monitor::lock().post(port, packet))
}

/// `GetQueuedCompletionStatus`: takes a packet, and waits for one. False with `*overlapped` set is an
/// operation that failed, and the last error tells why, in Win32's words; with null there `WAIT_TIMEOUT`,
/// `ERROR_ABANDONED_WAIT_0` when the port is closed, `ERROR_INVALID_HANDLE`, `ERROR_NOACCESS`.
#[unsafe(no_mangle)]
pub extern "C" fn GetQueuedCompletionStatus(
    port: usize,
    bytes: *mut u32,
    key: *mut usize,
    overlapped: *mut usize,
    milliseconds: u32,
) -> c_int {
    let get = || {
        // Nothing is taken for which there is no room.
        user_memory::write(overlapped, 0)
            .and_then(|()| user_memory::check_writable(bytes.cast(), size_of::<u32>()))
            .and_then(|()| user_memory::check_writable(key.cast(), size_of::<usize>()))
            .map_err(|_| Code::NOACCESS)?;
        let deadline = Deadline::after(milliseconds);
        let taken = monitor::lock().take(port, 1, deadline, None)?;
        let packet = taken.first().ok_or(Code::WAIT_TIMEOUT)?;
        let _ = user_memory::write(bytes, packet.bytes)
            .and_then(|()| user_memory::write(key, packet.key))
            .and_then(|()| user_memory::write(overlapped, packet.overlapped));
        packet.status.win32()
    };
    true_or_last_error(get())
}

/// `GetQueuedCompletionStatusEx`: takes up to `count` packets. An alertable wait also ends, with false
/// and `WAIT_IO_COMPLETION`, when completion routines of this thread were due, which it has then called.
///
/// Other errors as of `GetQueuedCompletionStatus`; `ERROR_INVALID_PARAMETER` for no entries.
#[unsafe(no_mangle)]
pub extern "C" fn GetQueuedCompletionStatusEx(
    port: usize,
    entries: *mut Entry,
    count: u32,
    removed: *mut u32,
    milliseconds: u32,
    alertable: c_int,
) -> c_int {
    let get = || {
        if count == 0 {
            return Err(Code::INVALID_PARAMETER);
        }
        let room = (0..count as usize)
            .take_while(|&index| is_writable(entries.wrapping_add(index)))
            .take(MOST_AT_ONCE)
            .count();
        if room == 0 || user_memory::write(removed, 0).is_err() {
            return Err(Code::NOACCESS);
        }
        let deadline = Deadline::after(milliseconds);
        let alertable = (alertable != 0).then(thread::current);
        let taken = monitor::lock().take(port, room, deadline, alertable)?;
        for (index, packet) in taken.iter().enumerate() {
            let entry = Entry {
                key: packet.key,
                overlapped: packet.overlapped,
                internal: packet.status.0 as usize,
                bytes: packet.bytes,
                #[cfg(target_pointer_width = "64")]
                padding: 0,
            };
            let _ = user_memory::write(entries.wrapping_add(index), entry);
        }
        let _ = user_memory::write(removed, taken.len() as u32);
        Ok(())
    };
    true_or_last_error(get())
}

/// The packets that one call takes at most; a program that has room for more calls again.
const MOST_AT_ONCE: usize = 64;

fn is_writable(entry: *mut Entry) -> bool {
    user_memory::check_writable(entry.cast(), size_of::<Entry>()).is_ok()
}

/// `SetFileCompletionNotificationModes`: with `FILE_SKIP_COMPLETION_PORT_ON_SUCCESS` an operation that
/// succeeds at once sends no packet. `FILE_SKIP_SET_EVENT_ON_HANDLE` changes nothing here.
///
/// `ERROR_INVALID_HANDLE`, `ERROR_INVALID_PARAMETER`.
#[unsafe(no_mangle)]
pub extern "C" fn SetFileCompletionNotificationModes(file: usize, flags: u8) -> c_int {
    let set = || {
        let mut world = monitor::lock();
        let socket = socket::look_up(&mut world, file).map_err(|_| Code::INVALID_HANDLE)?;
        if flags & !(SKIP_COMPLETION_PORT_ON_SUCCESS | SKIP_SET_EVENT_ON_HANDLE) != 0 {
            return Err(Code::INVALID_PARAMETER);
        }
        let entry = world.sockets.get(socket).ok_or(Code::INVALID_HANDLE)?;
        // What has been set stays so.
        entry.skips_port |= flags & SKIP_COMPLETION_PORT_ON_SUCCESS != 0;
        Ok(())
    };
    true_or_last_error(set())
}

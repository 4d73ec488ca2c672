//! `WSASend`, `WSASendTo`, `WSARecv` and `WSARecvFrom`.

use std::ffi::{c_int, c_void};

use crate::blocking;
use crate::code::Code;
use crate::implicit;
use crate::last_error;
use crate::message::{self, Buffer, Message, Peer};
use crate::monitor;
use crate::notice::{Notice, Outcome};
use crate::overlapped::Overlapped;
use crate::queue::{self, Transfer};
use crate::socket;
use crate::startup;
use crate::status::Status;
use crate::thread::{self, CompletionRoutine};
use crate::user_memory;

/// What the four have in common.
struct Call {
    socket: usize,
    buffers: *const Buffer,
    count: u32,
    transferred: *mut u32,
    /// Of a receive: the flags are read there and told there.
    flags: *mut u32,
    overlapped: *mut Overlapped,
    routine: Option<CompletionRoutine>,
}

impl Call {
    fn make(&self, flags: u32, peer: impl FnOnce() -> Result<Peer, Code>) -> Result<(), Code> {
        blocking::check_call()?;
        let (socket, overlapped) = {
            let mut world = monitor::lock();
            startup::check()?;
            let socket = socket::look_up(&mut world, self.socket)?;
            let entry = world.sockets.get(socket).ok_or(Code::NOTSOCK)?;
            (socket, entry.overlapped && !self.overlapped.is_null())
        };
        if !overlapped || !self.transferred.is_null() {
            user_memory::check_writable(self.transferred.cast(), size_of::<u32>())?;
        }
        let peer = peer()?;
        let is_send = matches!(peer, Peer::To(_));
        let flags = flags.cast_signed();
        let mut message = Message::new(socket.descriptor, self.buffers, self.count, flags, peer)?;
        if is_send {
            implicit::before_send(socket.descriptor, flags)?;
        }
        if !overlapped {
            let outcome = message.make(socket.descriptor)?;
            return self.tell(outcome);
        }
        let thread = thread::current();
        let notice = Notice::new(socket, self.overlapped, self.routine, thread)?;
        match queue::submit(socket, Transfer { message, notice })? {
            Some(outcome) => self.tell(outcome),
            None => Err(Code::IO_PENDING),
        }
    }

    fn tell(&self, outcome: Outcome) -> Result<(), Code> {
        // Of an overlapped operation that failed the end tells the number.
        let tells = self.overlapped.is_null() || outcome.status == Status::SUCCESS;
        if tells && !self.transferred.is_null() {
            user_memory::write(self.transferred, outcome.bytes)?;
        }
        if !self.flags.is_null() {
            user_memory::write(self.flags, outcome.flags)?;
        }
        outcome.status.winsock()
    }

    fn receive(&self, address: *mut c_void, length: *mut c_int) -> c_int {
        let receive = || {
            let flags = user_memory::read(self.flags)?;
            user_memory::check_writable(self.flags.cast(), size_of::<u32>())?;
            self.make(flags, || {
                if !address.is_null() {
                    user_memory::check_writable(length.cast(), size_of::<c_int>())?;
                }
                Ok(Peer::From { address, length })
            })
        };
        finish(receive())
    }
}

/// Success resets the last error.
fn finish(result: Result<(), Code>) -> c_int {
    last_error::set(result.err().unwrap_or(Code(0)));
    match result {
        Ok(()) => 0,
        Err(_) => last_error::SOCKET_ERROR,
    }
}

/// `WSASend`: 0, or -1 with the last error set, `WSA_IO_PENDING` if the end is told later; see the
/// header `winsock2.h`.
#[unsafe(no_mangle)]
pub extern "C" fn WSASend(
    socket: usize,
    buffers: *const Buffer,
    count: u32,
    sent: *mut u32,
    flags: u32,
    overlapped: *mut Overlapped,
    routine: Option<CompletionRoutine>,
) -> c_int {
    let nobody = std::ptr::null();
    WSASendTo(
        socket, buffers, count, sent, flags, nobody, 0, overlapped, routine,
    )
}

/// `WSASendTo`: as `WSASend`, to an address.
#[unsafe(no_mangle)]
pub extern "C" fn WSASendTo(
    socket: usize,
    buffers: *const Buffer,
    count: u32,
    sent: *mut u32,
    flags: u32,
    to: *const c_void,
    to_length: c_int,
    overlapped: *mut Overlapped,
    routine: Option<CompletionRoutine>,
) -> c_int {
    let call = Call {
        socket,
        buffers,
        count,
        transferred: sent,
        flags: std::ptr::null_mut(),
        overlapped,
        routine,
    };
    finish(call.make(flags, || {
        Ok(Peer::To(Box::new(message::read_address(to, to_length)?)))
    }))
}

/// `WSARecv`: as `WSASend`. 0 bytes of a stream are its end.
#[unsafe(no_mangle)]
pub extern "C" fn WSARecv(
    socket: usize,
    buffers: *const Buffer,
    count: u32,
    received: *mut u32,
    flags: *mut u32,
    overlapped: *mut Overlapped,
    routine: Option<CompletionRoutine>,
) -> c_int {
    let nowhere = std::ptr::null_mut();
    WSARecvFrom(
        socket,
        buffers,
        count,
        received,
        flags,
        nowhere,
        nowhere.cast(),
        overlapped,
        routine,
    )
}

/// `WSARecvFrom`: as `WSARecv`. The sender of a datagram is written to `from`, at the end of the
/// operation if it goes on.
#[unsafe(no_mangle)]
pub extern "C" fn WSARecvFrom(
    socket: usize,
    buffers: *const Buffer,
    count: u32,
    received: *mut u32,
    flags: *mut u32,
    from: *mut c_void,
    from_length: *mut c_int,
    overlapped: *mut Overlapped,
    routine: Option<CompletionRoutine>,
) -> c_int {
    let call = Call {
        socket,
        buffers,
        count,
        transferred: received,
        flags,
        overlapped,
        routine,
    };
    call.receive(from, from_length)
}

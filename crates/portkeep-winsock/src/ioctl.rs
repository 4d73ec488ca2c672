//! `WSAIoctl` and `WSPIoctl`.

use std::ffi::{c_int, c_void};

use crate::blocking;
use crate::code::Code;
use crate::control::{FIONBIO, FIONREAD};
use crate::last_error;
use crate::monitor;
use crate::notice::Notice;
use crate::operation::{Instance, Operation, PortRange};
use crate::overlapped::{self, Overlapped};
use crate::request::{self, Request, Submitted};
use crate::socket;
use crate::startup;
use crate::thread::{self, CompletionRoutine, ThreadName};
use crate::user_memory;

const SIO_FLUSH: u32 = 0x2800_0004;
const SIO_UDP_CONNRESET: u32 = 0x9800_000C;
const SIO_CPU_AFFINITY: u32 = 0x9800_0015;
const SIO_ACQUIRE_PORT_RESERVATION: u32 = 0x9800_0064;
const SIO_RELEASE_PORT_RESERVATION: u32 = 0x9800_0065;
const SIO_ASSOCIATE_PORT_RESERVATION: u32 = 0x9800_0066;

/// `WSAIoctl`: 0, or -1 with the last error set; see the header `winsock2.h`.
#[unsafe(no_mangle)]
pub extern "C" fn WSAIoctl(
    socket: usize,
    code: u32,
    input: *const c_void,
    input_length: u32,
    output: *mut c_void,
    output_length: u32,
    returned: *mut u32,
    overlapped: *mut Overlapped,
    routine: Option<CompletionRoutine>,
) -> c_int {
    let call = Call {
        socket,
        code,
        input,
        input_length,
        output,
        output_length,
        returned,
        overlapped,
        routine,
        thread: std::ptr::null(),
    };
    finish(call.make())
}

/// `WSPIoctl`: as `WSAIoctl`. The completion routine is called by the thread that `thread` names,
/// which is the calling one if it is null. The error is also written to `*error`.
#[unsafe(no_mangle)]
pub extern "C" fn WSPIoctl(
    socket: usize,
    code: u32,
    input: *const c_void,
    input_length: u32,
    output: *mut c_void,
    output_length: u32,
    returned: *mut u32,
    overlapped: *mut Overlapped,
    routine: Option<CompletionRoutine>,
    thread: *const ThreadName,
    error: *mut c_int,
) -> c_int {
    let call = Call {
        socket,
        code,
        input,
        input_length,
        output,
        output_length,
        returned,
        overlapped,
        routine,
        thread,
    };
    let result =
        user_memory::check_writable(error.cast(), size_of::<c_int>()).and_then(|()| call.make());
    // It could be written to a moment ago; where it could not, the last error tells.
    let _ = user_memory::write(error, result.map_or_else(|code| code.0, |()| 0));
    finish(result)
}

/// Success resets the last error.
fn finish(result: Result<(), Code>) -> c_int {
    last_error::set(result.err().unwrap_or(Code(0)));
    match result {
        Ok(()) => 0,
        Err(_) => last_error::SOCKET_ERROR,
    }
}

/// The arguments of a control call.
struct Call {
    socket: usize,
    code: u32,
    input: *const c_void,
    input_length: u32,
    output: *mut c_void,
    output_length: u32,
    returned: *mut u32,
    overlapped: *mut Overlapped,
    routine: Option<CompletionRoutine>,
    thread: *const ThreadName,
}

impl Call {
    fn make(&self) -> Result<(), Code> {
        // Before all else, as on Windows.
        user_memory::check_writable(self.returned.cast(), size_of::<u32>())?;
        blocking::check_call()?;
        let (socket, overlapped) = {
            let mut world = monitor::lock();
            startup::check()?;
            let socket = socket::look_up(&mut world, self.socket)?;
            let entry = world.sockets.get(socket).ok_or(Code::NOTSOCK)?;
            (socket, entry.overlapped && !self.overlapped.is_null())
        };
        if overlapped {
            return self.overlapped(socket);
        }
        let result = self
            .operation()
            .and_then(|operation| request::run(socket, &operation));
        user_memory::write(self.returned, result.unwrap_or(0))?;
        result.map(|_| ())
    }

    fn overlapped(&self, socket: socket::Handle) -> Result<(), Code> {
        user_memory::check_writable(self.overlapped.cast(), size_of::<Overlapped>())?;
        let thread = match (self.routine, self.thread.is_null()) {
            (Some(_), false) => thread::named(self.thread)?,
            _ => thread::current(),
        };
        let notice = Notice::new(socket, self.overlapped, self.routine, thread)?;
        overlapped::start(self.overlapped.addr())?;
        let operation = self.operation().inspect_err(|&code| {
            // An output buffer too small; other errors leave the number alone.
            if code == Code::INVAL {
                let _ = user_memory::write(self.returned, 0);
            }
        })?;
        let request = Request { operation, notice };
        match request::submit(socket, request)? {
            Submitted::Done(bytes) => user_memory::write(self.returned, bytes),
            Submitted::Pending => Err(Code::IO_PENDING),
        }
    }

    /// What is asked for. Fails for buffers that will not do.
    fn operation(&self) -> Result<Operation, Code> {
        Ok(match self.code {
            SIO_ACQUIRE_PORT_RESERVATION => Operation::Acquire {
                range: self.input::<PortRange>()?,
                output: self.output::<Instance>()?,
            },
            SIO_RELEASE_PORT_RESERVATION => Operation::Release {
                token: self.input()?,
            },
            SIO_ASSOCIATE_PORT_RESERVATION => Operation::Associate {
                token: self.input()?,
            },
            SIO_CPU_AFFINITY => Operation::SetProcessor {
                processor: self.input()?,
            },
            SIO_UDP_CONNRESET => Operation::ReportResets {
                on: self.input::<u32>()? != 0,
            },
            FIONBIO => Operation::SetNonblocking {
                on: self.input::<u32>()? != 0,
            },
            // Of this code WSAEFAULT is observed where the output buffer is too small.
            FIONREAD => Operation::ReadableBytes {
                output: self.output::<u32>().map_err(|_| Code::FAULT)?,
            },
            SIO_FLUSH => Operation::Flush,
            _ => Operation::Unknown,
        })
    }

    /// A longer input will do, a shorter one is `WSAEFAULT`.
    fn input<T: Copy>(&self) -> Result<T, Code> {
        if (self.input_length as usize) < size_of::<T>() {
            return Err(Code::FAULT);
        }
        user_memory::read(self.input.cast())
    }

    /// A shorter output buffer is `WSAEINVAL`, as the pages of these control codes say.
    fn output<T>(&self) -> Result<usize, Code> {
        if (self.output_length as usize) < size_of::<T>() {
            return Err(Code::INVAL);
        }
        user_memory::check_writable(self.output, size_of::<T>())?;
        Ok(self.output.expose_provenance())
    }
}

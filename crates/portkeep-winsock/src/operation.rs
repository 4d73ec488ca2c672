//! What the control codes do: by the kernel part, and where it is absent by held sockets.

use portkeep::{Consumers, Error, ErrorKind, Token, sockopt};

use crate::cancel;
use crate::code::Code;
use crate::control;
use crate::held;
use crate::monitor;
use crate::options;
use crate::socket::Handle;
use crate::user_memory;

/// `INET_PORT_RANGE`, 4 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct PortRange {
    /// `StartPort`, in network byte order; 0 asks for any block.
    pub start: u16,
    /// `NumberOfPorts`, in host byte order.
    pub count: u16,
}

/// `INET_PORT_RESERVATION_INSTANCE`: 16 bytes, aligned to 8 also on 32-bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Instance {
    /// `Reservation`
    pub range: PortRange,
    /// Nothing, and zero.
    pub padding: u32,
    /// `Token`
    pub token: u64,
}

/// An operation on a socket, with its input read and its output checked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Acquire {
        range: PortRange,
        /// The address of the `INET_PORT_RESERVATION_INSTANCE` to fill in.
        output: usize,
    },
    Release {
        token: u64,
    },
    Associate {
        token: u64,
    },
    /// `FIONBIO`
    SetNonblocking {
        on: bool,
    },
    /// `FIONREAD`
    ReadableBytes {
        /// The address of the `DWORD` to fill in.
        output: usize,
    },
    /// `SIO_CPU_AFFINITY`
    SetProcessor {
        processor: u16,
    },
    /// `SIO_UDP_CONNRESET`
    ReportResets {
        on: bool,
    },
    /// Aborts the overlapped requests that wait for their turn; takes none itself.
    Flush,
    /// A control code that nobody knows.
    Unknown,
}

impl Operation {
    /// Whether it waits for nobody, and nobody for it.
    pub(crate) fn takes_no_turn(&self) -> bool {
        matches!(
            self,
            Operation::Flush | Operation::SetNonblocking { .. } | Operation::ReadableBytes { .. }
        )
    }

    /// Does it, and returns how many bytes of output there are.
    pub(crate) fn perform(&self, socket: Handle) -> Result<u32, Code> {
        match *self {
            Operation::Acquire { range, output } => acquire(socket, range, output),
            Operation::Release { token } => with_token(
                socket,
                token,
                |token| sockopt::release(socket.as_fd(), token),
                |token| held::release(socket, token),
            ),
            Operation::Associate { token } => with_token(
                socket,
                token,
                |token| {
                    sockopt::associate(socket.as_fd(), token)?;
                    held::dissociate(socket);
                    Ok(())
                },
                |token| held::associate(socket, token),
            ),
            Operation::SetNonblocking { on } => {
                control::set_nonblocking(socket.descriptor, on).map(|()| 0)
            }
            Operation::ReadableBytes { output } => {
                let bytes = control::readable_bytes(socket.descriptor)?;
                user_memory::write(std::ptr::with_exposed_provenance_mut(output), bytes)?;
                Ok(size_of::<u32>() as u32)
            }
            Operation::SetProcessor { processor } => {
                options::set_processor(socket.as_fd(), processor).map(|()| 0)
            }
            Operation::ReportResets { on } => {
                if crate::socket::option(socket.as_fd(), libc::SO_TYPE)? != libc::SOCK_DGRAM {
                    return Err(Code::OPNOTSUPP);
                }
                let mut world = monitor::lock();
                world
                    .sockets
                    .get(socket)
                    .ok_or(Code::NOTSOCK)?
                    .reports_resets = on;
                Ok(0)
            }
            Operation::Flush => {
                cancel::flush(&mut monitor::lock(), socket);
                Ok(0)
            }
            Operation::Unknown => Err(Code::OPNOTSUPP),
        }
    }
}

fn acquire(socket: Handle, range: PortRange, output: usize) -> Result<u32, Code> {
    let (start, count) = (u16::from_be(range.start), range.count);
    let asked = sockopt::acquire(socket.as_fd(), start, count, Consumers::ASSOCIATED, 0);
    let (range, token) = match asked {
        Ok((range, token)) => (range, token.as_raw()),
        Err(error) if is_absent(&error) => held::acquire(socket, start, count)?,
        Err(error) => return Err(error.into()),
    };
    let instance = Instance {
        range: PortRange {
            start: range.start().to_be(),
            count: range.count(),
        },
        padding: 0,
        token,
    };
    let output = std::ptr::with_exposed_provenance_mut::<Instance>(output);
    user_memory::write(output, instance).inspect_err(|_| {
        // Nobody knows the token, so nobody could give the ports back.
        let _ = Operation::Release { token }.perform(socket);
    })?;
    Ok(size_of::<Instance>() as u32)
}

/// Calls what has given the token: held blocks of this process, which stay when the kernel part comes, or
/// the kernel part.
///
/// 0 is no token, but what is wrong with the socket is told first.
fn with_token(
    socket: Handle,
    token: u64,
    kernel: impl FnOnce(Token) -> Result<(), Error>,
    held: impl FnOnce(u64) -> Result<(), Code>,
) -> Result<u32, Code> {
    if held::has(token) {
        return held(token).map(|()| 0);
    }
    let asked = match Token::from_raw(token) {
        Some(token) => kernel(token),
        None => match sockopt::associated(socket.as_fd()) {
            Ok(_) => return Err(Code::INVAL),
            Err(error) => Err(error),
        },
    };
    match asked {
        Err(error) if is_absent(&error) => held(token)?,
        asked => asked?,
    }
    Ok(0)
}

fn is_absent(error: &Error) -> bool {
    error.kind() == ErrorKind::NotEnabled
}

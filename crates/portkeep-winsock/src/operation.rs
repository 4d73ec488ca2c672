//! What the control codes do. This module alone knows how ports are reserved.

use std::ffi::c_int;
use std::os::fd::BorrowedFd;

use portkeep::{Consumers, Token, sockopt};

use crate::code::Code;
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
    /// A control code that nobody knows.
    Unknown,
}

impl Operation {
    /// Does it, and returns how many bytes of output there are.
    pub(crate) fn perform(&self, descriptor: c_int) -> Result<u32, Code> {
        // SAFETY: the descriptor is the program's, and `Socket::executing` keeps it open here.
        let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
        match *self {
            Operation::Acquire { range, output } => acquire(socket, range, output),
            Operation::Release { token } => {
                sockopt::release(socket, token_of(socket, token)?)?;
                Ok(0)
            }
            Operation::Associate { token } => {
                sockopt::associate(socket, token_of(socket, token)?)?;
                Ok(0)
            }
            Operation::Unknown => Err(Code::OPNOTSUPP),
        }
    }
}

fn acquire(socket: BorrowedFd<'_>, range: PortRange, output: usize) -> Result<u32, Code> {
    let start = u16::from_be(range.start);
    let (range, token) = sockopt::acquire(socket, start, range.count, Consumers::ASSOCIATED, 0)?;
    let instance = Instance {
        range: PortRange {
            start: range.start().to_be(),
            count: range.count(),
        },
        padding: 0,
        token: token.as_raw(),
    };
    let output = std::ptr::with_exposed_provenance_mut::<Instance>(output);
    user_memory::write(output, instance).inspect_err(|_| {
        // Nobody knows the token, so nobody could give the ports back.
        let _ = sockopt::release(socket, token);
    })?;
    Ok(size_of::<Instance>() as u32)
}

/// 0 is no token, but what is wrong with the socket is told first.
fn token_of(socket: BorrowedFd<'_>, token: u64) -> Result<Token, Code> {
    match Token::from_raw(token) {
        Some(token) => Ok(token),
        None => {
            sockopt::associated(socket)?;
            Err(Code::INVAL)
        }
    }
}

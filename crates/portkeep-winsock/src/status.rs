//! NTSTATUS codes, which an `OVERLAPPED` and a completion port have, and what Windows makes of them:
//! an error of Winsock, and one of Win32 for the functions that serve files, too.

use crate::code::Code;

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u32);

impl Status {
    pub(crate) const SUCCESS: Status = Status(0);
    pub(crate) const PENDING: Status = Status(0x103);
    /// `STATUS_BUFFER_OVERFLOW`: part of a datagram, which is a warning and not an error.
    pub(crate) const BUFFER_OVERFLOW: Status = Status(0x8000_0005);
}

/// By the status, which `RtlNtStatusToDosError` gives the second number.
const KNOWN: [(u32, Code, i32); 20] = [
    (0xC000_0005, Code::FAULT, 998),    // STATUS_ACCESS_VIOLATION
    (0xC000_000D, Code::INVAL, 87),     // STATUS_INVALID_PARAMETER
    (0xC000_0008, Code::NOTSOCK, 6),    // STATUS_INVALID_HANDLE
    (0xC000_0022, Code::ACCES, 5),      // STATUS_ACCESS_DENIED
    (0xC000_0043, Code::ADDRINUSE, 32), // STATUS_SHARING_VIOLATION
    (0xC000_009A, Code::NOBUFS, 1450),  // STATUS_INSUFFICIENT_RESOURCES
    (0xC000_00B0, Code::SHUTDOWN, 233), // STATUS_PIPE_DISCONNECTED
    (0xC000_00B5, Code::TIMEDOUT, 121), // STATUS_IO_TIMEOUT
    (0xC000_00BB, Code::OPNOTSUPP, 50), // STATUS_NOT_SUPPORTED
    (0xC000_0120, Code::OPERATION_ABORTED, 995), // STATUS_CANCELLED
    (0xC000_0140, Code::NOTCONN, 59),   // STATUS_INVALID_CONNECTION
    (0xC000_0141, Code::ADDRNOTAVAIL, 59), // STATUS_INVALID_ADDRESS
    (0xC000_020D, Code::CONNRESET, 64), // STATUS_CONNECTION_RESET
    (0xC000_0236, Code::CONNREFUSED, 1225), // STATUS_CONNECTION_REFUSED
    (0xC000_023C, Code::NETUNREACH, 1231), // STATUS_NETWORK_UNREACHABLE
    (0xC000_023D, Code::HOSTUNREACH, 1232), // STATUS_HOST_UNREACHABLE
    (0xC000_0240, Code::INTR, 1235),    // STATUS_REQUEST_ABORTED
    (0xC000_0241, Code::CONNABORTED, 1236), // STATUS_CONNECTION_ABORTED
    // STATUS_INVALID_BUFFER_SIZE: too long to be sent. What was received in part is not this error.
    (0xC000_0206, Code::MSGSIZE, 1784),
    (Status::BUFFER_OVERFLOW.0, Code::MSGSIZE, 234),
];

/// The bits of an NTSTATUS for an error that somebody else than Microsoft defines: for Winsock
/// codes which no status stands for.
const CUSTOMER_ERROR: u32 = 0xE000_0000;

impl From<Code> for Status {
    fn from(code: Code) -> Status {
        let known = KNOWN.iter().find(|(_, known, _)| *known == code);
        Status(
            known.map_or(CUSTOMER_ERROR | code.0.unsigned_abs(), |(status, ..)| {
                *status
            }),
        )
    }
}

impl Status {
    /// The error of Winsock; positive numbers are successes.
    pub(crate) fn winsock(self) -> Result<(), Code> {
        self.error(|(_, code, _)| code)
    }

    /// The error of Win32.
    pub(crate) fn win32(self) -> Result<(), Code> {
        self.error(|(.., number)| Code(number))
    }

    fn error(self, which: impl FnOnce((u32, Code, i32)) -> Code) -> Result<(), Code> {
        if self.0 >> 31 == 0 {
            return Ok(());
        }
        let known = KNOWN.iter().find(|(status, ..)| *status == self.0);
        Err(match (known, self.0 & CUSTOMER_ERROR) {
            (Some(known), _) => which(*known),
            (None, CUSTOMER_ERROR) => Code((self.0 & !CUSTOMER_ERROR) as i32),
            (None, _) => Code::INVAL,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back() {
        for code in (0..20_000).map(Code) {
            let status = Status::from(code);
            assert_eq!(status.winsock(), Err(code));
            assert!(status.win32().is_err(), "{code:?}");
        }
        // STATUS_NOT_FOUND, which no table has.
        assert_eq!(Status(0xC000_0225).winsock(), Err(Code::INVAL));
        assert_eq!(Status::SUCCESS.win32(), Ok(()));
        assert_eq!(Status::from(Code::CONNRESET).win32(), Err(Code(64)));
    }
}

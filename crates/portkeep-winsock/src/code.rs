//! Winsock error codes, and the Linux errors behind them.

use portkeep::{Error, ErrorKind};

/// An error code of Winsock, as `WSAGetLastError` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) i32);

impl Code {
    pub(crate) const INVALID_HANDLE: Code = Code(6);
    pub(crate) const NOT_ENOUGH_MEMORY: Code = Code(8);
    pub(crate) const NOT_SUPPORTED: Code = Code(50);
    pub(crate) const INVALID_PARAMETER: Code = Code(87);
    pub(crate) const WAIT_IO_COMPLETION: Code = Code(0xC0);
    pub(crate) const WAIT_TIMEOUT: Code = Code(258);
    pub(crate) const ABANDONED_WAIT: Code = Code(735);
    pub(crate) const OPERATION_ABORTED: Code = Code(995);
    pub(crate) const IO_INCOMPLETE: Code = Code(996);
    pub(crate) const IO_PENDING: Code = Code(997);
    pub(crate) const NOACCESS: Code = Code(998);
    pub(crate) const NOT_FOUND: Code = Code(1168);
    pub(crate) const INTR: Code = Code(10004);
    pub(crate) const ACCES: Code = Code(10013);
    pub(crate) const FAULT: Code = Code(10014);
    pub(crate) const INVAL: Code = Code(10022);
    pub(crate) const WOULDBLOCK: Code = Code(10035);
    pub(crate) const INPROGRESS: Code = Code(10036);
    pub(crate) const NOTSOCK: Code = Code(10038);
    pub(crate) const MSGSIZE: Code = Code(10040);
    pub(crate) const OPNOTSUPP: Code = Code(10045);
    pub(crate) const AFNOSUPPORT: Code = Code(10047);
    pub(crate) const ADDRINUSE: Code = Code(10048);
    pub(crate) const ADDRNOTAVAIL: Code = Code(10049);
    pub(crate) const NETUNREACH: Code = Code(10051);
    pub(crate) const CONNABORTED: Code = Code(10053);
    pub(crate) const CONNRESET: Code = Code(10054);
    pub(crate) const NOBUFS: Code = Code(10055);
    pub(crate) const NOTCONN: Code = Code(10057);
    pub(crate) const SHUTDOWN: Code = Code(10058);
    pub(crate) const TIMEDOUT: Code = Code(10060);
    pub(crate) const CONNREFUSED: Code = Code(10061);
    pub(crate) const HOSTUNREACH: Code = Code(10065);
    pub(crate) const VERNOTSUPPORTED: Code = Code(10092);
    pub(crate) const NOTINITIALISED: Code = Code(10093);

    /// The code for an errno. What Winsock has no code for is `WSAEINVAL`, as on Windows every
    /// status without a code is.
    pub(crate) fn from_errno(errno: i32) -> Code {
        match errno {
            libc::EINTR => Code::INTR,
            libc::EACCES | libc::EPERM => Code::ACCES,
            libc::EFAULT => Code::FAULT,
            libc::EINVAL => Code::INVAL,
            libc::EMFILE | libc::ENFILE => Code(10024),
            libc::EAGAIN => Code::WOULDBLOCK,
            libc::EINPROGRESS => Code::INPROGRESS,
            libc::EALREADY => Code(10037),
            // Windows has only one error for bad descriptors: not a socket.
            libc::ENOTSOCK | libc::EBADF => Code::NOTSOCK,
            libc::EDESTADDRREQ => Code(10039),
            libc::EMSGSIZE => Code::MSGSIZE,
            libc::EPROTOTYPE => Code(10041),
            libc::ENOPROTOOPT => Code(10042),
            libc::EPROTONOSUPPORT => Code(10043),
            libc::ESOCKTNOSUPPORT => Code(10044),
            libc::EOPNOTSUPP => Code::OPNOTSUPP,
            libc::EPFNOSUPPORT => Code(10046),
            libc::EAFNOSUPPORT => Code::AFNOSUPPORT,
            libc::EADDRINUSE => Code::ADDRINUSE,
            libc::EADDRNOTAVAIL => Code::ADDRNOTAVAIL,
            libc::ENETDOWN => Code(10050),
            libc::ENETUNREACH => Code(10051),
            libc::ENETRESET => Code(10052),
            libc::ECONNABORTED => Code(10053),
            // Windows sends no signal either, and has no other word for a peer that is gone.
            libc::ECONNRESET | libc::EPIPE => Code::CONNRESET,
            libc::ENOBUFS | libc::ENOMEM => Code::NOBUFS,
            libc::EISCONN => Code(10056),
            libc::ENOTCONN => Code(10057),
            libc::ESHUTDOWN => Code(10058),
            libc::ETIMEDOUT => Code::TIMEDOUT,
            libc::ECONNREFUSED => Code::CONNREFUSED,
            libc::ENAMETOOLONG => Code(10063),
            libc::EHOSTDOWN => Code(10064),
            libc::EHOSTUNREACH => Code(10065),
            libc::EUSERS => Code(10068),
            libc::EDQUOT => Code(10069),
            _ => Code::INVAL,
        }
    }

    /// The code for the error of the system call that the calling thread made last.
    pub(crate) fn last_os_error() -> Code {
        Code::from_errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }
}

impl From<&Error> for Code {
    fn from(error: &Error) -> Code {
        match error.kind() {
            // The transport has no reservations.
            ErrorKind::NotEnabled => Code::OPNOTSUPP,
            _ => error.errno().map_or(Code::INVAL, Code::from_errno),
        }
    }
}

impl From<Error> for Code {
    fn from(error: Error) -> Code {
        Code::from(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_errors_of_reservations() {
        for (errno, code) in [
            (libc::EADDRINUSE, 10048),
            (libc::EADDRNOTAVAIL, 10049),
            (libc::EINVAL, 10022),
            (libc::EFAULT, 10014),
            (libc::EACCES, 10013),
            (libc::EDQUOT, 10069),
            (libc::ENOBUFS, 10055),
            (libc::EOPNOTSUPP, 10045),
            (libc::ENOTSOCK, 10038),
            (libc::EBADF, 10038),
            (libc::ENOENT, 10022),
        ] {
            assert_eq!(Code::from_errno(errno), Code(code), "{errno}");
        }
    }
}

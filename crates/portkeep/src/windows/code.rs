//! From Windows' codes to errors.

use crate::types::{Error, ErrorKind, PortRange, Token};

pub(crate) const ERROR_ACCESS_DENIED: i32 = 5;
pub(crate) const ERROR_SHARING_VIOLATION: i32 = 32;
pub(crate) const ERROR_INVALID_PARAMETER: i32 = 87;
pub(crate) const ERROR_NOT_FOUND: i32 = 1168;
pub(crate) const WSAEACCES: i32 = 10013;
pub(crate) const WSAEINVAL: i32 = 10022;
pub(crate) const WSAENOTSOCK: i32 = 10038;
pub(crate) const WSAEOPNOTSUPP: i32 = 10045;
pub(crate) const WSAEADDRINUSE: i32 = 10048;
pub(crate) const WSAEADDRNOTAVAIL: i32 = 10049;
pub(crate) const WSAENOBUFS: i32 = 10055;

/// For what every call has in common.
pub(crate) fn of_call(doing: &str, code: i32) -> Error {
    let (kind, message) = match code {
        WSAEOPNOTSUPP => (
            ErrorKind::NotSupportedSocket,
            "not a TCP or UDP socket".to_owned(),
        ),
        WSAENOTSOCK => (ErrorKind::NotASocket, "not a socket".to_owned()),
        WSAENOBUFS => (
            ErrorKind::TablesFull,
            "the system has no room for it".to_owned(),
        ),
        _ => return Error::failed(doing, std::io::Error::from_raw_os_error(code)),
    };
    Error::new(kind, code, message)
}

/// For a refused acquire of `count` ports, of a given range unless it was a wildcard. Windows does
/// not say whether a reservation or a socket is in the way, nor whose.
pub(crate) fn of_acquire(code: i32, range: Option<PortRange>, count: u16) -> Error {
    match (code, range) {
        (WSAEADDRINUSE | ERROR_SHARING_VIOLATION, Some(range)) => Error::new(
            ErrorKind::InUse,
            code,
            format!("{range} are in use or reserved, wholly or in part"),
        ),
        (WSAEADDRINUSE, None) => Error::new(
            ErrorKind::NoFreeBlock,
            code,
            format!("the dynamic ports have no free run of {count} left"),
        ),
        (WSAEACCES | ERROR_ACCESS_DENIED, _) => Error::new(
            ErrorKind::NotPermitted,
            code,
            "the system does not permit it",
        ),
        (WSAEINVAL | ERROR_INVALID_PARAMETER, _) => Error::new(
            ErrorKind::InvalidInput,
            code,
            "the system says that the request is invalid",
        ),
        _ => of_call("acquiring ports", code),
    }
}

/// For a refused call that names a token.
pub(crate) fn of_token_call(doing: &str, code: i32, token: Token) -> Error {
    match code {
        WSAEACCES => Error::new(
            ErrorKind::NotOwner,
            code,
            format!("{doing} is refused: reservation {token} is another process's"),
        ),
        WSAEINVAL => Error::new(
            ErrorKind::UnknownToken,
            code,
            format!("{doing} is refused: {token} names no reservation of this protocol"),
        ),
        _ => of_call(doing, code),
    }
}

/// For a refused bind of an associated socket to a port of `range`, or to any of them.
pub(crate) fn of_bind(code: i32, range: PortRange, port: Option<u16>) -> Error {
    match (code, port) {
        (WSAEADDRINUSE, Some(port)) => Error::new(
            ErrorKind::InUse,
            code,
            format!("port {port}/{} is in use", range.protocol()),
        ),
        (WSAEACCES, Some(port)) => Error::new(
            ErrorKind::Reserved,
            code,
            format!("port {port}/{} is reserved", range.protocol()),
        ),
        (WSAEADDRINUSE, None) => Error::new(
            ErrorKind::NoFreePort,
            code,
            format!("all ports of {range} are in use"),
        ),
        (WSAEADDRNOTAVAIL, Some(port)) => Error::outside_block(port, range),
        _ => of_call("binding the socket", code),
    }
}

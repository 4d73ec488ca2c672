//! From the errno of a refused call to the error that explains it.

use std::io;

use super::conflict::{Conflict, ConflictKind};
use super::error::{Error, ErrorKind};
use super::port_range::PortRange;
use super::token::Token;

impl Error {
    /// For what every call has in common.
    pub(crate) fn from_call(doing: &str, error: io::Error) -> Error {
        let errno = error.raw_os_error();
        let (kind, message) = match errno {
            Some(libc::ENOPROTOOPT) => (
                ErrorKind::NotEnabled,
                "Portkeep is not enabled here".to_owned(),
            ),
            Some(libc::EOPNOTSUPP) => (
                ErrorKind::NotSupportedSocket,
                "the socket is not a TCP or UDP socket over IPv4 or IPv6".to_owned(),
            ),
            Some(libc::ENOTSOCK) => (ErrorKind::NotASocket, "not a socket".to_owned()),
            Some(libc::EDQUOT) => (
                ErrorKind::Quota,
                "the user's quota of reserved ports is used up".to_owned(),
            ),
            Some(libc::ENOBUFS) => (
                ErrorKind::TablesFull,
                "Portkeep's tables are full".to_owned(),
            ),
            _ => return Error::failed(doing, error),
        };
        Error::new(kind, errno, message)
    }

    /// For a refused acquire of `count` ports, of a given range unless it was a wildcard.
    pub(crate) fn from_acquire(
        error: io::Error,
        range: Option<PortRange>,
        count: u16,
        conflict: Option<Conflict>,
    ) -> Error {
        let Some(errno) = error.raw_os_error() else {
            return Error::from_call("acquiring ports", error);
        };
        let ports = range.map_or_else(|| "the ports".to_owned(), |range| range.to_string());
        // Not every refusal renews the socket's record: another kind is about an earlier one.
        let conflict = conflict
            .filter(|conflict| conflict.port.is_some() && conflict.kind.errno() == Some(errno));
        let (kind, message) = match (errno, conflict.as_ref().map(|conflict| conflict.kind)) {
            (libc::EADDRINUSE, Some(ConflictKind::Reserved)) => {
                (ErrorKind::Reserved, String::new())
            }
            (libc::EADDRINUSE, None) if range.is_none() => return Error::no_free_block(count),
            (libc::EADDRINUSE, _) => (
                ErrorKind::InUse,
                format!("{ports} are in use or reserved, wholly or in part"),
            ),
            (libc::EADDRNOTAVAIL, _) => (
                ErrorKind::AutomaticRange,
                format!("{ports} are automatic ports, which any connect() may take"),
            ),
            (libc::EACCES, _) => (ErrorKind::NotPermitted, format!("{ports} are privileged")),
            (libc::ENOBUFS, Some(ConflictKind::CannotTell)) => {
                (ErrorKind::CannotTell, String::new())
            }
            (libc::EINVAL, _) => (
                ErrorKind::InvalidInput,
                "the kernel part says that the request is invalid".to_owned(),
            ),
            _ => return Error::from_call("acquiring ports", error),
        };
        Error::with_conflict(kind, errno, message, conflict)
    }

    /// For a refused creation of a persistent reservation, with the arguments of
    /// [`from_acquire`](Error::from_acquire).
    pub(crate) fn from_create(
        error: io::Error,
        range: Option<PortRange>,
        count: u16,
        conflict: Option<Conflict>,
    ) -> Error {
        let privileged_port = conflict
            .as_ref()
            .is_some_and(|conflict| conflict.kind == ConflictKind::NotPermitted);
        match (error.raw_os_error(), range) {
            (Some(libc::EACCES), _) if !privileged_port => Error::not_administrator("reserving"),
            // Of a change.
            (Some(libc::ENOENT), Some(range)) => {
                Error::from_persistent_call("changing", error, range)
            }
            _ => Error::from_acquire(error, range, count, conflict),
        }
    }

    /// For a refused call that names a persistent reservation.
    pub(crate) fn from_persistent_call(doing: &str, error: io::Error, range: PortRange) -> Error {
        match error.raw_os_error() {
            Some(libc::EACCES) => Error::not_administrator(doing),
            Some(libc::ENOENT) => Error::new(
                ErrorKind::NotFound,
                libc::ENOENT,
                format!("there is no persistent reservation {range}"),
            ),
            _ => Error::from_call(doing, error),
        }
    }

    fn not_administrator(doing: &str) -> Error {
        Error::new(
            ErrorKind::NotAdministrator,
            libc::EACCES,
            format!("{doing} is refused: permission denied"),
        )
    }

    pub(crate) fn no_free_block(count: u16) -> Error {
        Error::new(
            ErrorKind::NoFreeBlock,
            libc::EADDRINUSE,
            match count {
                1 => "the pool has no free port left".to_owned(),
                _ => format!("the pool has no free run of {count} ports left"),
            },
        )
    }

    /// For a refused call that names a token.
    pub(crate) fn from_token_call(doing: &str, error: io::Error, token: Token) -> Error {
        match error.raw_os_error() {
            Some(libc::EACCES) => Error::new(
                ErrorKind::NotOwner,
                libc::EACCES,
                format!("{doing} is refused: reservation {token} is another process's"),
            ),
            Some(libc::EINVAL) => Error::new(
                ErrorKind::UnknownToken,
                libc::EINVAL,
                format!(
                    "{doing} is refused: {token} names no reservation of this protocol \
                     and network namespace"
                ),
            ),
            _ => Error::from_call(doing, error),
        }
    }

    /// For a refused bind of an associated socket to a port of `range`, or to any of them.
    pub(crate) fn from_bind(
        error: io::Error,
        range: PortRange,
        port: Option<u16>,
        conflict: Option<Conflict>,
    ) -> Error {
        let kind = conflict.as_ref().map(|conflict| conflict.kind);
        match (error.raw_os_error(), kind) {
            (Some(libc::EADDRINUSE), _) => {}
            (Some(libc::EADDRNOTAVAIL), Some(ConflictKind::Ended | ConflictKind::Reserved)) => {
                return Error::with_conflict(
                    ErrorKind::Io,
                    libc::EADDRNOTAVAIL,
                    "the reservation has ended",
                    conflict,
                );
            }
            (Some(libc::ENOBUFS), Some(ConflictKind::CannotTell)) => {
                return Error::new(
                    ErrorKind::CannotTell,
                    libc::ENOBUFS,
                    format!("too many sockets to tell whether a port of {range} is free"),
                );
            }
            _ => return Error::from_call("binding the socket", error),
        }
        let conflict = conflict.filter(|conflict| conflict.port.is_some());
        let (kind, message) = match (port, conflict.as_ref().map(|conflict| conflict.kind)) {
            (_, Some(ConflictKind::Reserved)) => (ErrorKind::Reserved, String::new()),
            (Some(port), _) => (
                ErrorKind::InUse,
                format!("port {port}/{} is in use", range.protocol()),
            ),
            (None, _) => (
                ErrorKind::NoFreePort,
                format!("all ports of {range} are in use"),
            ),
        };
        let conflict = conflict.filter(|_| kind != ErrorKind::NoFreePort);
        Error::with_conflict(kind, libc::EADDRINUSE, message, conflict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Protocol;
    use crate::types::abi::{Be16, ConflictRecord};

    fn conflict(port: u16, kind: u8) -> Option<Conflict> {
        Conflict::from_record(&ConflictRecord {
            port: Be16::new(port),
            kind,
            protocol: 6,
            owner_pid: 1234,
            owner_uid: 1000,
            ..ConflictRecord::default()
        })
    }

    fn errno(errno: i32) -> io::Error {
        io::Error::from_raw_os_error(errno)
    }

    fn range() -> PortRange {
        PortRange::new(Protocol::Tcp, 61000, 61063).expect("a range")
    }

    #[test]
    fn refused_acquires() {
        use libc::{
            EACCES, EADDRINUSE, EADDRNOTAVAIL, EDQUOT, EINVAL, ENOBUFS, ENOPROTOOPT, EPERM,
        };
        for (number, range, conflict, kind) in [
            (
                EADDRINUSE,
                Some(range()),
                conflict(61003, 1),
                ErrorKind::Reserved,
            ),
            (
                EADDRINUSE,
                Some(range()),
                conflict(61003, 2),
                ErrorKind::InUse,
            ),
            (EADDRINUSE, Some(range()), None, ErrorKind::InUse),
            (EADDRINUSE, None, None, ErrorKind::NoFreeBlock),
            (EADDRINUSE, None, conflict(0, 1), ErrorKind::NoFreeBlock),
            (
                EADDRNOTAVAIL,
                Some(range()),
                conflict(61003, 3),
                ErrorKind::AutomaticRange,
            ),
            (EDQUOT, None, conflict(0, 4), ErrorKind::Quota),
            (EDQUOT, None, conflict(61003, 1), ErrorKind::Quota),
            (
                EACCES,
                Some(range()),
                conflict(80, 5),
                ErrorKind::NotPermitted,
            ),
            (EINVAL, Some(range()), None, ErrorKind::InvalidInput),
            (ENOBUFS, None, None, ErrorKind::TablesFull),
            (
                ENOBUFS,
                Some(range()),
                conflict(61003, 6),
                ErrorKind::CannotTell,
            ),
            (ENOPROTOOPT, None, None, ErrorKind::NotEnabled),
            (EPERM, None, None, ErrorKind::Io),
        ] {
            let error = Error::from_acquire(errno(number), range, 64, conflict);
            assert_eq!(
                (error.kind(), error.errno()),
                (kind, Some(number)),
                "{error}"
            );
            assert!(!error.to_string().is_empty());
            let text = error.to_string();
            let error = io::Error::from(error);
            assert_eq!(
                (error.kind(), error.to_string()),
                (errno(number).kind(), text)
            );
        }
    }

    #[test]
    fn refused_persistent_calls() {
        for (number, conflict, kind) in [
            (libc::EACCES, None, ErrorKind::NotAdministrator),
            (libc::EACCES, conflict(80, 5), ErrorKind::NotPermitted),
            (
                libc::EACCES,
                conflict(61003, 1),
                ErrorKind::NotAdministrator,
            ),
            (libc::EADDRINUSE, conflict(61003, 1), ErrorKind::Reserved),
        ] {
            let error = Error::from_create(errno(number), Some(range()), 64, conflict);
            assert_eq!(
                (error.kind(), error.errno()),
                (kind, Some(number)),
                "{error}"
            );
        }
        for (number, kind) in [
            (libc::EACCES, ErrorKind::NotAdministrator),
            (libc::ENOENT, ErrorKind::NotFound),
            (libc::ENOPROTOOPT, ErrorKind::NotEnabled),
            (libc::ENOBUFS, ErrorKind::TablesFull),
        ] {
            let error = Error::from_persistent_call("deleting", errno(number), range());
            assert_eq!(
                (error.kind(), error.errno()),
                (kind, Some(number)),
                "{error}"
            );
        }
    }

    #[test]
    fn a_reserved_port_is_named() {
        let error = Error::from_acquire(
            errno(libc::EADDRINUSE),
            Some(range()),
            64,
            conflict(61003, 1),
        );
        let text = "port 61003/tcp is reserved by process 1234, user 1000";
        assert_eq!(error.to_string(), text);
        assert_eq!(
            error.conflict().and_then(|conflict| conflict.port),
            Some(61003)
        );
        assert!(error.hint().is_some_and(|hint| hint.contains("61003/tcp")));
    }

    #[test]
    fn the_record_of_an_earlier_refusal_is_left_out() {
        let conflict = conflict(61003, 1);
        let error = Error::from_acquire(errno(libc::EINVAL), Some(range()), 64, conflict);
        assert_eq!(error.conflict(), None);
    }

    #[test]
    fn refused_token_calls() {
        let token = Token::from_raw(7).expect("not 0");
        for (number, kind) in [
            (libc::EACCES, ErrorKind::NotOwner),
            (libc::EINVAL, ErrorKind::UnknownToken),
            (libc::ENOTSOCK, ErrorKind::NotASocket),
            (libc::EOPNOTSUPP, ErrorKind::NotSupportedSocket),
            (libc::EBADF, ErrorKind::Io),
        ] {
            let error = Error::from_token_call("releasing", errno(number), token);
            assert_eq!(
                (error.kind(), error.errno()),
                (kind, Some(number)),
                "{error}"
            );
        }
    }

    #[test]
    fn refused_binds() {
        for (number, port, conflict, kind) in [
            (libc::EADDRINUSE, Some(61003), None, ErrorKind::InUse),
            (
                libc::EADDRINUSE,
                Some(61003),
                conflict(61003, 1),
                ErrorKind::Reserved,
            ),
            (libc::EADDRINUSE, None, None, ErrorKind::NoFreePort),
            (
                libc::EADDRINUSE,
                None,
                conflict(0, 2),
                ErrorKind::NoFreePort,
            ),
            (libc::EADDRNOTAVAIL, Some(61003), None, ErrorKind::Io),
        ] {
            let error = Error::from_bind(errno(number), range(), port, conflict);
            assert_eq!(
                (error.kind(), error.errno()),
                (kind, Some(number)),
                "{error}"
            );
        }
    }
}

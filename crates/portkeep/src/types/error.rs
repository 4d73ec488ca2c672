use std::fmt;
use std::io;

#[cfg(target_os = "linux")]
use portkeep_host::bpffs::UNTRUSTED_HINT;

use super::conflict::Conflict;
use super::number;
use super::parse_error::ParseError;
use super::port_range::PortRange;
use super::protocol::Protocol;

/// Why a call was refused or failed.
///
/// Its [`Display`](fmt::Display) names the port and who is in the way, [`hint`](Error::hint) what
/// to do next, and [`errno`](Error::errno) is what the system call returned.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    errno: Option<i32>,
    message: String,
    conflict: Option<Conflict>,
    /// The error of the system call, where `message` has no other reason.
    source: Option<io::Error>,
}

/// What kind of refusal or failure an [`Error`] is, with the errno it comes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A reservation holds one of the ports (`EADDRINUSE`).
    Reserved,
    /// A socket is bound to one of the ports (`EADDRINUSE`).
    InUse,
    /// The pool has no free run of ports as long as the wanted one (`EADDRINUSE`).
    NoFreeBlock,
    /// All ports of the block are in use (`EADDRINUSE`).
    NoFreePort,
    /// The port is not in the reserved block (`EADDRNOTAVAIL`).
    OutsideBlock,
    /// One of the ports is an automatic one that `connect(2)` may take (`EADDRNOTAVAIL`).
    AutomaticRange,
    /// Too many sockets share the port, or its place in the kernel's tables, to tell whether it is in
    /// use (`ENOBUFS`).
    CannotTell,
    /// The user's quota is used up (`EDQUOT`).
    Quota,
    /// Holding the ports by sockets takes more descriptors than the process may open (`EMFILE`).
    DescriptorLimit,
    /// One of the ports is privileged (`EACCES`).
    NotPermitted,
    /// The call takes `CAP_NET_ADMIN` over the network namespace (`EACCES`).
    NotAdministrator,
    /// The reservation is another process's (`EACCES`).
    NotOwner,
    /// The process is another user's, and handing a reservation to it takes `CAP_NET_ADMIN` over the
    /// network namespace (`EACCES`).
    ForeignProcess,
    /// The process has ended (`ESRCH`).
    ProcessEnded,
    /// Not a descriptor of a process, as `pidfd_open(2)` makes them (`EBADF`).
    NotAPidfd,
    /// The token names no reservation of the socket's protocol and network namespace (`EINVAL`).
    UnknownToken,
    /// There is no persistent reservation of exactly these ports (`ENOENT`).
    NotFound,
    /// The socket is bound already (`EINVAL`).
    AlreadyBound,
    /// The reservation has no ports of the socket's protocol (`EINVAL`).
    WrongProtocol,
    /// The socket holds no reservation, or several, so that it cannot be claimed (`EINVAL`).
    NotClaimable,
    /// An argument is invalid, such as a count of 0 or a range past port 65535 (`EINVAL`).
    InvalidInput,
    /// The kernel part's tables are full (`ENOBUFS`).
    TablesFull,
    /// The socket is neither TCP nor UDP over IPv4 or IPv6 (`EOPNOTSUPP`).
    NotSupportedSocket,
    /// Not a socket (`ENOTSOCK`).
    NotASocket,
    /// A reservation that is held by sockets cannot do it, see [`Backend::Held`](crate::Backend)
    /// (`EOPNOTSUPP`).
    NotSupportedHeld,
    /// The kernel part is not there, or does not serve this process's cgroup (`ENOPROTOOPT`).
    NotEnabled,
    /// The kernel part is there, but is older than this call (`ENOPROTOOPT`).
    Outdated,
    /// The kernel part is there, but its list of reservations is out of reach (any errno).
    ListUnavailable,
    /// Where the list of reservations should be is something that others than root have made, or can
    /// change; it was not read (`EPERM`).
    ListUntrusted,
    /// The system has no such call; no errno comes with it. It is all that systems other than Linux
    /// and Windows say, and Windows says it where a call is Linux's alone.
    NotSupported,
    /// A system call failed for a reason that has nothing to do with Portkeep (any errno).
    Io,
}

impl Error {
    pub(crate) fn new(
        kind: ErrorKind,
        errno: impl Into<Option<i32>>,
        message: impl Into<String>,
    ) -> Error {
        Error::with_conflict(kind, errno, message, None)
    }

    /// The message is for want of a conflict, which has words of its own.
    pub(crate) fn with_conflict(
        kind: ErrorKind,
        errno: impl Into<Option<i32>>,
        message: impl Into<String>,
        conflict: Option<Conflict>,
    ) -> Error {
        let (errno, message) = (errno.into(), message.into());
        Error(Box::new(Inner {
            kind,
            errno,
            message,
            conflict,
            source: None,
        }))
    }

    /// `doing` is what a held reservation cannot do.
    #[cfg(target_os = "linux")]
    pub(crate) fn not_supported_held(doing: &str) -> Error {
        Error::new(
            ErrorKind::NotSupportedHeld,
            libc::EOPNOTSUPP,
            format!("a reservation held by sockets cannot {doing}"),
        )
    }

    pub(crate) fn wrong_protocol(protocol: Protocol) -> Error {
        Error::new(
            ErrorKind::WrongProtocol,
            number::EINVAL,
            format!("the reservation has no {protocol} ports"),
        )
    }

    pub(crate) fn outside_block(port: u16, range: PortRange) -> Error {
        Error::new(
            ErrorKind::OutsideBlock,
            number::EADDRNOTAVAIL,
            format!(
                "port {port}/{} is not in the reserved {range}",
                range.protocol()
            ),
        )
    }

    #[cfg(any(target_os = "linux", windows))]
    pub(crate) fn already_bound(doing: &str, port: u16) -> Error {
        Error::new(
            ErrorKind::AlreadyBound,
            number::EINVAL,
            format!("{doing} is refused: the socket is bound to port {port} already"),
        )
    }

    pub(crate) fn invalid_input(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidInput, number::EINVAL, message)
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The errno of the system call; for what the library itself refuses, that which the kernel
    /// part would have given. `None` only for invalid answers of the kernel part.
    pub fn errno(&self) -> Option<i32> {
        self.0.errno
    }

    /// Who is in the way, if a single port is and the kernel told it.
    pub fn conflict(&self) -> Option<&Conflict> {
        self.0.conflict.as_ref()
    }

    /// What to do next, as a sentence, where there is something.
    pub fn hint(&self) -> Option<String> {
        let text = match self.0.kind {
            ErrorKind::Reserved | ErrorKind::InUse => match self.conflict() {
                Some(Conflict {
                    port: Some(port),
                    protocol,
                    ..
                }) => {
                    return Some(format!(
                        "`portkeep why {port}/{protocol}` tells more about the port; \
                         or let Portkeep choose the ports"
                    ));
                }
                _ => "choose other ports, or let Portkeep choose",
            },
            ErrorKind::NoFreeBlock => {
                "ask for fewer ports, or see with `portkeep ls` who holds them; ports of the pool \
                 that lie in net.ipv4.ip_local_port_range are not given out; \
                 `portkeep enable --pool` sets the pool"
            }
            ErrorKind::AutomaticRange => {
                "choose ports outside net.ipv4.ip_local_port_range, \
                 or add them to net.ipv4.ip_local_reserved_ports as root"
            }
            ErrorKind::CannotTell => {
                "choose other ports, or let Portkeep choose; \
                 `ss -tuan` shows the sockets; those in TIME-WAIT end within a minute"
            }
            ErrorKind::Quota | ErrorKind::TablesFull => {
                "release reservations that you do not need; `portkeep ls` shows them"
            }
            ErrorKind::NotPermitted => {
                "run with CAP_NET_BIND_SERVICE, \
                 or choose ports from net.ipv4.ip_unprivileged_port_start on"
            }
            ErrorKind::NotAdministrator => {
                "run this as root, or with CAP_NET_ADMIN over the network namespace"
            }
            ErrorKind::NotFound => "`portkeep ls` shows the reservations",
            ErrorKind::NotOwner => {
                "only the owner may do this; a process that holds the acquiring socket becomes the owner by a claim"
            }
            ErrorKind::ForeignProcess => "hand it to a process of your own, or run this as root",
            ErrorKind::Outdated => {
                "run `portkeep enable` as root with this version of Portkeep: it replaces the kernel \
                 part, and reservations stay"
            }
            ErrorKind::AlreadyBound => "associate the socket before it is bound",
            ErrorKind::NotEnabled => {
                "run `portkeep enable` as root; if that was done, this process's cgroup is not \
                 under one that was given with --control"
            }
            ErrorKind::DescriptorLimit => {
                "raise the limit (`ulimit -n`, RLIMIT_NOFILE), ask for fewer ports, \
                 or run `portkeep enable` as root: the kernel part needs no descriptors"
            }
            ErrorKind::NotSupportedHeld => {
                "run `portkeep enable` as root: the kernel part can do it"
            }
            ErrorKind::ListUnavailable => {
                "the list is in a bpf file system; \
                 set PORTKEEP_BPFFS to where it is mounted and readable"
            }
            #[cfg(target_os = "linux")]
            ErrorKind::ListUntrusted => UNTRUSTED_HINT,
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// What the system has no call for.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn not_supported(what: &str) -> Error {
        let message = format!("{what} is not supported on {}", std::env::consts::OS);
        Error::new(ErrorKind::NotSupported, None, message)
    }

    /// Of a system call that failed with `error`.
    #[cfg(any(test, target_os = "linux", windows))]
    pub(crate) fn failed(doing: &str, error: io::Error) -> Error {
        let message = format!("{doing} failed: {error}");
        let mut this = Error::new(ErrorKind::Io, error.raw_os_error(), message);
        this.0.source = Some(error);
        this
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn conflict_mut(&mut self) -> Option<&mut Conflict> {
        self.0.conflict.as_mut()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.conflict {
            Some(conflict) => conflict.fmt(f),
            None => f.write_str(&self.0.message),
        }
    }
}

/// The source is the error of the system call, of an [`ErrorKind::Io`]. The other kinds need none:
/// what they say is the reason.
impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}

/// Keeps the kind, the message and the source. The kind is that of the errno, so [`EADDRINUSE`] is
/// [`io::ErrorKind::AddrInUse`]; [`ErrorKind::NotSupported`] is [`io::ErrorKind::Unsupported`].
///
/// As for every error with a message, [`io::Error::raw_os_error`] is `None`. The errno is in the
/// [`Error`], which is still there:
///
/// ```
/// use std::io;
///
/// fn errno(error: &io::Error) -> Option<i32> {
///     error.raw_os_error().or_else(|| error.get_ref()?.downcast_ref::<portkeep::Error>()?.errno())
/// }
///
/// let error = portkeep::Reservation::builder().count(0).acquire().expect_err("no ports");
/// let number = error.errno();
/// let error = io::Error::from(error);
/// assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
/// assert_eq!(error.to_string(), "the number of ports must not be 0");
/// assert_eq!(errno(&error), number);
/// ```
///
/// [`EADDRINUSE`]: https://man7.org/linux/man-pages/man3/errno.3.html
impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        let kind = match (error.kind(), error.errno()) {
            (ErrorKind::NotSupported, _) => io::ErrorKind::Unsupported,
            (_, Some(errno)) => io::Error::from_raw_os_error(errno).kind(),
            (_, None) => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

impl From<ParseError> for Error {
    fn from(error: ParseError) -> Error {
        Error::invalid_input(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_that_crosses_threads() {
        fn check<T: Send + Sync + 'static>() {}
        check::<Error>();
        assert_eq!(size_of::<Result<(), Error>>(), size_of::<usize>());
    }

    #[test]
    fn the_errno_has_its_kind() {
        let invalid = Error::invalid_input("no ports");
        let error = io::Error::from(invalid);
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "no ports");
        let inner = error
            .get_ref()
            .and_then(|error| error.downcast_ref::<Error>());
        assert_eq!(inner.and_then(Error::errno), Some(number::EINVAL));
        assert!(std::error::Error::source(&error).is_none());
        let unknown = Error::new(ErrorKind::Io, None, "an answer");
        assert_eq!(io::Error::from(unknown).kind(), io::ErrorKind::Other);
        let unsupported = Error::new(ErrorKind::NotSupported, None, "a call");
        assert_eq!(
            io::Error::from(unsupported).kind(),
            io::ErrorKind::Unsupported
        );
    }

    #[test]
    fn the_failed_call_is_the_source() {
        let failed = Error::failed("listening", io::Error::from_raw_os_error(number::EINVAL));
        assert_eq!(failed.errno(), Some(number::EINVAL));
        assert!(failed.to_string().starts_with("listening failed: "));
        let error: Box<dyn std::error::Error> = io::Error::from(failed).into();
        let source = error
            .source()
            .and_then(|error| error.downcast_ref::<io::Error>());
        assert_eq!(
            source.and_then(io::Error::raw_os_error),
            Some(number::EINVAL)
        );
    }
}

//! HAND_OVER: a reservation for another process.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use crate::kernel::option::version_by;
use crate::socket::AsSocket;
use crate::sys;
use crate::types::abi::{self, SOL_PORTKEEP};
use crate::types::{Error, ErrorKind, Token};

const DOING: &str = "handing over";

/// Makes the process of `pidfd` the owner of the reservation `token` that `socket` acquired, as if that
/// process had claimed it.
///
/// The reservation still lasts as long as the socket, and stays charged to the same user. What the flags of
/// the acquire allowed to this process, they allow to that one then. A [`claim`](super::claim) takes it back.
///
/// # Errors
///
/// [`ErrorKind::NotOwner`] if another socket acquired it, or if the process is another user's and this
/// process has no `CAP_NET_ADMIN` over the network namespace; [`ErrorKind::UnknownToken`];
/// [`ErrorKind::ProcessEnded`]; [`ErrorKind::NotAPidfd`]; [`ErrorKind::Outdated`].
pub fn hand_over(socket: impl AsSocket, token: Token, pidfd: BorrowedFd<'_>) -> Result<(), Error> {
    let socket = socket.as_fd();
    let heir = abi::Heir {
        token: token.as_raw(),
        pidfd: pidfd.as_raw_fd(),
        reserved: 0,
    };
    sys::set_option(socket, SOL_PORTKEEP, abi::PORTKEEP_HAND_OVER, &heir)
        .map_err(|error| explain(error, token, || version_by(socket).is_ok()))
}

fn explain(error: io::Error, token: Token, is_enabled: impl FnOnce() -> bool) -> Error {
    let errno = error.raw_os_error();
    let refused = |kind, reason: &str| {
        let message = format!("handing reservation {token} over is refused: {reason}");
        Error::new(kind, errno, message)
    };
    match errno {
        Some(libc::EACCES) => refused(
            ErrorKind::NotOwner,
            "another socket acquired it, or the process is another user's",
        ),
        Some(libc::ESRCH) => refused(ErrorKind::ProcessEnded, "the process has ended"),
        Some(libc::EBADF) => refused(ErrorKind::NotAPidfd, "not a descriptor of a process"),
        Some(libc::ENOPROTOOPT) if is_enabled() => {
            refused(ErrorKind::Outdated, "the kernel part is older and cannot")
        }
        _ => Error::from_token_call(DOING, error, token),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let token = Token::from_raw(1).expect("not 0");
        for (errno, enabled, kind) in [
            (libc::EACCES, true, ErrorKind::NotOwner),
            (libc::ESRCH, true, ErrorKind::ProcessEnded),
            (libc::EBADF, true, ErrorKind::NotAPidfd),
            (libc::EINVAL, true, ErrorKind::UnknownToken),
            (libc::ENOPROTOOPT, true, ErrorKind::Outdated),
            (libc::ENOPROTOOPT, false, ErrorKind::NotEnabled),
            (libc::ENOTSOCK, false, ErrorKind::NotASocket),
        ] {
            let error = explain(io::Error::from_raw_os_error(errno), token, || enabled);
            assert_eq!((error.kind(), error.errno()), (kind, Some(errno)));
        }
    }
}

use std::error;
use std::fmt;

use crate::reservation::Reservation;
use crate::socket::OwnedSocket;
use crate::system::Reserved;
#[cfg(doc)]
use crate::types::ErrorKind;
use crate::types::{Error, PortRange, Token};

impl Reservation {
    /// Takes over a reservation from another process, by its acquiring sockets, which may come by
    /// inheritance, in a `SCM_RIGHTS` message
    /// ([`unix(7)`](https://man7.org/linux/man-pages/man7/unix.7.html)) or from a descriptor store.
    ///
    /// Nothing is free in between, and what is bound stays so. The list of reservations, see
    /// [`list`](crate::list), tells which ports and tokens go with the sockets.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotClaimable`] if a socket has not acquired exactly one block, or if the blocks
    /// do not have the same numbers in different protocols; [`ErrorKind::Quota`];
    /// [`ErrorKind::NotEnabled`]; on systems other than Linux [`ErrorKind::NotSupported`];
    /// [`ErrorKind::ListUnavailable`], then
    /// [`claim_token`](Reservation::claim_token) is a way. The error gives the sockets back.
    pub fn claim(
        sockets: impl IntoIterator<Item = OwnedSocket>,
    ) -> Result<Reservation, ClaimError> {
        Reserved::claim(sockets.into_iter().collect())
            .map(Reservation::new)
            .map_err(ClaimError::new)
    }

    /// Takes over a reservation of one protocol as [`claim`](Reservation::claim) does, without the
    /// list of reservations: whoever hands over the socket also tells the ports and the token.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotOwner`] or [`ErrorKind::UnknownToken`] if the socket has not acquired
    /// `token`; [`ErrorKind::Quota`]; [`ErrorKind::NotEnabled`],
    /// [`ErrorKind::NotSupported`]. The error gives the socket back.
    pub fn claim_token(
        socket: OwnedSocket,
        range: PortRange,
        token: Token,
    ) -> Result<Reservation, ClaimError> {
        Reserved::claim_token(socket, range, token)
            .map(Reservation::new)
            .map_err(ClaimError::new)
    }
}

/// Why a reservation could not be claimed, and the sockets, so that it does not end.
#[derive(Debug)]
pub struct ClaimError {
    error: Error,
    sockets: Vec<OwnedSocket>,
}

impl ClaimError {
    fn new((error, sockets): (Error, Vec<OwnedSocket>)) -> ClaimError {
        ClaimError { error, sockets }
    }

    /// Why.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The sockets that were to be claimed.
    pub fn into_sockets(self) -> Vec<OwnedSocket> {
        self.sockets
    }
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

/// It says what [`ClaimError::error`] says, and has its source.
impl error::Error for ClaimError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        error::Error::source(&self.error)
    }
}

/// Closes the sockets.
impl From<ClaimError> for Error {
    fn from(error: ClaimError) -> Error {
        error.error
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn a_refusal_gives_the_sockets_back() -> Result<(), Box<dyn error::Error>> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let address = socket.local_addr()?;
        let refusal = Reservation::claim([socket.into()]).expect_err("it has acquired nothing");
        let sockets = refusal.into_sockets();
        assert_eq!(sockets.len(), 1);
        for socket in sockets {
            assert_eq!(UdpSocket::from(socket).local_addr()?, address);
        }
        Ok(())
    }
}

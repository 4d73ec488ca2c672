use std::error;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};

use crate::error::{Error, ErrorKind};
use crate::kernel::{Block, Blocks};
use crate::list::{self, Entry};
use crate::port_range::PortRange;
use crate::reservation::{Ports, Reservation};
use crate::sockopt;
use crate::sys;
use crate::token::Token;

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
    /// [`ErrorKind::NotEnabled`]; [`ErrorKind::ListUnavailable`], then
    /// [`claim_token`](Reservation::claim_token) is a way. The error gives the sockets back.
    pub fn claim(sockets: impl IntoIterator<Item = OwnedFd>) -> Result<Reservation, ClaimError> {
        let sockets: Vec<OwnedFd> = sockets.into_iter().collect();
        let claimed = match claim_all(&sockets) {
            Ok(claimed) => claimed,
            Err(error) => return Err(ClaimError { error, sockets }),
        };
        let mut blocks = sockets
            .into_iter()
            .zip(claimed)
            .map(|(socket, (range, token))| Block {
                socket,
                range,
                token,
            });
        match blocks.next() {
            Some(first) => {
                let blocks = Blocks::new(first, blocks.collect());
                Ok(Reservation::new(Ports::Kernel(blocks)))
            }
            None => Err(ClaimError {
                error: not_claimable("there is no socket"),
                sockets: Vec::new(),
            }),
        }
    }

    /// Takes over a reservation of one protocol as [`claim`](Reservation::claim) does, without the
    /// list of reservations: whoever hands over the socket also tells the ports and the token.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotOwner`] or [`ErrorKind::UnknownToken`] if the socket has not acquired
    /// `token`; [`ErrorKind::Quota`]; [`ErrorKind::NotEnabled`]. The error gives the socket back.
    pub fn claim_token(
        socket: OwnedFd,
        range: PortRange,
        token: Token,
    ) -> Result<Reservation, ClaimError> {
        match sockopt::claim(&socket, token) {
            Ok(()) => {
                let block = Block {
                    socket,
                    range,
                    token,
                };
                let blocks = Blocks::new(block, Vec::new());
                Ok(Reservation::new(Ports::Kernel(blocks)))
            }
            Err(error) => Err(ClaimError {
                error,
                sockets: vec![socket],
            }),
        }
    }
}

fn claim_all(sockets: &[OwnedFd]) -> Result<Vec<(PortRange, Token)>, Error> {
    let entries = list::list()?;
    let mut found = Vec::with_capacity(sockets.len());
    for socket in sockets {
        let cookie = sys::cookie(socket.as_fd())
            .map_err(|error| Error::from_call("asking the socket for its cookie", error))?;
        found.push(find(cookie, &entries)?);
    }
    check_same_numbers(&found)?;
    for (socket, (_, token)) in sockets.iter().zip(&found) {
        sockopt::claim(socket, *token)?;
    }
    Ok(found)
}

/// The one reservation that the socket with this cookie has acquired.
fn find(cookie: u64, entries: &[Entry]) -> Result<(PortRange, Token), Error> {
    let mut own = entries.iter().filter(|entry| entry.socket_cookie == cookie);
    match (own.next(), own.next()) {
        (Some(entry), None) => Ok((entry.range, entry.token)),
        (None, _) => Err(not_claimable("the socket has acquired no reservation")),
        (Some(_), Some(_)) => Err(not_claimable(
            "the socket has acquired several reservations",
        )),
    }
}

fn check_same_numbers(found: &[(PortRange, Token)]) -> Result<(), Error> {
    let Some(((first, _), others)) = found.split_first() else {
        return Ok(());
    };
    for (index, (range, _)) in others.iter().enumerate() {
        if (range.start(), range.end()) != (first.start(), first.end()) {
            let message = format!("the sockets hold different ports, {first} and {range}");
            return Err(not_claimable(message));
        }
        if found[..=index]
            .iter()
            .any(|(earlier, _)| earlier.protocol() == range.protocol())
        {
            let message = format!("two of the sockets hold {} ports", range.protocol());
            return Err(not_claimable(message));
        }
    }
    Ok(())
}

fn not_claimable(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::NotClaimable, libc::EINVAL, message)
}

/// Why a reservation could not be claimed, and the sockets, so that it does not end.
#[derive(Debug)]
pub struct ClaimError {
    error: Error,
    sockets: Vec<OwnedFd>,
}

impl ClaimError {
    /// Why.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The sockets that were to be claimed.
    pub fn into_sockets(self) -> Vec<OwnedFd> {
        self.sockets
    }
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl error::Error for ClaimError {}

/// Closes the sockets.
impl From<ClaimError> for Error {
    fn from(error: ClaimError) -> Error {
        error.error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn entries() -> Vec<Entry> {
        [
            "tcp 61000-61003 - 5 0 a 1 11 100 1",
            "udp 61000-61003 - 5 0 a 1 12 101 1",
            "udp 61004-61007 - 5 0 a 1 13 102 1",
            "udp 61008-61008 - 5 0 a 1 14 103 1",
            "udp 61009-61009 - 5 0 a 1 15 103 1",
        ]
        .map(|line| line.parse().expect("a line"))
        .to_vec()
    }

    #[test]
    fn finds_the_reservation_of_a_socket() -> Result<(), Error> {
        let (range, token) = find(101, &entries())?;
        assert_eq!(
            (range.to_string(), token.as_raw()),
            ("61000-61003/udp".to_owned(), 12)
        );
        for cookie in [103, 999] {
            let error = find(cookie, &entries()).expect_err("not exactly one");
            assert_eq!(error.kind(), ErrorKind::NotClaimable);
        }
        Ok(())
    }

    #[test]
    fn several_sockets_hold_the_same_numbers() -> Result<(), Error> {
        let entries = entries();
        let [tcp, udp, other] = [
            find(100, &entries)?,
            find(101, &entries)?,
            find(102, &entries)?,
        ];
        check_same_numbers(&[])?;
        check_same_numbers(&[tcp])?;
        check_same_numbers(&[udp, tcp])?;
        for found in [[tcp, other], [udp, udp]] {
            let error = check_same_numbers(&found).expect_err("these do not go together");
            assert_eq!(error.kind(), ErrorKind::NotClaimable, "{found:?}");
        }
        Ok(())
    }

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

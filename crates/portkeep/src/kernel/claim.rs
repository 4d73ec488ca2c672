//! Claiming what another process has acquired.

use std::os::fd::{AsFd, OwnedFd};

use super::{list, sockopt};
use crate::blocks::{Block, Blocks};
use crate::sys;
use crate::types::{Entry, Error, ErrorKind, PortRange, Token};

/// Takes over the reservations of acquiring sockets. A refusal gives the sockets back.
pub(crate) fn claim(sockets: Vec<OwnedFd>) -> Result<Blocks, (Error, Vec<OwnedFd>)> {
    let claimed = match claim_all(&sockets) {
        Ok(claimed) => claimed,
        Err(error) => return Err((error, sockets)),
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
        Some(first) => Ok(Blocks::new(first, blocks.collect())),
        None => Err((not_claimable("there is no socket"), Vec::new())),
    }
}

/// Takes over a reservation without the list.
pub(crate) fn claim_token(
    socket: OwnedFd,
    range: PortRange,
    token: Token,
) -> Result<Blocks, (Error, Vec<OwnedFd>)> {
    match sockopt::claim(&socket, token) {
        Ok(()) => {
            let block = Block {
                socket,
                range,
                token,
            };
            Ok(Blocks::new(block, Vec::new()))
        }
        Err(error) => Err((error, vec![socket])),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        [
            "tcp 61000-61003 - 5 0 a 1 11 100 1 runtime -",
            "udp 61000-61003 - 5 0 a 1 12 101 1 runtime -",
            "udp 61004-61007 - 5 0 a 1 13 102 1 runtime -",
            "udp 61008-61008 - 5 0 a 1 14 103 1 runtime -",
            "udp 61009-61009 - 5 0 a 1 15 103 1 runtime -",
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
}

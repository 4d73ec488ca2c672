//! Ports that the kernel part keeps.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use portkeep::{Consumers, ErrorKind, Token, sockopt};

use crate::output::say;
use crate::serve::named_process;
use crate::serve::ports::{Given, Heir};

/// Acquires each port, TCP and UDP, and hands it over. Two sockets acquire them all: the reservations end with
/// this process, whatever becomes of it.
#[derive(Debug)]
pub struct KernelPorts {
    sockets: [OwnedFd; 2],
    consumers: Consumers,
    /// Which ports, and the next to try; otherwise the kernel part chooses.
    pool: Option<(Vec<u16>, usize)>,
    /// Whether the owner stays this process: then its descendants bind.
    keeps: bool,
    /// The last reason for which none was had, which is said once.
    said: Option<ErrorKind>,
}

/// How many ports of the kernel part's choice are tried: each that UDP refuses costs one.
const TRIES: usize = 512;

impl KernelPorts {
    /// `consumers` are those of the heir.
    fn new(consumers: Consumers, pool: Option<Vec<u16>>, keeps: bool) -> io::Result<Self> {
        let open = |kind, protocol| {
            let flags = SockFlag::SOCK_CLOEXEC;
            socket(AddressFamily::Inet, kind, flags, protocol)
                .or_else(|_| socket(AddressFamily::Inet6, kind, flags, protocol))
        };
        Ok(Self {
            sockets: [
                open(SockType::Stream, SockProtocol::Tcp)?,
                open(SockType::Datagram, SockProtocol::Udp)?,
            ],
            consumers,
            pool: pool.map(|ports| (ports, 0)),
            keeps,
            said: None,
        })
    }

    /// Fails if none of the ports can be acquired and handed over here.
    pub fn started(
        consumers: Consumers,
        pool: Option<Vec<u16>>,
        keeps: bool,
    ) -> io::Result<Result<Self, portkeep::Error>> {
        let mut ports = Self::new(consumers, pool, keeps)?;
        let own = named_process::own()?;
        let (taken, _) = ports.try_take(&own);
        Ok(taken.map(|given| {
            ports.give_back(given);
            ports
        }))
    }

    pub fn take(&mut self, heir: &Heir) -> (Option<Given>, u64) {
        let (taken, tried) = self.try_take(heir);
        let error = match taken {
            Ok(given) => return (Some(given), tried),
            Err(error) => error,
        };
        if self.said != Some(error.kind()) {
            say(&format!("no port for process {}: {error}", heir.pid));
            self.said = Some(error.kind());
        }
        (None, tried)
    }

    fn try_take(&mut self, heir: &Heir) -> (Result<Given, portkeep::Error>, u64) {
        let tries = self.pool.as_ref().map_or(TRIES, |(ports, _)| ports.len());
        let mut refusal = None;
        for tried in 1..=tries {
            let wanted = self.pool.as_mut().map_or(0, |(ports, next)| {
                *next = (*next + 1) % ports.len();
                ports[*next]
            });
            match self.acquire(wanted) {
                Ok(given) => return (self.hand_over(given, heir), tried as u64),
                Err((error, goes_on)) => {
                    refusal = Some(error);
                    if !goes_on {
                        break;
                    }
                }
            }
        }
        let none = || portkeep::Reservation::builder().count(0).acquire();
        let refusal = refusal.unwrap_or_else(|| none().expect_err("no ports"));
        (Err(refusal), tries as u64)
    }

    /// One port of both protocols; with a refusal, whether another port may do.
    fn acquire(&self, wanted: u16) -> Result<Given, (portkeep::Error, bool)> {
        let [tcp, udp] = &self.sockets;
        let may_pass = |error: &portkeep::Error| {
            matches!(
                error.kind(),
                ErrorKind::Reserved | ErrorKind::InUse | ErrorKind::CannotTell
            )
        };
        let (range, of_tcp) =
            sockopt::acquire(tcp, wanted, 1, self.consumers, 0).map_err(|it| {
                let goes_on =
                    wanted != 0 && (may_pass(&it) || it.kind() == ErrorKind::AutomaticRange);
                (it, goes_on)
            })?;
        let port = range.start();
        match sockopt::acquire(udp, port, 1, self.consumers, 0) {
            Ok((_, of_udp)) => Ok(Given {
                port,
                tokens: Some([of_tcp, of_udp]),
            }),
            Err(error) => {
                let _ = sockopt::release(tcp, of_tcp);
                let goes_on = may_pass(&error);
                Err((error, goes_on))
            }
        }
    }

    fn hand_over(&self, given: Given, heir: &Heir) -> Result<Given, portkeep::Error> {
        for (socket, token) in self.each(given).filter(|_| !self.keeps) {
            if let Err(error) = sockopt::hand_over(socket, token, heir.pidfd.as_fd()) {
                self.give_back(given);
                return Err(error);
            }
        }
        Ok(given)
    }

    fn each(&self, given: Given) -> impl Iterator<Item = (&OwnedFd, Token)> {
        self.sockets.iter().zip(given.tokens.into_iter().flatten())
    }

    /// What the heir has bound stays bound, and the kernel part does not give the port out meanwhile.
    pub fn give_back(&self, given: Given) {
        for (socket, token) in self.each(given) {
            // Only the owner may release. If the heir has released it, it has ended.
            let _ = sockopt::claim(socket, token);
            let _ = sockopt::release(socket, token);
        }
    }

    pub fn number(&self) -> Option<usize> {
        self.pool.as_ref().map(|(ports, _)| ports.len())
    }
}

//! Where ports come from, and what keeps them.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use portkeep::Token;

use crate::serve::books::Books;
use crate::serve::held::HeldPorts;
use crate::serve::kernel::KernelPorts;

/// The process that a port is for.
#[derive(Debug, Clone)]
pub struct Heir {
    pub pid: i32,
    /// It is readable once the process has ended.
    pub pidfd: Arc<OwnedFd>,
}

/// A port that was handed out.
#[derive(Debug, Clone, Copy)]
pub struct Given {
    pub port: u16,
    /// Of its reservations, TCP's and UDP's, where the kernel part keeps it.
    pub tokens: Option<[Token; 2]>,
}

/// The ports, by what keeps them.
#[derive(Debug)]
pub enum Ports {
    /// The kernel part lets only the process and its descendants bind.
    Kernel(KernelPorts),
    /// Sockets of this process; the supervisor of `run` lets only the process and its descendants bind.
    Held(HeldPorts),
    /// Nothing does: clients that ask this server do not get in each other's way.
    Books(Books),
}

impl Ports {
    /// Ports that nothing keeps.
    pub fn of_books(ports: Vec<u16>) -> Self {
        Self::Books(Books::new(ports))
    }

    /// A port for a process, and how many were looked at.
    pub fn take(&mut self, heir: &Heir) -> (Option<Given>, u64) {
        match self {
            Self::Kernel(ports) => ports.take(heir),
            Self::Held(ports) => ports.take(heir),
            Self::Books(books) => books.take(),
        }
    }

    /// Takes a port back. It is the last to be handed out again.
    pub fn give_back(&mut self, given: Given) {
        match self {
            Self::Kernel(ports) => ports.give_back(given),
            Self::Held(ports) => ports.give_back(given.port),
            Self::Books(books) => books.give_back(given.port),
        }
    }

    /// How many there are, given out or not; `None` if the kernel part's pool decides.
    pub fn number(&self) -> Option<usize> {
        match self {
            Self::Kernel(ports) => ports.number(),
            Self::Held(ports) => Some(ports.number()),
            Self::Books(books) => Some(books.number()),
        }
    }
}

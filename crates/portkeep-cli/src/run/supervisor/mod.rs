//! Lets the command bind to ports that are held by sockets.
//!
//! The command's tree runs under a seccomp filter that stops bind(2) and listen(2), in containers
//! also some setsockopt(2), and notifies the holder (seccomp_unotify(2)). If a call is about a held
//! port, the holder makes it itself, on a copy of the socket or, where none can be had, on a new one.
//! It reads the address once, so the command cannot change it after it was examined. Every other call
//! goes on as it was made. What the command changes in it meanwhile is of no use to it: a held port
//! refuses every socket that the holder does not let in.
//!
//! How the holder gets at the socket depends on what it is allowed, see [`way`], or on a library that the
//! programs load, see [`preload`].
//!
//! Reading a call's arguments may never finish: the address may be in memory that the command itself has to
//! fill, and the socket locked by a call that waits for such memory. So each call has a thread to itself, see [`threads`].
//!
//! If the holder is gone the kernel fails the calls with ENOSYS; nobody waits for it.

mod address;
mod filter;
mod handover;
pub mod inner;
mod kept;
mod let_in;
mod memory;
mod notification;
mod opened;
mod options;
mod preload;
mod probe;
mod process;
mod request;
mod rights;
mod serving;
mod socket;
mod threads;
mod trial;
mod turns;
mod way;

use std::sync::{Arc, PoisonError, RwLock};

use crate::holding::Holding;
use crate::run::attempts::Attempts;

pub use handover::{FromCommand, ToHolder, Tried, pair};
pub use preload::Library;
pub use probe::probe;
pub use serving::serve;

/// What the holder holds until nobody needs it any more.
#[derive(Debug)]
pub struct Shared {
    holding: RwLock<Option<Holding>>,
    attempts: Attempts,
}

impl Shared {
    pub fn new(holding: Holding) -> Arc<Self> {
        Arc::new(Self {
            holding: RwLock::new(Some(holding)),
            attempts: Attempts::default(),
        })
    }

    /// The ports that were asked for in vain, perhaps.
    pub fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// Does something with it, if it is still there.
    pub fn with<T>(&self, act: impl FnOnce(&Holding) -> T) -> Option<T> {
        let holding = self.holding.read().unwrap_or_else(PoisonError::into_inner);
        holding.as_ref().map(act)
    }

    /// Frees the ports, once nobody is being let in.
    pub fn release(&self) {
        *self.holding.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

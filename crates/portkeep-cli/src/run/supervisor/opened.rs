//! Ports that had to be opened for a while, see `Reservation::take_back`.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::run::supervisor::Shared;

/// The ports that the command has bound to and that may have been opened for it.
#[derive(Debug, Default)]
pub struct Opened(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    ports: BTreeSet<u16>,
    /// Whether a thread takes care of them.
    watched: bool,
}

/// Nothing tells that a socket has been closed. A look takes microseconds.
const PERIOD: Duration = Duration::from_millis(100);

impl Opened {
    /// Notes a port that was bound to.
    pub fn note(&self, port: u16) {
        self.state(|state| state.ports.insert(port));
    }

    /// Takes the noted ports back, once the command has closed the sockets that they were opened for; one
    /// thread waits for that.
    pub fn take_back(&self, holding: &Shared) {
        let ours = self.state(|state| {
            let ours = !state.watched && !state.ports.is_empty();
            state.watched |= ours;
            ours
        });
        if !ours {
            return;
        }
        loop {
            let ports = self.state(|state| state.ports.clone());
            for port in ports {
                // Before the look: what is opened after it is noted again.
                self.state(|state| state.ports.remove(&port));
                let open = holding.with(|holding| {
                    holding
                        .reservations_with(port)
                        .any(|reservation| reservation.take_back(port).unwrap_or(true))
                });
                if open == Some(true) {
                    self.note(port);
                }
            }
            let over = self.state(|state| {
                state.watched = !state.ports.is_empty();
                !state.watched
            });
            if over {
                return;
            }
            thread::sleep(PERIOD);
        }
    }

    fn state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

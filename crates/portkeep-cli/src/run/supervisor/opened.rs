//! What was opened or kept for sockets of the command, until it has closed them: ports, see
//! `Reservation::take_back`, and copies of sockets.

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
    /// Whether there is something else to look after.
    also: bool,
    /// Whether a thread takes care of it.
    watched: bool,
}

/// Nothing tells that a socket has been closed. A look takes microseconds.
const PERIOD: Duration = Duration::from_millis(100);

impl Opened {
    /// Notes a port that was bound to.
    pub fn note(&self, port: u16) {
        self.state(|state| state.ports.insert(port));
    }

    /// Notes that there is something else.
    pub fn note_also(&self) {
        self.state(|state| state.also = true);
    }

    /// Takes the noted ports back, once the command has closed the sockets that they were opened for, and
    /// looks after the rest, until there is none; one thread waits for that.
    pub fn take_back(&self, holding: &Shared, also: impl Fn() -> bool) {
        let ours = self.state(|state| {
            let ours = !state.watched && (state.also || !state.ports.is_empty());
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
            self.state(|state| state.also = false);
            if also() {
                self.note_also();
            }
            let over = self.state(|state| {
                state.watched = state.also || !state.ports.is_empty();
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

//! Which ports the command asked for in vain, to be told at its end.
//!
//! A program that is refused a port often says no more than "Address already in use". The supervisor sees
//! the binds to ports that are not the command's, but not what came of them: the kernel goes on with them.
//! So what counts is who has such a port when the command has failed.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use nix::unistd::getpid;
use portkeep::Protocol;
use portkeep_admin::Installation;

use crate::port_state::PortState;
use crate::words;
use portkeep_admin::sockets::{State, parent};

/// So many ports are remembered; whoever scans for a free one asks for many.
const REMEMBERED: usize = 16;

/// The ports that were asked for last, the latest one first.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<VecDeque<u16>>);

impl Attempts {
    pub fn note(&self, port: u16) {
        let mut ports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ports.front() != Some(&port) {
            ports.retain(|known| *known != port);
            ports.push_front(port);
            ports.truncate(REMEMBERED);
        }
    }

    /// Who has one of them now, other than the command and its descendants.
    pub fn explain(&self, installation: &Installation) -> Option<String> {
        let ports = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        ports
            .into_iter()
            .flat_map(|port| [Protocol::Tcp, Protocol::Udp].map(|protocol| (protocol, port)))
            .find_map(|(protocol, port)| {
                let who = who_has(&PortState::of(protocol, port, installation).ok()?)?;
                Some(format!(
                    "the command asked for port {port}, and {port}/{protocol} is {who}"
                ))
            })
    }
}

fn who_has(state: &PortState) -> Option<String> {
    let owner = state
        .sockets
        .iter()
        .filter(|socket| socket.state != State::TimeWait)
        .flat_map(|socket| state.owners(socket))
        .find(|owner| !is_ours(owner.pid));
    let in_use = || {
        let owner = owner?;
        let process = words::process(owner.pid, &owner.command, owner.uid);
        Some(format!("in use by {process}"))
    };
    let reserved = || {
        let line = state.reserver()?;
        Some(format!("reserved {line}"))
    };
    let hidden = || {
        let socket = state
            .sockets
            .iter()
            .find(|socket| state.is_hidden(socket))?;
        let user = portkeep_admin::user_name(socket.uid);
        Some(format!("in use by a socket of user {user}"))
    };
    reserved().or_else(in_use).or_else(hidden)
}

/// Whether it is this process, the holder, or one of its descendants.
fn is_ours(mut pid: u32) -> bool {
    let own = getpid().as_raw().cast_unsigned();
    // Longer chains are none of ours: process ids may come again while we look.
    for _ in 0..64 {
        if pid == own {
            return true;
        }
        match parent(pid) {
            Some(next) if next > 1 => pid = next,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered() {
        let attempts = Attempts::default();
        for port in (1..=20).chain([7, 7]) {
            attempts.note(port);
        }
        let ports = attempts.0.lock().expect("nobody panicked").clone();
        assert_eq!(ports.len(), REMEMBERED);
        assert_eq!(ports.iter().take(3).collect::<Vec<_>>(), [&7, &20, &19]);
    }

    #[test]
    fn this_process_is_ours() {
        assert!(is_ours(std::process::id()));
        assert!(!is_ours(1));
    }
}

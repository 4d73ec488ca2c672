//! The processes that have ports.

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};

use crate::serve::named_process::{self, Peer};
use crate::serve::ports::{Given, Heir};

/// One of them.
#[derive(Debug)]
struct Process {
    heir: Heir,
    /// The user who asked first, and may ask again.
    user: u32,
    /// Of the process itself as a client: whether its numbers are ours.
    shares_our_numbers: bool,
    /// Each with the user for whom it counts: the client's. Root may ask for a user's process, too.
    ports: Vec<(Given, u32)>,
}

/// By the process's id here: a descriptor of each is kept, so no other has its id before its end was seen.
#[derive(Debug, Default)]
pub struct Processes {
    all: HashMap<i32, Process>,
    /// How many ports each user has.
    users: HashMap<u32, usize>,
}

impl Processes {
    /// The process that a client means; see [`named_process::find`].
    pub fn find(&self, number: i32, peer: Peer) -> Option<Heir> {
        // Most ask for themselves, many times. What was found out about them then holds while they live.
        let known = self.all.get(&number).filter(|known| {
            number == peer.pid && known.shares_our_numbers && known.user == peer.uid
        });
        if let Some(known) = known.filter(|known| named_process::lives(&known.heir.pidfd)) {
            return Some(known.heir.clone());
        }
        let heir = named_process::find(number, peer)?;
        match self.all.get(&heir.pid) {
            // Its end is in the queue of events, and its ports are not free yet.
            Some(known) if !named_process::lives(&known.heir.pidfd) => None,
            Some(known) => Some(known.heir.clone()),
            None => Some(heir),
        }
    }

    /// Whether a process is one of these, and has ended.
    pub fn has_ended(&self, pid: i32) -> bool {
        let known = self.all.get(&pid);
        known.is_some_and(|known| !named_process::lives(&known.heir.pidfd))
    }

    pub fn ports_of_user(&self, user: u32) -> usize {
        self.users.get(&user).copied().unwrap_or(0)
    }

    /// How many ports are handed out.
    pub fn ports(&self) -> usize {
        self.users.values().sum()
    }

    /// Notes a port. The end of the process becomes an event with its id.
    pub fn add(&mut self, heir: Heir, user: u32, given: Given, epoll: &Epoll, event: u64) -> bool {
        let pid = heir.pid;
        if !self.all.contains_key(&pid) {
            let interest = EpollEvent::new(EpollFlags::EPOLLIN, event);
            if epoll.add(Arc::clone(&heir.pidfd), interest).is_err() {
                return false;
            }
        }
        let process = self.all.entry(pid).or_insert_with(|| Process {
            shares_our_numbers: named_process::shares_our_numbers(pid),
            heir,
            user,
            ports: Vec::new(),
        });
        process.ports.push((given, user));
        *self.users.entry(user).or_default() += 1;
        true
    }

    /// Forgets a process that has ended; gives its ports.
    pub fn remove(&mut self, pid: i32, epoll: &Epoll) -> Vec<Given> {
        let Some(process) = self.all.remove(&pid) else {
            return Vec::new();
        };
        // A copy of the descriptor may be in use elsewhere for a moment, and would keep the event.
        let _ = epoll.delete(process.heir.pidfd.as_fd());
        for (_, user) in &process.ports {
            if let Some(count) = self.users.get_mut(user) {
                *count -= 1;
                if *count == 0 {
                    self.users.remove(user);
                }
            }
        }
        process.ports.into_iter().map(|(given, _)| given).collect()
    }

    /// Those that have ended, whether or not their events have come.
    pub fn ended(&self) -> Vec<i32> {
        let ended = self.all.iter();
        let ended = ended.filter(|(_, process)| !named_process::lives(&process.heir.pidfd));
        ended.map(|(pid, _)| *pid).collect()
    }
}

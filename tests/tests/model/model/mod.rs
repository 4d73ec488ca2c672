//! The semantics of Portkeep, and as much of the kernel's as they rest on, in memory.
//!
//! The model makes no calls. For each it tells why it must be refused, if it must, and is told what
//! came of it; where the contract leaves a choice (which block, which port) it takes what the kernel
//! part chose, if that is admissible.

mod ask;
mod binding;
mod exclusions;
mod persistent;
mod reservations;
mod reserving;
mod sockets;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use ask::Ask;
pub(crate) use exclusions::Exclusion;
pub(crate) use persistent::consumer;
pub(crate) use reservations::{Lifetime, Reservation};
pub(crate) use reserving::Wanted;
pub(crate) use sockets::{Bound, Place, Socket, State};

use crate::call::Slot;
use crate::operation::{Person, UNPRIVILEGED};

/// Ports that a user without `CAP_NET_ADMIN` may hold.
pub(crate) const QUOTA: u32 = 4096;

pub(crate) type ProcessId = u32;
pub(crate) type SocketId = u32;
/// The network namespaces of a history, in the order in which they came; 0 is the trial's own.
pub(crate) type Netns = usize;

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) person: Person,
    pub(crate) netns: Netns,
    /// None for the trial, which orphans come to.
    pub(crate) parent: Option<ProcessId>,
    pub(crate) slots: Vec<(Slot, SocketId)>,
}

/// A process by its ids, which a reservation keeps when the process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) process: ProcessId,
    pub(crate) pid: u32,
    pub(crate) uid: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) processes: BTreeMap<ProcessId, Process>,
    pub(crate) sockets: BTreeMap<SocketId, Socket>,
    pub(crate) reservations: Vec<Reservation>,
    /// Tokens that have been given, in the order in which they came.
    pub(crate) tokens: Vec<u64>,
    /// Those of the store: protocol, first port, count.
    exclusions: Vec<Exclusion>,
    /// What the store has added to `ip_local_reserved_ports` of the trial's own namespace.
    kept: BTreeSet<u16>,
}

impl Person {
    /// The user id in the initial user namespace.
    pub(crate) fn uid(self) -> u32 {
        match self {
            Person::Root => 0,
            Person::Alice => 1001,
            Person::Bob => 1002,
            Person::Container => 100_000,
        }
    }
}

/// A group that only Bob is in.
pub(crate) const BOBS_GROUP: u32 = 2000;

impl Model {
    pub(crate) fn process(&self, id: ProcessId) -> &Process {
        &self.processes[&id]
    }

    pub(crate) fn socket(&self, id: SocketId) -> &Socket {
        &self.sockets[&id]
    }

    pub(crate) fn socket_mut(&mut self, id: SocketId) -> &mut Socket {
        self.sockets.get_mut(&id).expect("a socket of the model")
    }

    pub(crate) fn owner(&self, id: ProcessId) -> Owner {
        let process = self.process(id);
        Owner {
            process: id,
            pid: process.pid,
            uid: process.person.uid(),
        }
    }

    /// Whether the process has `CAP_NET_ADMIN` and `CAP_NET_BIND_SERVICE` over the namespace: as
    /// root of the machine, as root there, or as the user who made it (user_namespaces(7)).
    pub(crate) fn administers(&self, id: ProcessId, netns: Netns) -> bool {
        let process = self.process(id);
        match process.person {
            Person::Root => true,
            Person::Container => process.netns == netns,
            Person::Alice => netns != 0,
            Person::Bob => false,
        }
    }

    /// The user whose quota counts what the process acquires.
    pub(crate) fn charged(&self, id: ProcessId) -> Option<u32> {
        match self.process(id).person {
            Person::Root => None,
            // A container is on its maker's account.
            Person::Alice | Person::Container => Some(Person::Alice.uid()),
            Person::Bob => Some(Person::Bob.uid()),
        }
    }

    pub(crate) fn descends_from(&self, id: ProcessId, ancestor: ProcessId) -> bool {
        let mut next = Some(id);
        while let Some(id) = next {
            if id == ancestor {
                return true;
            }
            next = self.processes.get(&id).and_then(|process| process.parent);
        }
        false
    }

    pub(crate) fn may_use_low_ports(&self, id: ProcessId, netns: Netns, port: u16) -> bool {
        port >= UNPRIVILEGED || self.administers(id, netns)
    }

    pub(crate) fn exists(&self, netns: Netns) -> bool {
        netns == 0
            || self.processes.values().any(|it| it.netns == netns)
            || self.sockets.values().any(|it| it.netns == netns)
    }

    /// The end of a process: its children are orphans; the sockets that nobody else has are closed.
    pub(crate) fn exit(&mut self, id: ProcessId) -> Vec<SocketId> {
        let process = self.processes.remove(&id).expect("a process of the model");
        for other in self.processes.values_mut() {
            if other.parent == Some(id) {
                other.parent = None;
            }
        }
        let sockets = process.slots.iter().map(|(_, socket)| *socket);
        self.close_unreferenced(sockets.collect())
    }

    pub(crate) fn close(&mut self, id: ProcessId, slot: Slot) -> Vec<SocketId> {
        let process = self.processes.get_mut(&id).expect("a process of the model");
        let index = process.slots.iter().position(|(it, _)| *it == slot);
        let (_, socket) = process.slots.remove(index.expect("a slot of the model"));
        self.close_unreferenced(vec![socket])
    }

    /// Where a socket is open.
    pub(crate) fn holder(&self, socket: SocketId) -> Option<(ProcessId, Slot)> {
        self.processes.iter().find_map(|(id, process)| {
            let (slot, _) = process.slots.iter().find(|(_, it)| *it == socket)?;
            Some((*id, *slot))
        })
    }

    /// Closes those of the sockets that are open nowhere. The other ends of connections that this
    /// resets are returned.
    fn close_unreferenced(&mut self, mut sockets: Vec<SocketId>) -> Vec<SocketId> {
        sockets.sort_unstable();
        sockets.dedup();
        sockets.retain(|socket| self.holder(*socket).is_none());
        let mut peers = Vec::new();
        for id in &sockets {
            let closed = self.sockets.remove(id).expect("a socket of the model");
            self.reservations.retain(|it| it.acquirer() != Some(*id));
            peers.extend(self.reset_peer(closed.state));
        }
        peers.retain(|peer| self.sockets.contains_key(peer));
        peers
    }

    /// Resets the other end of a connection.
    fn reset_peer(&mut self, state: State) -> Option<SocketId> {
        let State::Connected { peer } = state else {
            return None;
        };
        self.sockets.get_mut(&peer)?.reset();
        Some(peer)
    }

    /// Takes note of an `AF_UNSPEC`. The other end of a connection is returned.
    pub(crate) fn disconnect(&mut self, socket: SocketId) -> Vec<SocketId> {
        let state = self.socket(socket).state;
        self.socket_mut(socket).disconnect();
        self.reset_peer(state).into_iter().collect()
    }
}

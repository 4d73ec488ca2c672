//! Sockets that have been bound for the command and will be listened on.

use std::collections::{HashSet, VecDeque};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::{Mutex, PoisonError};

use nix::sys::socket::{SockaddrStorage, getpeername};

use crate::run::supervisor::{process, socket};

/// What is known about sockets by inode, for ways in which reaching a socket is expensive or impossible.
#[derive(Debug, Default)]
pub struct Bound(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    inodes: HashSet<u64>,
    /// Whether some had to be forgotten.
    incomplete: bool,
    kept: VecDeque<Kept>,
}

/// A copy of a socket that took another's place. It is all that is left to reach it by, and keeps the port
/// bound, so it must not outlive the command's own.
#[derive(Debug)]
struct Kept {
    inode: u64,
    thread: i32,
    number: i32,
    port: u16,
    socket: OwnedFd,
}

/// More than any command has open at a time.
const INODES: usize = 65536;
/// How many copies are kept; the oldest goes.
const COPIES: usize = 256;

impl Bound {
    /// Notes a socket that has been bound to one of our ports.
    pub fn note(&self, inode: u64) {
        self.state(|state| {
            if state.inodes.len() >= INODES {
                state.inodes.clear();
                state.incomplete = true;
            }
            state.inodes.insert(inode);
        });
    }

    /// Whether a socket may have been.
    pub fn may_be(&self, inode: u64) -> bool {
        self.state(|state| state.incomplete || state.inodes.contains(&inode))
    }

    /// Whether a socket has been, as far as is known.
    pub fn is(&self, inode: u64) -> bool {
        self.state(|state| state.inodes.contains(&inode))
    }

    /// Keeps a copy of a socket for its listen(2).
    pub fn keep(&self, thread: i32, number: i32, port: u16, socket: OwnedFd) {
        let Some(inode) = socket::inode(socket.as_fd()) else {
            return;
        };
        self.state(|state| {
            state.kept.push_back(Kept {
                inode,
                thread,
                number,
                port,
                socket,
            });
            if state.kept.len() > COPIES {
                state.kept.pop_front();
            }
        });
    }

    /// The copy of a socket, which is not kept any longer.
    pub fn take(&self, inode: u64) -> Option<OwnedFd> {
        self.state(|state| {
            let index = state.kept.iter().position(|kept| kept.inode == inode)?;
            state.kept.remove(index).map(|kept| kept.socket)
        })
    }

    /// Drops copies that are of no use any more, all or those at one port; gives whether any are left.
    pub fn drop_useless(&self, port: Option<u16>) -> bool {
        self.state(|state| {
            state
                .kept
                .retain(|kept| port.is_some_and(|port| port != kept.port) || kept.is_of_use());
            !state.kept.is_empty()
        })
    }

    fn state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Kept {
    /// Whether its owner has it still, and has not connected it instead.
    fn is_of_use(&self) -> bool {
        let is_connected = getpeername::<SockaddrStorage>(self.socket.as_raw_fd()).is_ok();
        !is_connected && process::socket_inode(self.thread, self.number) == Some(self.inode)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use nix::unistd::gettid;

    use super::*;

    #[test]
    fn a_copy_is_kept_while_its_owner_has_it() {
        let bound = Bound::default();
        let socket = TcpListener::bind("127.0.0.1:0").expect("bind");
        let inode = socket::inode(socket.as_fd()).expect("an inode");
        let copy = || socket.try_clone().expect("dup").into();
        bound.keep(gettid().as_raw(), socket.as_raw_fd(), 1, copy());
        assert!(bound.drop_useless(None));
        assert!(bound.take(inode).is_some());
        assert!(bound.take(inode).is_none());
        bound.keep(gettid().as_raw(), socket.as_raw_fd(), 1, copy());
        drop(socket);
        assert!(bound.drop_useless(Some(2)));
        assert!(!bound.drop_useless(Some(1)));
    }

    #[test]
    fn what_was_forgotten_may_have_been_bound() {
        let bound = Bound::default();
        bound.note(1);
        assert!(bound.may_be(1) && !bound.may_be(2));
        for inode in 0..INODES as u64 {
            bound.note(inode);
        }
        bound.note(u64::MAX);
        assert!(bound.may_be(1) && !bound.is(1) && bound.is(u64::MAX));
    }
}

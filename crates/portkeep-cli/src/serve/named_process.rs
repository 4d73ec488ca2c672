//! Which process a client means, and whether it may ask for it.
//!
//! A client writes a number of its own process namespace. The kernel tells who it is (`SO_PEERCRED`), with
//! numbers as they are here.

use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::pidfd;
use crate::serve::ports::Heir;
use portkeep_admin::sockets::status;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// 0 if it is in no process namespace below ours.
    pub pid: i32,
    pub uid: u32,
}

/// Up to so many ancestors of a client are looked at.
const GENERATIONS: usize = 64;

/// The process that the client calls `number`, if it lives, and is one that the client may ask for: of the
/// same user, unless the client is root's, and in this network namespace.
pub fn find(number: i32, peer: Peer) -> Option<Heir> {
    let pid = translate(number, peer.pid)?;
    let pidfd = pidfd::open(pid, 0).ok()?;
    let is_users = peer.uid == 0 || user(pid) == Some(peer.uid);
    let is_here = network_namespace(&pid.to_string()) == network_namespace("self");
    // Only if it lives still have the files told of this process, and not of the next with its number.
    (is_users && is_here && lives(&pidfd)).then(|| Heir {
        pid,
        pidfd: Arc::new(pidfd),
    })
}

/// The number here of what the client calls `number`.
fn translate(number: i32, client: i32) -> Option<i32> {
    let depth = numbers(client)?.len();
    if depth == 1 {
        return Some(number);
    }
    // Of the processes in a namespace below, only these are sure to be meant.
    let mut process = client;
    for _ in 0..GENERATIONS {
        let numbers = numbers(process)?;
        if numbers.len() != depth {
            return None;
        }
        if numbers.last() == Some(&number) {
            return Some(process);
        }
        process = status(process.cast_unsigned(), "PPid:")?.parse().ok()?;
    }
    None
}

/// A process's numbers, from our process namespace inwards; none before Linux 4.1.
fn numbers(pid: i32) -> Option<Vec<i32>> {
    let pid = u32::try_from(pid).ok().filter(|pid| *pid != 0)?;
    let numbers: Vec<_> = status(pid, "NSpid:")?
        .split_ascii_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect();
    (!numbers.is_empty()).then_some(numbers)
}

/// The real user.
fn user(pid: i32) -> Option<u32> {
    let users = status(pid.cast_unsigned(), "Uid:")?;
    users.split_ascii_whitespace().next()?.parse().ok()
}

/// `None` if it cannot be seen; that of `self` always can.
fn network_namespace(process: &str) -> Option<(u64, u64)> {
    let namespace = fs::metadata(format!("/proc/{process}/ns/net")).ok()?;
    Some((namespace.dev(), namespace.ino()))
}

/// This process, as an heir.
pub fn own() -> nix::Result<Heir> {
    let pid = nix::unistd::getpid().as_raw();
    let pidfd = Arc::new(pidfd::open(pid, 0)?);
    Ok(Heir { pid, pidfd })
}

/// Whether a process has not ended.
pub fn lives(pidfd: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO) == Ok(0)
}

/// Whether a client is in our process namespace, so that its numbers are ours.
pub fn shares_our_numbers(client: i32) -> bool {
    numbers(client).is_some_and(|numbers| numbers.len() == 1)
}

//! The socket that watches.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use portkeep::abi;

use crate::error::{Context as _, Error, Result};
use crate::watching::event::Event;

/// A watching socket.
#[derive(Debug)]
pub struct Watcher(OwnedFd);

/// What happened since the last call.
#[derive(Debug)]
pub struct Batch {
    pub events: Vec<Event>,
    /// Since the socket watches.
    pub lost: u64,
    /// When Portkeep was enabled, in nanoseconds since boot.
    pub enabled: u64,
    /// Whether there are more events already.
    pub more: bool,
}

/// What the kernel part answers.
#[derive(Debug)]
pub enum Asked {
    Events(Batch),
    /// The kernel part with which it watched has been removed.
    Gone,
}

/// The kernel copies a page at most.
const PAGE: usize = 4096;
const HEAD: usize = size_of::<abi::EventsHead>();
const EVENT: usize = size_of::<abi::EventRecord>();

impl Watcher {
    pub fn start(kinds: u64) -> Result<Self> {
        let open = |family| socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
        let socket = open(AddressFamily::Inet)
            .or_else(|_| open(AddressFamily::Inet6))
            .context("cannot make a socket")?;
        // SAFETY: the pointer and the length describe `kinds`, which outlives the call.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                abi::SOL_PORTKEEP,
                abi::PORTKEEP_WATCH,
                (&raw const kinds).cast(),
                size_of_val(&kinds) as libc::socklen_t,
            )
        };
        if result == 0 {
            return Ok(Self(socket));
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() == Some(libc::ENOPROTOOPT) {
            portkeep::version()?;
            return Err(Error::refused(
                "the kernel part is older than this command and has no events",
            )
            .with_hint("run `portkeep enable` as root, which replaces it"));
        }
        Err(error).context("cannot watch")
    }

    pub fn ask(&self) -> Result<Asked> {
        let mut page = [0_u8; PAGE];
        let mut length = PAGE as libc::socklen_t;
        // SAFETY: the pointer and the length describe `page`; the kernel writes no more than the length.
        let result = unsafe {
            libc::getsockopt(
                self.0.as_raw_fd(),
                abi::SOL_PORTKEEP,
                abi::PORTKEEP_WATCH,
                page.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if result == 0 {
            let answer = page.get(..length as usize).unwrap_or_default();
            return batch(answer).map(Asked::Events).ok_or_else(|| {
                Error::refused(format!("the kernel part answers {length} unknown bytes"))
            });
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // Without the kernel part, on IPv4 and IPv6; with another one, which does not know it.
            Some(libc::EOPNOTSUPP | libc::ENOPROTOOPT | libc::ENOENT) => Ok(Asked::Gone),
            _ => Err(error).context("cannot read events"),
        }
    }
}

fn batch(answer: &[u8]) -> Option<Batch> {
    use std::mem::offset_of;
    let (head, events) = answer.split_at_checked(HEAD)?;
    let number = u32_at(head, offset_of!(abi::EventsHead, number))? as usize;
    if events.len() != number * EVENT {
        return None;
    }
    Some(Batch {
        events: events
            .chunks_exact(EVENT)
            .map(Event::from_bytes)
            .collect::<Option<_>>()?,
        lost: u64_at(head, offset_of!(abi::EventsHead, lost))?,
        enabled: u64_at(head, offset_of!(abi::EventsHead, enabled))?,
        more: u32_at(head, offset_of!(abi::EventsHead, more))? != 0,
    })
}

pub fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let bytes = bytes.get(offset..)?.first_chunk()?;
    Some(u64::from_ne_bytes(*bytes))
}

pub fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

pub fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    let bytes = bytes.get(offset..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*bytes))
}

//! The sockets that hold ports.

use std::cell::Cell;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::sys;
use crate::types::Protocol;

/// A bound socket that never listens and never receives.
///
/// It has no device, lest it pass by sockets that have one, and no flags, but while an owner is let in.
#[derive(Debug)]
pub(super) struct Holder {
    socket: OwnedFd,
    busy: Mutex<()>,
}

/// A holder whose flags nobody else changes now.
#[derive(Debug)]
pub(super) struct Locked<'a> {
    pub(super) socket: BorrowedFd<'a>,
    /// Read once: nobody else changes them meanwhile.
    notes: Cell<Option<i32>>,
    _busy: MutexGuard<'a, ()>,
}

/// What is noted at a holder, for whichever process has a copy of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Note {
    /// Which of two spare users was the last.
    Turn = 1,
    /// Of UDP: an owner's socket had `SO_REUSEPORT` set.
    Shared = 2,
    /// Of TCP: others of the owner's user may pass.
    Open = 4,
}

impl Locked<'_> {
    /// Whether something is noted.
    pub(super) fn is_noted(&self, note: Note) -> io::Result<bool> {
        Ok(self.notes()? & note as i32 != 0)
    }

    /// Notes it, or that it is not so.
    pub(super) fn note(&self, note: Note, so: bool) -> io::Result<()> {
        let (old, bit) = (self.notes()?, note as i32);
        let new = if so { old | bit } else { old & !bit };
        if new == old {
            return Ok(());
        }
        sys::set_option(self.socket, libc::SOL_SOCKET, libc::SO_PRIORITY, &new)?;
        self.notes.set(Some(new));
        Ok(())
    }

    /// Kept as the priority of the packets that a holder never sends. Everybody may set it to 0 to 6, which
    /// no two notes of a protocol exceed.
    fn notes(&self) -> io::Result<i32> {
        if let Some(notes) = self.notes.get() {
            return Ok(notes);
        }
        let notes = sys::get_option(self.socket, libc::SOL_SOCKET, libc::SO_PRIORITY)?;
        self.notes.set(Some(notes));
        Ok(notes)
    }
}

impl Holder {
    /// Binds a holder: at all addresses of both families, or of IPv4 where there is no IPv6.
    pub(super) fn bind(protocol: Protocol, port: u16) -> io::Result<Holder> {
        bind_socket(protocol, port, false).map(Holder::new)
    }

    /// The same of TCP, beside connections that have ended.
    pub(super) fn bind_beside_time_wait(port: u16) -> io::Result<Holder> {
        bind_beside_time_wait(port).map(Holder::new)
    }

    fn new(socket: OwnedFd) -> Holder {
        Holder {
            socket,
            busy: Mutex::default(),
        }
    }

    pub(super) fn into_socket(self) -> OwnedFd {
        self.socket
    }

    /// Waits until no other thread, and no other process that has a copy of the socket, lets an owner in.
    pub(super) fn lock(&self) -> io::Result<Locked<'_>> {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        sys::lock_file(self.socket.as_fd(), true)?;
        Ok(Locked {
            socket: self.socket.as_fd(),
            notes: Cell::new(None),
            _busy: busy,
        })
    }
}

impl AsFd for Holder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Of a lock that is there the call cannot fail.
        let _ = sys::lock_file(self.socket, false);
    }
}

/// Makes a socket known as one that holds a port: whoever lets the sockets of a process in, this one among
/// them, must not let it in. It is a limit on the rate at which it sends (`SO_MAX_PACING_RATE`).
fn mark(socket: BorrowedFd<'_>) -> io::Result<()> {
    sys::set_option(socket, libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, &MARK)
}

/// Whether a socket is to hold a port.
pub(super) fn is_marked(socket: BorrowedFd<'_>) -> io::Result<bool> {
    // Of 32 bits, as it was before Linux 4.20.
    Ok(sys::get_option::<u32>(socket, libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE)? == MARK)
}

const MARK: u32 = 0x504b_484f;

fn bind_socket(protocol: Protocol, port: u16, reuse: bool) -> io::Result<OwnedFd> {
    let open = |family, address| {
        let socket = sys::socket(family, protocol.socket_type(), protocol.number())?;
        if family == libc::AF_INET6 {
            sys::set_option(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &0)?;
        }
        mark(socket.as_fd())?;
        if protocol == Protocol::Udp {
            // Before it is bound, lest a datagram wait in its queue for good.
            sys::receive_nothing(socket.as_fd())?;
        }
        if reuse {
            sys::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, &1)?;
        }
        sys::bind(socket.as_fd(), address)?;
        Ok(socket)
    };
    let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    open(libc::AF_INET6, everywhere).or_else(|error: io::Error| match error.raw_os_error() {
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL) => open(
            libc::AF_INET,
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        ),
        _ => Err(error),
    })
}

/// With `SO_REUSEADDR` a socket may bind beside the remains of connections that had it too.
fn bind_beside_time_wait(port: u16) -> io::Result<OwnedFd> {
    let holder = bind_socket(Protocol::Tcp, port, true)?;
    sys::set_option(holder.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, &0)?;
    // The kernel may have noted for the port that all its sockets reuse (`tb->fastreuse`), which
    // the flag of one of them does not undo. Then the next one gets in, and nothing is held.
    match bind_socket(Protocol::Tcp, port, true) {
        Ok(_) => Err(io::Error::from_raw_os_error(libc::EADDRINUSE)),
        Err(_) => Ok(holder),
    }
}

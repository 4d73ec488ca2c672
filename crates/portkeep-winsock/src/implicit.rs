//! Binds that Linux makes by itself.
//!
//! A socket that is not bound gets any free port when it connects, sends or listens. Of an associated
//! socket Windows takes the port from its block then. The kernel part sees a connect, and binds the
//! socket; of a datagram and of listening it learns when the kernel has chosen a port, and of held
//! blocks it knows nothing. So the socket is bound here first.

use std::ffi::c_int;
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::{sockaddr, socklen_t};
use portkeep::sockopt;

use crate::address::unbound_name;
use crate::code::Code;
use crate::held;
use crate::monitor::{self, Deadline};
use crate::socket::{self, Handle, is_stream};

/// Whose associated sockets are to be bound.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blocks {
    Held,
    All,
}

/// How many sockets threads are binding here: while none is, a socket with a port needs no lock.
static BINDING: AtomicUsize = AtomicUsize::new(0);

/// In the child of a fork.
pub(crate) fn nobody_binds() {
    BINDING.store(0, Ordering::SeqCst);
}

/// Before `listen`: of datagram sockets that is an error, which binds nothing.
pub(crate) fn before_listen(socket: c_int) -> Result<(), Code> {
    match is_stream(socket) {
        true => bind_in_block(socket, Blocks::All),
        false => Ok(()),
    }
}

/// Before `connect`: an address that is none binds nothing, nor does `AF_UNSPEC`.
pub(crate) fn before_connect(
    socket: c_int,
    address: *const sockaddr,
    length: socklen_t,
) -> Result<(), Code> {
    match is_ready(socket) || held::read_address(address, length).is_err() {
        true => Ok(()),
        false => bind_in_block(socket, Blocks::Held),
    }
}

/// Before `send` and `sendto`: Linux binds a datagram socket even where it then refuses to send. A
/// stream that is not connected is bound only by `MSG_FASTOPEN`, which connects.
pub(crate) fn before_send(socket: c_int, flags: c_int) -> Result<(), Code> {
    if is_ready(socket) {
        return Ok(());
    }
    match (is_stream(socket), flags & libc::MSG_FASTOPEN != 0) {
        (false, _) => bind_in_block(socket, Blocks::All),
        (true, true) => bind_in_block(socket, Blocks::Held),
        (true, false) => Ok(()),
    }
}

/// Whether there is nothing to bind: asked in this order, for a thread that binds counts itself first.
fn is_ready(socket: c_int) -> bool {
    unbound_name(socket).is_none() && BINDING.load(Ordering::SeqCst) == 0
}

/// Binds an associated socket that is not bound to a free port of its block: `WSAEADDRINUSE` if there
/// is none, `WSAEADDRNOTAVAIL` if the reservation has ended. Leaves every other socket alone.
///
/// Of threads that come at the same instant one binds, and the others wait.
fn bind_in_block(socket: c_int, blocks: Blocks) -> Result<(), Code> {
    if is_ready(socket) {
        return Ok(());
    }
    let mut world = monitor::lock();
    // A broken descriptor is the call's to refuse.
    let Ok(handle) = socket::look_up(&mut world, socket as usize) else {
        return Ok(());
    };
    while world.sockets.get(handle).is_some_and(|it| it.binding) {
        world.wait(Deadline::NEVER);
    }
    let name = unbound_name(socket);
    let Some(((name, length), entry)) = name.zip(world.sockets.get(handle)) else {
        return Ok(());
    };
    entry.binding = true;
    BINDING.fetch_add(1, Ordering::SeqCst);
    let bound = world.unlocked(|| bind(handle, (&raw const name).cast(), length, blocks));
    BINDING.fetch_sub(1, Ordering::SeqCst);
    if let Some(entry) = world.sockets.get(handle) {
        entry.binding = false;
    }
    world.changed();
    bound
}

fn bind(
    socket: Handle,
    name: *const sockaddr,
    length: socklen_t,
    blocks: Blocks,
) -> Result<(), Code> {
    match held::bind(socket, name, length) {
        Some(bound) => bound.map(drop),
        None if blocks == Blocks::All => bind_in_kernels_block(socket, name, length),
        None => Ok(()),
    }
}

fn bind_in_kernels_block(
    socket: Handle,
    name: *const sockaddr,
    length: socklen_t,
) -> Result<(), Code> {
    if !matches!(sockopt::associated(socket.as_fd()), Ok(Some(_))) {
        return Ok(());
    }
    // SAFETY: the pointer and the length are those of a socket address.
    match unsafe { libc::bind(socket.descriptor, name, length) } {
        0 => Ok(()),
        _ => Err(Code::last_os_error()),
    }
}

/// Whether an IPv4 or IPv6 socket has no port yet.
pub(crate) fn is_unbound(socket: c_int) -> bool {
    unbound_name(socket).is_some()
}

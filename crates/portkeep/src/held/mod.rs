//! Reservations without the kernel part: every port is held by a bound socket of this process that
//! never listens and never receives, its *holder*.
//!
//! A socket that binds to a held port meets the kernel's check for conflicts
//! (`inet_csk_bind_conflict()` in `net/ipv4/inet_connection_sock.c`, `udp_lib_lport_inuse()` in
//! `net/ipv4/udp.c`), which a holder without `SO_REUSEADDR` and `SO_REUSEPORT` fails for everybody.
//! To let an owner's socket in, the check must pass for it and for nobody else. It looks at nothing
//! but the two flags, the user, the device and the address of the two sockets:
//!
//! - Sockets bound to different devices never conflict, and an index that belongs to no device will
//!   do. A UDP socket loses its device again by `connect(2)` to `AF_UNSPEC`, which checks nothing.
//!   So an owner is let in without touching the holder, and no stranger ever passes. As the holder
//!   stays at a device that does not exist, no datagram is ever delivered to it either.
//! - A TCP socket loses its device only with `CAP_NET_RAW`. With it the same way is taken.
//! - Without it the holder lets an owner's TCP socket pass for `SO_REUSEPORT`, which makes exceptions
//!   within one user only, and which both sockets have while one binds, and again while it listens.
//!
//! In the moments of the last way a stranger that is just like the owner passes too, as it must:
//! where user, flags, device and address are the same, the kernel has nothing to tell the two by.
//! What that comes to is in `docs/backends.md`.

mod block;
mod device;
mod flag;
mod holder;
mod limit;
mod memory;
mod owner;
mod record;
mod refusal;
mod search;
mod tcp;
mod time_wait;
mod udp;
mod users;

pub(crate) use block::Block;
pub use record::{HeldEntry, list};
pub(crate) use search::{Request, acquire};

//! Reservations without the kernel part: every port is held by a bound socket of this process that
//! never listens and never receives, its *holder*.
//!
//! A socket that binds to a held port meets the kernel's check for conflicts
//! (`inet_csk_bind_conflict()` in `net/ipv4/inet_connection_sock.c`, `udp_lib_lport_inuse()` in
//! `net/ipv4/udp.c`), which a holder without `SO_REUSEADDR` and `SO_REUSEPORT` fails for everybody.
//! To let an owner's socket in, the check must pass for it and for nobody else. It looks at nothing
//! but the two flags, the user, the device and the address of the two sockets:
//!
//! - Sockets of one user that have `SO_REUSEPORT` do not conflict. So holder and owner's socket have that
//!   flag while the one binds, and of TCP again while it listens. Where the process may (`CAP_CHOWN`), they
//!   are of a user that nobody is meanwhile. What the kernel remembers of it is in [`memory`].
//! - Sockets bound to different devices never conflict, and an index that belongs to no device will do. A UDP
//!   socket loses its device again by `connect(2)` to `AF_UNSPEC`, which checks nothing. So an IPv6
//!   socket is let in, which must not share.
//!
//! In those moments a stranger that is just like the owner passes too, as it must: where user, flags,
//! device and address are the same, the kernel has nothing to tell the two by. What that comes to is in
//! the documentation of the crate, "Held sockets".

mod block;
mod device;
mod flag;
mod holder;
mod limit;
mod memory;
mod owner;
mod proc_net;
mod record;
mod refusal;
mod search;
mod tcp;
mod time_wait;
mod udp;
mod users;

pub(crate) use block::Block;
pub use record::list;
pub(crate) use search::{Request, acquire};

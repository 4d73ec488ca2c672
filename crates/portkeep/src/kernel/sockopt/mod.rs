//! The socket options of the kernel part, one function each.
//!
//! [`Reservation`](crate::Reservation) is made of them. They serve programs that keep their sockets
//! themselves: nothing is held open or released behind the caller's back.
//!
//! | function | option | |
//! |---|---|---|
//! | [`acquire`] | `PORTKEEP_ACQUIRE` | set, then get |
//! | [`release`] | `PORTKEEP_RELEASE` | set |
//! | [`associate`] | `PORTKEEP_ASSOCIATE` | set |
//! | [`associated`] | `PORTKEEP_ASSOCIATE` | get |
//! | [`claim`] | `PORTKEEP_CLAIM` | set |
//! | [`hand_over`] | `PORTKEEP_HAND_OVER` | set |
//! | [`create`] | `PORTKEEP_CREATE` | set, then get |
//! | [`delete`] | `PORTKEEP_DELETE` | set |
//! | [`lookup`] | `PORTKEEP_LOOKUP` | set, then get |
//! | [`conflict`](fn@conflict) | `PORTKEEP_CONFLICT` | get |
//! | [`version`] | `PORTKEEP_VERSION` | get |
//!
//! Every function may fail with [`ErrorKind::NotEnabled`], [`ErrorKind::NotSupportedSocket`] and
//! [`ErrorKind::NotASocket`]; on systems other than Linux and Windows with [`ErrorKind::NotSupported`].
//!
//! [`ErrorKind::NotEnabled`]: crate::ErrorKind::NotEnabled
//! [`ErrorKind::NotSupportedSocket`]: crate::ErrorKind::NotSupportedSocket
//! [`ErrorKind::NotASocket`]: crate::ErrorKind::NotASocket
//! [`ErrorKind::NotSupported`]: crate::ErrorKind::NotSupported

mod heir;
mod persistent;
mod reservations;

pub use heir::hand_over;
pub use persistent::{create, delete, lookup};
pub(super) use reservations::try_acquire;
pub use reservations::{acquire, associate, associated, claim, conflict, release, version};

pub use crate::types::{CreateFlags, DeleteFlags};

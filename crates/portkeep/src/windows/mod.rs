//! On Windows the library makes the native calls: `SIO_ACQUIRE_PORT_RESERVATION` and its siblings,
//! and the functions for persistent reservations of the IP Helper API.
//!
//! What only Portkeep's kernel part has is refused with [`ErrorKind::NotSupported`]: the list,
//! claiming. Consumers other than associated sockets are refused with [`ErrorKind::InvalidInput`].
//!
//! [`ErrorKind::NotSupported`]: crate::ErrorKind::NotSupported
//! [`ErrorKind::InvalidInput`]: crate::ErrorKind::InvalidInput

mod acquire;
mod blocks;
mod code;
pub mod persistent;
pub mod sockopt;
mod winsock;

pub(crate) use crate::blocks::Blocks as Reserved;
pub(crate) use crate::elsewhere::time_since_boot;
pub use crate::elsewhere::{list, list_at, list_held, netns_cookie, version};
pub(crate) use blocks::open;
pub(crate) use winsock::SOMAXCONN as BACKLOG;

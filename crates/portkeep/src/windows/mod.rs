//! On Windows the library makes the native calls: `SIO_ACQUIRE_PORT_RESERVATION` and its siblings,
//! and the functions for persistent reservations of the IP Helper API.
//!
//! What only Portkeep's kernel part has is refused with [`ErrorKind::InvalidInput`], or is not
//! there: consumers other than associated sockets, the list, claiming.
//!
//! [`ErrorKind::InvalidInput`]: crate::ErrorKind::InvalidInput

mod acquire;
mod code;
pub(crate) mod number;
pub mod persistent;
mod reservation;
pub mod sockopt;
mod winsock;

pub use acquire::Acquire;
pub use reservation::Reservation;

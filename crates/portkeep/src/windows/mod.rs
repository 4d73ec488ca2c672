//! On Windows the library makes the native calls: `SIO_ACQUIRE_PORT_RESERVATION` and its siblings,
//! and the functions for persistent reservations of the IP Helper API.
//!
//! What only Portkeep's kernel part has is refused with [`ErrorKind::InvalidInput`], or is not
//! there: consumers other than associated sockets, the list, claiming.
//!
//! [`ErrorKind::InvalidInput`]: crate::ErrorKind::InvalidInput

pub(crate) mod code;
pub(crate) mod number;
pub mod persistent;
pub(crate) mod reservation;
pub mod sockopt;
pub(crate) mod winsock;

pub use reservation::Reservation;

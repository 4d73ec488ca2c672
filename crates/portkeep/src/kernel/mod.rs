//! Reservations that the kernel part keeps. Calls to it are socket options; its list is a file.

mod acquire;
mod blocks;
mod claim;
mod in_the_way;
mod list;
mod option;
pub mod sockopt;

pub(crate) use acquire::acquire;
pub(crate) use claim::{claim, claim_token};
pub use list::{list, list_at};
pub(crate) use option::protocol_of;
pub use option::version;

//! What the library's calls take and give: plain values, which make no system call.

pub mod abi;
mod backend;
mod conflict;
mod consumer;
mod consumers;
mod entry;
mod error;
mod flags;
pub(crate) mod number;
mod parse_error;
mod port_range;
mod protocol;
#[cfg(target_os = "linux")]
mod refusal;
mod request;
mod token;

pub use backend::Backend;
#[cfg(target_os = "linux")]
pub(crate) use conflict::UNKNOWN_USER;
pub use conflict::{Conflict, ConflictKind};
pub use consumer::Consumer;
pub use consumers::Consumers;
pub use entry::{Entry, EntryKind, HeldEntry, Owner};
pub use error::{Error, ErrorKind};
pub use flags::{CreateFlags, DeleteFlags};
pub use parse_error::ParseError;
pub use port_range::PortRange;
pub use protocol::Protocol;
pub(crate) use request::{Ports, Request};
pub use token::Token;

//! The sockets that are bound to a port, and the processes that have them open.

mod diag;
mod in_use;
mod proc_net;
mod processes;
mod socket;
mod words;

pub use diag::{bound_in, bound_to, is_available, shows_inactive};
pub use in_use::InUse;
pub use processes::{Process, Processes, command_line, parent, status};
pub use socket::{Socket, State};
pub use words::{escaped, is_printable, printable, process, text_of};

//! A port server, which speaks the protocol of python_portpicker's portserver.
//!
//! A client connects to a Unix socket, sends a process id and a newline, and gets a port and a newline: TCP and
//! UDP, both address families. The port is that process's and its descendants' until the process ends. One
//! thread serves all: nothing that it does waits for a client.
//!
//! What keeps a port, see [`ports`]; who may have one for whom, see [`named_process`].

mod address;
mod background;
mod books;
mod clients;
mod held;
mod kernel;
mod named_process;
mod pool;
mod ports;
mod processes;
mod request;
mod server;
mod statistics;

pub use address::{Address, Listeners};
pub use background::Background;
pub use held::{HeldPorts, Pool as HeldPool};
pub use kernel::KernelPorts;
pub use pool::PoolArgument;
pub use ports::Ports;
pub use server::Server;

/// Which processes may bind to a port besides the one that it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Share {
    /// Its descendants
    #[default]
    Process,
    /// All processes of its user
    User,
}

//! The port server of a command.

use std::ffi::OsString;
use std::sync::Arc;

use portkeep::{Backend, Consumers, ErrorKind};

use crate::error::{Context as _, Result};
use crate::holding::Holding;
use crate::serve::{
    Address, Background, HeldPool, HeldPorts, KernelPorts, Listeners, Ports, Server,
};

/// Who may bind to a port that was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Whose {
    /// The process that it was asked for, and its descendants
    Process,
    /// All processes of the command
    Tree,
}

/// Which server a command is to have.
#[derive(Debug, Clone, Copy)]
pub struct ServerOptions {
    /// How many ports are held for it where sockets hold them.
    pub held: u16,
    pub whose: Whose,
}

/// The server before it serves.
#[derive(Debug)]
pub struct Opened {
    server: Server,
    name: Address,
    file: Address,
    pool: Option<Arc<HeldPool>>,
}

/// How many ports other users may have, such as those that the command becomes.
const LIMIT: usize = 1024;

impl ServerOptions {
    /// Gets the ports and listens.
    pub fn open(&self, holding: &mut Holding) -> Result<Opened> {
        holding.raise_descriptors();
        let ports = self.kernel_ports().context("for the port server")?;
        let (ports, pool) = match ports {
            Some(ports) => (Ports::Kernel(ports), None),
            None => {
                let pool = holding.add_pool(self.held, self.whose == Whose::Tree);
                let pool = pool.context("for the port server")?;
                (Ports::Held(HeldPorts::new(Arc::clone(&pool))), Some(pool))
            }
        };
        let (listeners, name, file) = Listeners::anywhere()?;
        Ok(Opened {
            server: Server::new(listeners, ports, LIMIT)?,
            name,
            file,
            pool,
        })
    }

    /// `None` where sockets have to hold the ports: the kernel part is not enabled, or cannot keep connect()
    /// from its pool.
    fn kernel_ports(&self) -> Result<Option<KernelPorts>> {
        if Backend::Auto.resolve()? != Backend::Kernel {
            return Ok(None);
        }
        let consumers = Consumers::PROCESS | Consumers::TREE;
        match KernelPorts::started(consumers, None, self.whose == Whose::Tree)? {
            Ok(ports) => Ok(Some(ports)),
            // All of the pool that is free is automatic, or another reason: sockets may find a port.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::AutomaticRange | ErrorKind::NoFreeBlock
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Opened {
    /// The variables by which clients find it: portpicker's, and one for clients that know no abstract names.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("PORTSERVER_ADDRESS", self.name.as_os_str().to_owned()),
            ("PORTKEEP_SERVER", self.file.as_os_str().to_owned()),
        ]
    }

    pub fn explain(&self) -> String {
        let how = match &self.pool {
            Some(pool) => format!("{} ports held by sockets", pool.reservations().len()),
            None => "ports kept by Portkeep's kernel part".to_owned(),
        };
        format!("the port server at {} has {how}", self.name)
    }

    pub fn start(self) -> Result<Background> {
        Background::start(self.server)
    }
}

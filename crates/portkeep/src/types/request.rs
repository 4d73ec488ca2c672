use std::ops::RangeInclusive;

use super::backend::Backend;
use super::consumers::Consumers;
use super::error::Error;
use super::protocol::Protocol;

/// What is asked for, whatever keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    asked: Vec<Protocol>,
    pub(crate) ports: Ports,
    pub(crate) align: u16,
    pub(crate) consumers: Consumers,
    pub(crate) backend: Backend,
}

#[derive(Clone, Debug)]
pub(crate) enum Ports {
    Any { count: u16 },
    These(RangeInclusive<u16>),
}

impl Request {
    pub(crate) fn new() -> Request {
        Request {
            asked: Vec::new(),
            ports: Ports::Any { count: 1 },
            align: 1,
            consumers: Consumers::ASSOCIATED,
            backend: Backend::Auto,
        }
    }

    pub(crate) fn add(&mut self, protocol: Protocol) {
        if !self.asked.contains(&protocol) {
            self.asked.push(protocol);
        }
    }

    /// The protocols in the order in which they were asked for, TCP if none was.
    #[cfg(any(target_os = "linux", windows))]
    pub(crate) fn protocols(&self) -> (Protocol, &[Protocol]) {
        match self.asked.split_first() {
            Some((&first, others)) => (first, others),
            None => (Protocol::Tcp, &[]),
        }
    }

    /// Refuses what is invalid on every system.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !self.align.is_power_of_two() {
            return Err(Error::invalid_input("the alignment must be a power of two"));
        }
        match &self.ports {
            Ports::Any { count: 0 } => {
                Err(Error::invalid_input("the number of ports must not be 0"))
            }
            Ports::Any { .. } => Ok(()),
            Ports::These(ports) if *ports.start() == 0 => {
                Err(Error::invalid_input("port 0 cannot be reserved"))
            }
            Ports::These(ports) if ports.end() < ports.start() => {
                Err(Error::invalid_input("the port range is empty"))
            }
            Ports::These(ports) if !ports.start().is_multiple_of(self.align) => {
                let message = format!("port {} is not a multiple of {}", ports.start(), self.align);
                Err(Error::invalid_input(message))
            }
            Ports::These(_) => Ok(()),
        }
    }
}

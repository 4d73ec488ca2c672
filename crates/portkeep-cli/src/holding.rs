//! Acquires what the port options ask for, all or nothing.

use anyhow::anyhow;
use portkeep::{Acquire, Backend, Consumers, ErrorKind, PortRange, Protocol, Reservation};

use crate::descriptor_limit::DescriptorLimit;
use crate::failure::Refusal;
use crate::ports_argument::{Block, PortsArgument};

/// The reservations that the port options asked for. Dropping it releases them.
#[derive(Debug)]
pub struct Holding {
    backend: Backend,
    reservations: Vec<Reservation>,
    /// Raised for held ports; to be put back for commands.
    limit: Option<DescriptorLimit>,
}

const TCP: &[Protocol] = &[Protocol::Tcp];
const UDP: &[Protocol] = &[Protocol::Udp];
const BOTH: &[Protocol] = &[Protocol::Tcp, Protocol::Udp];

impl Holding {
    /// By the kernel part, or by sockets where it is not enabled. Then there are no consumers.
    pub fn acquire(ports: &PortsArgument, consumers: Consumers) -> anyhow::Result<Self> {
        let backend = Backend::Auto.resolve()?;
        let (consumers, limit) = match backend {
            // The limit may be locked; a block that is too big for it says so.
            Backend::Held => (Consumers::ASSOCIATED, DescriptorLimit::raise().ok()),
            _ => (consumers, None),
        };
        let mut requests: Vec<_> = [(TCP, &ports.tcp), (UDP, &ports.udp), (BOTH, &ports.both)]
            .into_iter()
            .flat_map(|(protocols, blocks)| blocks.iter().map(move |block| (protocols, block)))
            .enumerate()
            .collect();
        // The exact ranges come first: else a block that may lie anywhere could take their ports.
        requests.sort_by_key(|(_, (_, block))| matches!(block, Block::Any(_)));

        let mut acquired = requests
            .into_iter()
            .map(|(position, (protocols, block))| {
                let request = Reservation::builder().backend(backend).consumers(consumers);
                Ok((position, acquire_block(request, protocols, block)?))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        acquired.sort_by_key(|(position, _)| *position);
        Ok(Self {
            backend,
            limit,
            reservations: acquired.into_iter().map(|(_, held)| held).collect(),
        })
    }

    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Whether any ports were asked for.
    pub fn is_empty(&self) -> bool {
        self.reservations.is_empty()
    }

    /// The limit on descriptors before it was raised.
    pub fn original_limit(&self) -> Option<DescriptorLimit> {
        self.limit
    }

    /// Whether a port of this number is held, of whatever protocol.
    pub fn has_port(&self, port: u16) -> bool {
        self.reservations_with(port).next().is_some()
    }

    /// The numbers of the ports, first and last of each block.
    pub fn numbers(&self) -> Vec<(u16, u16)> {
        let numbers = |held: &Reservation| (held.start(), held.end());
        self.reservations.iter().map(numbers).collect()
    }

    /// The reservations that have a port of this number.
    pub fn reservations_with(&self, port: u16) -> impl Iterator<Item = &Reservation> {
        self.reservations
            .iter()
            .filter(move |held| (held.start()..=held.end()).contains(&port))
    }

    /// What keeps the ports, for those who asked to be told more.
    pub fn explain(&self) -> &'static str {
        match self.backend {
            Backend::Held => {
                "the ports are held by sockets, beside which, while their owner binds, one of the same user \
                 with SO_REUSEPORT can get in, and at UDP over IPv6 one that is bound to a device: \
                 Portkeep's kernel part is not enabled here"
            }
            _ => "the ports are kept by Portkeep's kernel part",
        }
    }

    /// The ranges of one protocol in the order of the options, those of `--both` last.
    pub fn ranges(&self, protocol: Protocol) -> impl Iterator<Item = PortRange> {
        self.reservations
            .iter()
            .filter_map(move |held| held.range(protocol))
    }
}

fn acquire_block(
    mut request: Acquire,
    protocols: &[Protocol],
    block: &Block,
) -> anyhow::Result<Reservation> {
    for protocol in protocols {
        request = request.protocol(*protocol);
    }
    let request = match block {
        Block::Any(count) => request.count(count.get()),
        Block::Exactly(range) => request.range(range.clone()),
    };
    request.acquire().map_err(|error| match block {
        // `--tcp 8080` is a likely slip, and a block that big seldom what was meant.
        Block::Any(count) if count.get() >= 1024 && error.kind() == ErrorKind::NoFreeBlock => {
            let message = format!("no block of {count} ports could be had");
            let hint = format!("for port {count} itself write {count}-{count}");
            anyhow!(Refusal {
                message,
                hint,
                source: Some(error)
            })
        }
        _ => anyhow!(error),
    })
}

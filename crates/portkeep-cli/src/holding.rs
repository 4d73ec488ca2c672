//! Acquires what the port options ask for, all or nothing.

use anyhow::anyhow;
use portkeep::{Consumers, ErrorKind, PortRange, Protocol, Reservation};

use crate::failure::Refusal;
use crate::ports_argument::{Block, PortsArgument};

/// The reservations that the port options asked for. Dropping it releases them.
#[derive(Debug)]
pub struct Holding {
    reservations: Vec<Reservation>,
}

const TCP: &[Protocol] = &[Protocol::Tcp];
const UDP: &[Protocol] = &[Protocol::Udp];
const BOTH: &[Protocol] = &[Protocol::Tcp, Protocol::Udp];

impl Holding {
    pub fn acquire(ports: &PortsArgument, consumers: Consumers) -> anyhow::Result<Self> {
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
                Ok((position, acquire_block(protocols, block, consumers)?))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        acquired.sort_by_key(|(position, _)| *position);
        Ok(Self {
            reservations: acquired.into_iter().map(|(_, held)| held).collect(),
        })
    }

    /// The ranges of one protocol in the order of the options, those of `--both` last.
    pub fn ranges(&self, protocol: Protocol) -> impl Iterator<Item = PortRange> {
        self.reservations
            .iter()
            .filter_map(move |held| held.range(protocol))
    }
}

fn acquire_block(
    protocols: &[Protocol],
    block: &Block,
    consumers: Consumers,
) -> anyhow::Result<Reservation> {
    let mut request = Reservation::builder().consumers(consumers);
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

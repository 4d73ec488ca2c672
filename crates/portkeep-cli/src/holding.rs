//! Acquires the ports that the options ask for, all or none.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use portkeep::{
    Acquire, Backend, ConflictKind, Consumers, EntryKind, ErrorKind, PortRange, Protocol,
    Reservation, netns_cookie,
};
use portkeep_admin::Installation;

use crate::arguments::ports::{Block, PortsArgument};
use crate::error::{Error, Result};
use crate::locations::list;
use crate::reservation_document::is_everywhere;

/// The reservations for the port options. Dropping it releases them.
#[derive(Debug)]
pub struct Holding {
    backend: Backend,
    reservations: Vec<Reservation>,
    /// The limit before it was raised for held ports; commands get it back.
    limit: Option<DescriptorLimit>,
}

const TCP: &[Protocol] = &[Protocol::Tcp];
const UDP: &[Protocol] = &[Protocol::Udp];
const BOTH: &[Protocol] = &[Protocol::Tcp, Protocol::Udp];

impl Holding {
    /// Acquires them from the kernel part or, if it is not enabled, with sockets and without consumers.
    pub fn acquire(
        installation: &Installation,
        ports: &PortsArgument,
        consumers: Consumers,
    ) -> Result<Self> {
        let backend = Backend::Auto.resolve()?;
        let (consumers, limit) = match backend {
            // Raising may fail; a block that is too big for the limit is refused with a reason.
            Backend::Held => (Consumers::ASSOCIATED, DescriptorLimit::raise().ok()),
            _ => (consumers, None),
        };
        let mut requests: Vec<_> = [(TCP, &ports.tcp), (UDP, &ports.udp), (BOTH, &ports.both)]
            .into_iter()
            .flat_map(|(protocols, blocks)| blocks.iter().map(move |block| (protocols, block)))
            .enumerate()
            .collect();
        // Exact ranges come first, or a block that can be anywhere might take their ports.
        requests.sort_by_key(|(_, (_, block))| matches!(block, Block::Any(_)));

        let mut acquired = requests
            .into_iter()
            .map(|(position, (protocols, block))| {
                let request = Reservation::builder().backend(backend).consumers(consumers);
                let acquired = acquire_block(request, protocols, block);
                let held = acquired.map_err(|error| refusal(error, block, installation))?;
                Ok((position, held))
            })
            .collect::<Result<Vec<_>>>()?;
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

    /// Whether no ports were asked for.
    pub fn is_empty(&self) -> bool {
        self.reservations.is_empty()
    }

    /// The limit on descriptors before it was raised.
    pub fn original_limit(&self) -> Option<DescriptorLimit> {
        self.limit
    }

    /// Whether a port with this number is held, in any protocol.
    pub fn has_port(&self, port: u16) -> bool {
        self.reservations_with(port).next().is_some()
    }

    /// The reservations that contain a port with this number.
    pub fn reservations_with(&self, port: u16) -> impl Iterator<Item = &Reservation> {
        self.reservations
            .iter()
            .filter(move |held| (held.start()..=held.end()).contains(&port))
    }

    /// What keeps the ports, for `--verbose`.
    pub fn explain(&self) -> &'static str {
        match self.backend {
            Backend::Held => {
                "Portkeep's kernel part is not enabled here, so sockets hold the ports. While the owner \
                 binds, a socket of the same user with SO_REUSEPORT can take a port, too; and over \
                 IPv6, a UDP socket that is bound to a device"
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
) -> Result<Reservation, portkeep::Error> {
    for protocol in protocols {
        request = request.protocol(*protocol);
    }
    let request = match block {
        Block::Any(count) => request.count(count.get()),
        Block::Exactly(range) => request.range(range.clone()),
    };
    request.acquire()
}

fn refusal(error: portkeep::Error, block: &Block, installation: &Installation) -> Error {
    match block {
        // `--tcp 8080` is a likely slip; few people want such a big block.
        Block::Any(count) if count.get() >= 1024 && error.kind() == ErrorKind::NoFreeBlock => {
            Error::refused(format!("no free block of {count} ports"))
                .with_hint(format!("for port {count} alone write {count}-{count}"))
                .caused_by(error)
        }
        _ => with_owner(&error, installation).unwrap_or_else(|| error.into()),
    }
}

/// Adds the name of the owner: the library only looks in the list that the environment leads to.
fn with_owner(error: &portkeep::Error, installation: &Installation) -> Option<Error> {
    let mut conflict = error.conflict()?.clone();
    let port = conflict.port?;
    let is_named = conflict.owner_command.is_some() || conflict.named.is_some();
    if conflict.kind != ConflictKind::Reserved || is_named {
        return None;
    }
    let namespace = netns_cookie().ok()?;
    let owner = list(installation).ok()?.into_iter().find(|entry| {
        (entry.netns_cookie == namespace || is_everywhere(entry))
            && entry.range.protocol() == conflict.protocol
            && entry.range.contains(port)
            && conflict.owner_pid.is_none_or(|pid| pid == entry.owner.pid)
    })?;
    match owner.kind {
        EntryKind::Persistent => conflict.named = Some(owner.named),
        _ => conflict.owner_command = Some(owner.owner.command),
    }
    let refusal = Error::refused(conflict.to_string());
    Some(refusal.with_hint(error.hint()?))
}

/// The limit on descriptors as our caller set it. Held ports need many of them.
#[derive(Debug, Clone, Copy)]
pub struct DescriptorLimit {
    soft: u64,
    hard: u64,
}

impl DescriptorLimit {
    /// Raises the soft limit to the hard one, and returns the previous limit.
    pub fn raise() -> nix::Result<Self> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        Ok(Self { soft, hard })
    }

    /// Restores the limit; async-signal-safe.
    pub fn restore(self) -> nix::Result<()> {
        setrlimit(Resource::RLIMIT_NOFILE, self.soft, self.hard)
    }
}

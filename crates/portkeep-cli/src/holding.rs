//! Acquires the ports that the options ask for, all or none.

use std::sync::Arc;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use portkeep::{
    Acquire, Backend, ConflictKind, Consumers, EntryKind, ErrorKind, PortRange, Protocol,
    Reservation, netns_cookie,
};
use portkeep_admin::Installation;

use crate::arguments::ports::{Block, PortRequest, PortsArgument};
use crate::error::Error;
use crate::locations::list;
use crate::named_place;
use crate::reservation_document::is_everywhere;
use crate::serve::HeldPool;
use crate::words;

/// The reservations for the port options. Dropping it releases them.
#[derive(Debug)]
pub struct Holding {
    blocks: Vec<Held>,
    /// What a port server hands out, where sockets hold it; no variable names these ports.
    pool: Option<Arc<HeldPool>>,
    /// Whether the kernel part serves this process.
    is_enabled: bool,
    /// Before it was raised; to be put back for commands.
    limit: Option<DescriptorLimit>,
}

/// What one option asked for.
#[derive(Debug)]
pub struct Held {
    reservation: Reservation,
    /// The variable that the ports go into.
    name: Option<String>,
}

const TCP: &[Protocol] = &[Protocol::Tcp];
const UDP: &[Protocol] = &[Protocol::Udp];
const BOTH: &[Protocol] = &[Protocol::Tcp, Protocol::Udp];

impl Holding {
    /// By the kernel part, or by sockets where it is not enabled or cannot protect the ports. Then
    /// there are no consumers.
    pub fn acquire(ports: &PortsArgument, consumers: Consumers) -> Result<Self, portkeep::Error> {
        let mut request = Requests {
            name: ports.name.as_deref(),
            is_enabled: Backend::Auto.resolve()? == Backend::Kernel,
            consumers: if ports.same_user {
                consumers | Consumers::USER
            } else {
                consumers
            },
            limit: None,
        };
        let mut requests: Vec<_> = [(TCP, &ports.tcp), (UDP, &ports.udp), (BOTH, &ports.both)]
            .into_iter()
            .flat_map(|(protocols, blocks)| blocks.iter().map(move |block| (protocols, block)))
            .enumerate()
            .collect();
        // The exact ranges come first: else a block that may lie anywhere could take their ports.
        requests.sort_by_key(|(_, (_, request))| matches!(request.block, Block::Any(_)));

        let mut acquired = requests
            .into_iter()
            .map(|(position, (protocols, port))| {
                Ok((position, request.acquire(position, protocols, port)?))
            })
            .collect::<Result<Vec<_>, portkeep::Error>>()?;
        acquired.sort_by_key(|(position, _)| *position);
        Ok(Self {
            is_enabled: request.is_enabled,
            limit: request.limit,
            blocks: acquired.into_iter().map(|(_, held)| held).collect(),
            pool: None,
        })
    }

    /// [`Backend::Held`] if sockets hold any of the ports.
    pub fn backend(&self) -> Backend {
        match self.held().next() {
            Some(_) => Backend::Held,
            None if self.is_enabled => Backend::Kernel,
            None => Backend::Held,
        }
    }

    /// Holds ports of both protocols by sockets, for a port server; `for_all` processes of the command.
    pub fn add_pool(
        &mut self,
        number: u16,
        for_all: bool,
    ) -> Result<Arc<HeldPool>, portkeep::Error> {
        self.raise_descriptors();
        // One by one: there may be no block of so many.
        let ports = (0..number).map(|_| {
            let port = Reservation::builder().tcp().udp().backend(Backend::Held);
            port.acquire()
        });
        let pool = Arc::new(HeldPool::new(ports.collect::<Result<_, _>>()?, for_all));
        self.pool = Some(Arc::clone(&pool));
        Ok(pool)
    }

    /// Held ports need many descriptors, and so do the processes that a port server gave ports. The limit may be locked.
    pub fn raise_descriptors(&mut self) {
        self.limit = self.limit.or_else(|| DescriptorLimit::raise().ok());
    }

    /// The ports of a port server that sockets hold.
    pub fn pool(&self) -> Option<&HeldPool> {
        self.pool.as_deref()
    }

    /// Whether no ports were asked for.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.pool.is_none()
    }

    /// The limit on descriptors before it was raised.
    pub fn original_limit(&self) -> Option<DescriptorLimit> {
        self.limit
    }

    /// The reservations that sockets hold.
    fn held(&self) -> impl Iterator<Item = &Reservation> {
        let pool = self.pool.iter().flat_map(|pool| pool.reservations());
        self.held_blocks().chain(pool)
    }

    /// … for options of their own.
    fn held_blocks(&self) -> impl Iterator<Item = &Reservation> {
        self.blocks
            .iter()
            .map(|block| &block.reservation)
            .filter(|reservation| reservation.backend() == Backend::Held)
    }

    /// Whether sockets hold a port of this number, of whatever protocol.
    pub fn has_port(&self, port: u16) -> bool {
        self.reservations_with(port).next().is_some()
    }

    /// The numbers of the ports that sockets hold, first and last of each block.
    pub fn numbers(&self) -> Vec<(u16, u16)> {
        self.held().map(|held| (held.start(), held.end())).collect()
    }

    /// The reservations that hold a port of this number by sockets.
    pub fn reservations_with(&self, port: u16) -> impl Iterator<Item = &Reservation> {
        self.held()
            .filter(move |held| (held.start()..=held.end()).contains(&port))
    }

    /// What keeps the ports, and which they are if a name decided, for those who asked to be told more.
    pub fn explain(&self, ports: &PortsArgument) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(name) = &ports.name {
            let ranges: Vec<_> = self.all_ranges().map(|range| range.to_string()).collect();
            lines.push(format!("the ports of '{name}' are {}", ranges.join(", ")));
        }
        if !self.is_enabled {
            lines.push(format!(
                "the ports are held by sockets{BESIDE}: Portkeep's kernel part is not enabled here"
            ));
            return lines;
        }
        for range in self.held_blocks().flat_map(Reservation::ranges) {
            lines.push(format!(
                "{range} is held by sockets{BESIDE}: the kernel part cannot keep connect() from \
                 automatic ports"
            ));
        }
        if self.held_blocks().count() < self.blocks.len() {
            lines.push("the ports are kept by Portkeep's kernel part".to_owned());
        }
        lines
    }

    /// The ranges of one protocol in the order of the options, those of `--both` last.
    pub fn ranges(&self, protocol: Protocol) -> impl Iterator<Item = PortRange> {
        self.blocks
            .iter()
            .filter_map(move |held| held.reservation.range(protocol))
    }

    /// All ranges, those of TCP first.
    pub fn all_ranges(&self) -> impl Iterator<Item = PortRange> {
        BOTH.iter().flat_map(|&protocol| self.ranges(protocol))
    }

    /// What each option got, in the order of [`ranges`](Self::ranges).
    pub fn blocks(&self) -> &[Held] {
        &self.blocks
    }

    /// The names that were given, and their ports as the command is to see them.
    pub fn named(&self) -> Vec<(&str, String)> {
        let mut named: Vec<(&str, String)> = Vec::new();
        for block in &self.blocks {
            let Some(name) = block.name.as_deref() else {
                continue;
            };
            let ports: Vec<_> = block.reservation.ports().map(|it| it.to_string()).collect();
            let ports = ports.join(",");
            match named.iter_mut().find(|(known, _)| *known == name) {
                Some((_, all)) => *all = format!("{all},{ports}"),
                None => named.push((name, ports)),
            }
        }
        named
    }
}

impl Held {
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub fn backend(&self) -> Backend {
        self.reservation.backend()
    }

    pub fn ranges(&self) -> impl Iterator<Item = PortRange> {
        self.reservation.ranges()
    }

    pub fn start(&self) -> u16 {
        self.reservation.start()
    }

    pub fn end(&self) -> u16 {
        self.reservation.end()
    }
}

const BESIDE: &str = ", beside which, while their owner binds, one of the same user with \
     SO_REUSEPORT can get in, and at UDP over IPv6 one that is bound to a device";

/// What all requests have in common.
struct Requests<'a> {
    name: Option<&'a str>,
    is_enabled: bool,
    consumers: Consumers,
    limit: Option<DescriptorLimit>,
}

impl Requests<'_> {
    fn acquire(
        &mut self,
        position: usize,
        protocols: &[Protocol],
        request: &PortRequest,
    ) -> Result<Held, portkeep::Error> {
        let mut ports = Reservation::builder();
        for protocol in protocols {
            ports = ports.protocol(*protocol);
        }
        let reservation = match (&request.block, self.name) {
            (Block::Exactly(range), _) => self.keep(ports.range(range.clone())),
            (Block::Any(count), None) => self.keep(ports.count(count.get())),
            (Block::Any(count), Some(name)) => self.keep_named(ports, name, position, count.get()),
        }?;
        Ok(Held {
            reservation,
            name: request.name.as_ref().map(|name| name.as_str().to_owned()),
        })
    }

    fn keep(&mut self, ports: Acquire) -> Result<Reservation, portkeep::Error> {
        if self.is_enabled {
            let kept = ports
                .clone()
                .backend(Backend::Kernel)
                .consumers(self.consumers)
                .acquire();
            match kept {
                Err(error)
                    if error.kind() == ErrorKind::AutomaticRange
                        && !self.consumers.contains(Consumers::USER) => {}
                kept => return kept,
            }
        }
        if self.consumers.contains(Consumers::USER) {
            // Sockets cannot do that, and the refusal says so.
            let ports = ports.consumers(Consumers::USER);
            return ports.backend(Backend::Held).acquire();
        }
        // A block that is too big for the limit says so.
        self.limit = self.limit.or_else(|| DescriptorLimit::raise().ok());
        ports.backend(Backend::Held).acquire()
    }

    /// The first of a few places that the name stands for, or any other.
    fn keep_named(
        &mut self,
        ports: Acquire,
        name: &str,
        position: usize,
        count: u16,
    ) -> Result<Reservation, portkeep::Error> {
        for start in named_place::starts(name, position, count) {
            match self.keep(ports.clone().range(start..=start + (count - 1))) {
                Err(error) if matches!(error.kind(), ErrorKind::Reserved | ErrorKind::InUse) => {}
                kept => return kept,
            }
        }
        self.keep(ports.count(count))
    }
}

/// A refusal with the name of the owner.
pub fn refusal(error: portkeep::Error, installation: &Installation) -> Error {
    with_owner(&error, installation).unwrap_or_else(|| error.into())
}

/// The library knows only the list to which the environment leads.
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
    let refusal = Error::refused(words::conflict(&conflict));
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

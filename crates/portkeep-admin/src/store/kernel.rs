//! What the kernel part has in one network namespace, and how it is changed.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use portkeep::sockopt::{self, CreateFlags, DeleteFlags};
use portkeep::{Consumer, Entry, EntryKind, ErrorKind, PortRange, Protocol};

use crate::error::Error;
use crate::installation::Installation;
use crate::store::namespace::Namespace;
use crate::store::port_set::PortSet;
use crate::store::scope::Scope;

/// The cookie under which the kernel part lists what holds in every network namespace.
pub const EVERY_NETNS: u64 = 0;

/// The kernel part, asked from the network namespace that the calling thread is in.
#[derive(Debug)]
pub struct Kernel {
    /// Where its list is; `None`: where the machine's is.
    bpffs: Option<PathBuf>,
    netns_cookie: u64,
    tcp: OwnedFd,
    udp: OwnedFd,
}

impl Kernel {
    pub fn in_namespace(
        installation: &Installation,
        namespace: &Namespace,
    ) -> Result<Kernel, Error> {
        // One record covers both families; IPv6 is for hosts without IPv4.
        let open = |kind| {
            let open = |family| socket(family, kind, SockFlag::SOCK_CLOEXEC, None);
            open(AddressFamily::Inet)
                .or_else(|_| open(AddressFamily::Inet6))
                .map_err(|errno| Error::system("making a socket", errno.into()))
        };
        Ok(Kernel {
            bpffs: installation.bpffs.clone(),
            netns_cookie: namespace.cookie,
            tcp: open(SockType::Stream)?,
            udp: open(SockType::Datagram)?,
        })
    }

    fn socket(&self, protocol: Protocol) -> BorrowedFd<'_> {
        match protocol {
            Protocol::Tcp => self.tcp.as_fd(),
            Protocol::Udp => self.udp.as_fd(),
        }
    }

    /// The key of a scope's entries, as far as they concern this namespace.
    pub fn cookie(&self, scope: &Scope) -> u64 {
        match scope {
            Scope::Every => EVERY_NETNS,
            _ => self.netns_cookie,
        }
    }

    /// Reserves the ports. With `adopt` sockets that are bound to some of them are not in the way.
    pub fn create(
        &self,
        ports: PortRange,
        scope: &Scope,
        consumers: &[Consumer],
        adopt: bool,
    ) -> Result<(), portkeep::Error> {
        let mut flags = CreateFlags::default();
        if adopt {
            flags |= CreateFlags::ADOPT;
        }
        if *scope == Scope::Every {
            flags |= CreateFlags::EVERY_NETNS;
        }
        let socket = self.socket(ports.protocol());
        sockopt::create(socket, ports.start(), ports.count(), 1, flags, consumers).map(drop)
    }

    /// Gives the reservation of exactly these ports other consumers, at one instant.
    pub fn change(
        &self,
        ports: PortRange,
        scope: &Scope,
        consumers: &[Consumer],
    ) -> Result<(), portkeep::Error> {
        let mut flags = CreateFlags::CHANGE;
        if *scope == Scope::Every {
            flags |= CreateFlags::EVERY_NETNS;
        }
        let socket = self.socket(ports.protocol());
        sockopt::create(socket, ports.start(), ports.count(), 1, flags, consumers).map(drop)
    }

    /// Gives ports of one reservation back; the rest of it stays reserved. `false`: there was none.
    pub fn delete(&self, ports: PortRange, scope: &Scope) -> Result<bool, portkeep::Error> {
        let mut flags = DeleteFlags::PART;
        if *scope == Scope::Every {
            flags |= DeleteFlags::EVERY_NETNS;
        }
        let socket = self.socket(ports.protocol());
        match sockopt::delete(socket, ports.start(), ports.count(), flags) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            result => result.map(|()| true),
        }
    }

    /// Makes the last part of a block a block of its own; it is reserved at every instant.
    pub fn split(&self, part: PortRange, scope: &Scope) -> Result<(), portkeep::Error> {
        self.reshape(part, scope, DeleteFlags::SPLIT)
    }

    /// Makes a block a part of the one right before it; it is reserved at every instant.
    pub fn join(&self, block: PortRange, scope: &Scope) -> Result<(), portkeep::Error> {
        self.reshape(block, scope, DeleteFlags::JOIN)
    }

    fn reshape(
        &self,
        ports: PortRange,
        scope: &Scope,
        mut flags: DeleteFlags,
    ) -> Result<(), portkeep::Error> {
        if *scope == Scope::Every {
            flags |= DeleteFlags::EVERY_NETNS;
        }
        let socket = self.socket(ports.protocol());
        sockopt::delete(socket, ports.start(), ports.count(), flags)
    }

    /// Whether the kernel part is new enough to split and join blocks.
    pub fn can_reshape(&self) -> bool {
        // Nothing ends right before port 1.
        let flags = DeleteFlags::JOIN;
        match sockopt::delete(self.tcp.as_fd(), 1, 1, flags) {
            Err(error) => error.kind() == ErrorKind::NotFound,
            Ok(()) => true,
        }
    }

    /// All reservations that concern this namespace.
    pub fn live(&self) -> Result<Live, Error> {
        let listed = match &self.bpffs {
            Some(bpffs) => portkeep::list_at(bpffs)?,
            None => portkeep::list()?,
        };
        let entries = listed.into_iter().filter(|entry| {
            entry.netns_cookie == self.netns_cookie || entry.netns_cookie == EVERY_NETNS
        });
        Ok(Live(
            entries
                .map(|entry| ((entry.netns_cookie, entry.range), entry))
                .collect(),
        ))
    }
}

/// The kernel part's list, by cookie and ports.
#[derive(Debug)]
pub struct Live(BTreeMap<(u64, PortRange), Entry>);

impl Live {
    /// The persistent reservation of exactly these ports.
    pub fn persistent(&self, cookie: u64, ports: PortRange) -> Option<&Entry> {
        self.0
            .get(&(cookie, ports))
            .filter(|entry| is_persistent(entry))
    }

    pub fn all(&self) -> impl Iterator<Item = &Entry> {
        self.0.values()
    }

    /// The persistent reservations of one cookie that have ports in common with the range, in their
    /// order.
    pub fn persistent_parts(&self, cookie: u64, ports: PortRange) -> Vec<Entry> {
        let mut parts: Vec<Entry> = self
            .overlapping_of(cookie, ports)
            .filter(|entry| is_persistent(entry))
            .cloned()
            .collect();
        parts.sort_by_key(|entry| entry.range);
        parts
    }

    /// The ports of the range that no persistent reservation of one cookie has.
    pub fn gaps(&self, cookie: u64, ports: PortRange) -> Vec<PortRange> {
        let parts = self.persistent_parts(cookie, ports);
        without(ports, parts.iter().map(|entry| entry.range))
    }

    /// Notes that blocks have become others, of the consumers of the last one of them.
    pub fn replace(&mut self, cookie: u64, old: &[PortRange], new: &[PortRange]) {
        let mut last = None;
        for range in old {
            last = self.0.remove(&(cookie, *range)).or(last);
        }
        for range in new {
            if let Some(mut entry) = last.clone() {
                entry.range = *range;
                self.0.insert((cookie, *range), entry);
            }
        }
    }

    pub fn set_consumers(&mut self, cookie: u64, ports: PortRange, consumers: &[Consumer]) {
        if let Some(entry) = self.0.get_mut(&(cookie, ports)) {
            entry.named = consumers.to_vec();
        }
    }

    pub fn all_persistent(&self) -> impl Iterator<Item = &Entry> {
        self.all().filter(|entry| is_persistent(entry))
    }

    /// The ports that processes have acquired, of whatever protocol.
    pub fn runtime_ports(&self) -> PortSet {
        let mut ports = PortSet::new();
        for entry in self.all().filter(|entry| !is_persistent(entry)) {
            ports.insert(entry.range.start()..=entry.range.end());
        }
        ports
    }

    /// Reservations of any kind that have ports in common with the range.
    pub fn overlapping(&self, ports: PortRange) -> impl Iterator<Item = &Entry> {
        // Those of the namespace, and those of every one.
        let first = self.0.keys().next().map(|(cookie, _)| *cookie);
        let last = self.0.keys().next_back().map(|(cookie, _)| *cookie);
        let last = last.filter(|last| first != Some(*last));
        [first, last]
            .into_iter()
            .flatten()
            .flat_map(move |cookie| self.overlapping_of(cookie, ports))
    }

    /// Of one cookie no two overlap, so their ends ascend as their starts do.
    fn overlapping_of(&self, cookie: u64, ports: PortRange) -> impl Iterator<Item = &Entry> {
        let last = PortRange::new(ports.protocol(), ports.end(), u16::MAX).unwrap_or(ports);
        self.0
            .range(..=(cookie, last))
            .rev()
            .take_while(move |((of, range), _)| {
                *of == cookie
                    && range.protocol() == ports.protocol()
                    && range.end() >= ports.start()
            })
            .map(|(_, entry)| entry)
    }
}

pub fn is_persistent(entry: &Entry) -> bool {
    entry.kind == EntryKind::Persistent
}

/// The ports that two ranges have in common.
pub fn overlap(one: PortRange, other: PortRange) -> Option<PortRange> {
    if one.protocol() != other.protocol() {
        return None;
    }
    let (start, end) = (one.start().max(other.start()), one.end().min(other.end()));
    PortRange::new(one.protocol(), start, end).ok()
}

/// What is left of a range without the ports of another one.
pub fn remainder(whole: PortRange, cut: PortRange) -> impl Iterator<Item = PortRange> {
    let protocol = whole.protocol();
    let before = (whole.start() < cut.start()).then(|| (whole.start(), cut.start() - 1));
    let after = (cut.end() < whole.end()).then(|| (cut.end() + 1, whole.end()));
    [before, after]
        .into_iter()
        .flatten()
        .filter_map(move |(start, end)| PortRange::new(protocol, start, end).ok())
}

/// What is left of a range without the ports of several others.
pub fn without(whole: PortRange, cuts: impl IntoIterator<Item = PortRange>) -> Vec<PortRange> {
    let mut left = vec![whole];
    for cut in cuts {
        let rest = |part: PortRange| match overlap(part, cut) {
            Some(_) => remainder(part, cut).collect(),
            None => vec![part],
        };
        left = left.into_iter().flat_map(rest).collect();
    }
    left
}

/// Whether both have the same consumers, in whatever order.
pub fn same_consumers(one: &[Consumer], other: &[Consumer]) -> bool {
    one.len() == other.len() && one.iter().all(|consumer| other.contains(consumer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> PortRange {
        text.parse().expect("a range")
    }

    #[test]
    fn parts_of_ranges() {
        let whole = range("10-20/tcp");
        assert_eq!(overlap(whole, range("20-30/tcp")), Some(range("20/tcp")));
        assert_eq!(overlap(whole, range("21-30/tcp")), None);
        assert_eq!(overlap(whole, range("10-20/udp")), None);
        let rest = |cut: &str| remainder(whole, range(cut)).collect::<Vec<_>>();
        assert_eq!(rest("12-13/tcp"), [range("10-11/tcp"), range("14-20/tcp")]);
        assert_eq!(rest("10-13/tcp"), [range("14-20/tcp")]);
        assert_eq!(rest("10-20/tcp"), []);
        let all = remainder(range("1-65535/tcp"), range("65535/tcp"));
        assert_eq!(all.collect::<Vec<_>>(), [range("1-65534/tcp")]);
    }
}

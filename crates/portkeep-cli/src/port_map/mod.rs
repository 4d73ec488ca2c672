//! The port space of a network namespace, as a picture.

mod svg;
mod text;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use portkeep::Protocol;

pub use svg::svg;
pub use text::{Look, picture};

/// What a port is to somebody who looks for one, the most telling first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortKind {
    Reserved,
    Persistent,
    Excluded,
    /// A socket is bound to it, and nobody reserves it.
    InUse,
    Pool,
    Automatic,
    Free,
}

impl PortKind {
    pub fn words(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Persistent => "persistent",
            Self::Excluded => "excluded",
            Self::InUse => "in use",
            Self::Pool => "pool",
            Self::Automatic => "automatic range",
            Self::Free => "free",
        }
    }
}

/// The ports of one protocol.
#[derive(Debug)]
pub struct PortMap {
    pub protocol: Protocol,
    /// What is shown.
    pub range: RangeInclusive<u16>,
    kinds: Vec<PortKind>,
    /// Who has which ports.
    owners: Vec<(RangeInclusive<u16>, PortKind, String)>,
}

impl PortMap {
    pub fn new(protocol: Protocol, range: RangeInclusive<u16>) -> Self {
        let count = usize::from(range.end() - range.start()) + 1;
        Self {
            protocol,
            range,
            kinds: vec![PortKind::Free; count],
            owners: Vec::new(),
        }
    }

    /// Marks those of the ports that are shown; a more telling kind stays.
    pub fn mark(&mut self, ports: RangeInclusive<u16>, kind: PortKind) {
        let start = (*ports.start()).max(*self.range.start());
        let end = (*ports.end()).min(*self.range.end());
        let first = *self.range.start();
        for port in start..=end {
            let place = &mut self.kinds[usize::from(port - first)];
            *place = (*place).min(kind);
        }
    }

    /// [`mark`](Self::mark) with the owner in words.
    pub fn own(&mut self, ports: RangeInclusive<u16>, kind: PortKind, owner: String) {
        if ports.start() <= self.range.end() && self.range.start() <= ports.end() {
            self.owners.push((ports.clone(), kind, owner));
        }
        self.mark(ports, kind);
    }

    /// Whether somebody reserves or excludes it.
    pub fn is_reserved(&self, port: u16) -> bool {
        let place = port.checked_sub(*self.range.start()).map(usize::from);
        let kind = place.and_then(|place| self.kinds.get(place));
        kind.is_some_and(|kind| *kind < PortKind::InUse)
    }

    /// The ports in cells of so many, each by its most telling kind, and whether all ports of the cell
    /// are of it.
    fn cells(&self, size: usize) -> impl Iterator<Item = (PortKind, bool)> {
        self.kinds.chunks(size).map(|cell| {
            let kind = cell.iter().min().copied().unwrap_or(PortKind::Free);
            (kind, cell.iter().all(|it| *it == kind))
        })
    }

    /// How many ports there are of each kind that there is.
    fn counts(&self) -> BTreeMap<PortKind, usize> {
        let mut counts = BTreeMap::new();
        for kind in &self.kinds {
            *counts.entry(*kind).or_insert(0) += 1;
        }
        counts
    }

    /// The owners of a kind, by port.
    fn owners_of(&self, kind: PortKind) -> Vec<String> {
        let mut owners: Vec<_> = self.owners.iter().filter(|it| it.1 == kind).collect();
        owners.sort_by_key(|(ports, ..)| *ports.start());
        owners
            .into_iter()
            .map(|(ports, _, owner)| format!("{}: {owner}", words(ports)))
            .collect()
    }
}

/// As in `80`, or `8000-8010`.
fn words(ports: &RangeInclusive<u16>) -> String {
    match ports.start() == ports.end() {
        true => ports.start().to_string(),
        false => format!("{}-{}", ports.start(), ports.end()),
    }
}

/// How many ports a cell has, so that the picture has at most so many cells: a power of two.
fn cell_size(ports: usize, cells: usize) -> usize {
    ports.div_ceil(cells.max(1)).next_power_of_two()
}

#[cfg(test)]
mod tests;

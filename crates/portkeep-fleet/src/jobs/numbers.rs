//! The numbers that a grant may have.

use std::collections::BTreeSet;

use portkeep::{PortRange, Protocol};
use portkeep_fleet_core::allocator::Allocator;
use portkeep_fleet_core::data::{Config, Have, Members, Name, Ports};

use crate::engine::random;
use crate::error::{Error, Result};
use crate::operator::fleet::Fleet;

/// For each protocol that is asked for, how many ports in a row, and the numbers that may be free.
#[derive(Debug)]
pub struct Numbers(Vec<(u16, Allocator)>);

impl Numbers {
    /// All of the fleet's band, but for ports of policies: one may be for nodes of any kind, so its ports are
    /// left alone everywhere.
    ///
    /// # Errors
    ///
    /// If the band has no ports of a protocol.
    pub fn new(config: &Config, fleet: &Fleet, counts: [(Protocol, u16); 2]) -> Result<Numbers> {
        let asked = counts.into_iter().filter(|(_, count)| *count > 0);
        let blocks = asked.map(|(protocol, count)| {
            let bands = config.band.ranges().iter();
            let band = bands
                .filter(|band| band.protocol() == protocol)
                .max_by_key(|band| band.count());
            let band = band.ok_or_else(|| {
                Error::refused(format!("the fleet's band has no {protocol} ports"))
            })?;
            Ok((count, Allocator::new(*band)))
        });
        let mut numbers = Numbers(blocks.collect::<Result<_>>()?);
        for record in fleet.policies.values() {
            numbers.exclude(record.ports.ranges());
        }
        Ok(numbers)
    }

    /// Leaves out ports of grants, too: for a policy, which may be for nodes of any kind.
    pub fn without_grants(&mut self, fleet: &Fleet) {
        for record in fleet.grants.values() {
            self.exclude(record.ports.ranges());
        }
    }

    /// Leaves these out.
    pub fn exclude(&mut self, ranges: &[PortRange]) {
        for (_, free) in &mut self.0 {
            ranges.iter().for_each(|range| free.exclude(*range));
        }
    }

    /// Blocks that no other grant has on one of these nodes; or why there are none.
    ///
    /// # Errors
    ///
    /// In words.
    pub fn choose(&self, fleet: &Fleet, nodes: &[Name]) -> Result<Ports, String> {
        let nodes: BTreeSet<&Name> = nodes.iter().collect();
        let grants = fleet.grants.values();
        let on_them = grants.filter(|record| match &record.members {
            Members::Listed(members) => members.iter().any(|member| nodes.contains(member)),
            Members::Pieces(_) => false,
        });
        let mut left = Numbers(self.0.clone());
        on_them.for_each(|record| left.exclude(record.ports.ranges()));
        let chosen = left.0.iter().map(|(count, free)| {
            free.choose(*count, 1, random()).map_err(|error| {
                let on = match nodes.len() {
                    0 => "in the fleet's band".to_owned(),
                    nodes => format!("on all of {nodes} nodes"),
                };
                format!(
                    "no block of {count} {} ports is free {on}: {error}",
                    free.protocol()
                )
            })
        });
        let ranges: Vec<PortRange> = chosen.collect::<Result<_, _>>()?;
        Ports::new(ranges).map_err(|error| error.to_string())
    }

    /// Leaves out what a node has in the way; all of the block, if it does not say what.
    pub fn refused(&mut self, ports: &Ports, have: &Have) {
        let named = have.obstacles.iter().map(|it| it.port.parse::<PortRange>());
        let named: Vec<PortRange> = named.filter_map(Result::ok).collect();
        match named.is_empty() || have.more > 0 {
            true => self.exclude(ports.ranges()),
            false => self.exclude(&named),
        }
    }
}

//! What a user may hold.

use portkeep_fleet_core::data::{Members, Phase, Quota, Record};

use super::local::Answer;
use super::wish::Wish;
use crate::operator::fleet::Fleet;

/// Why a user cannot have this in addition to what is held already.
pub fn over(
    quota: &Quota,
    fleet: &Fleet,
    wish: &Wish,
    nodes: usize,
    owner: &str,
) -> Option<Answer> {
    let own = fleet.grants.values().filter(|record| record.owner == owner);
    let own = own.filter(|record| record.phase != Phase::Ending);
    let size = |record: &Record| {
        let ports = record.ports.count() as usize;
        match &record.members {
            Members::Listed(nodes) => ports * nodes.len(),
            Members::Pieces(_) => ports,
        }
    };
    let (grants, ports) = own.fold((0, 0), |(grants, ports), it| (grants + 1, ports + size(it)));
    let more = (usize::from(wish.tcp) + usize::from(wish.udp)) * nodes;
    let limits = [
        (nodes, quota.nodes, "nodes in one grant"),
        (grants + 1, quota.grants, "grants at once"),
        (
            ports + more,
            quota.ports,
            "ports at once, each counted on each node",
        ),
    ];
    let exceeded = limits
        .into_iter()
        .find(|(count, limit, _)| *count > *limit as usize);
    exceeded.map(|(count, limit, what)| Answer::Refused {
        message: format!("{owner} would have {count} {what}, and {limit} are allowed"),
        hint: Some(
            "`portkeep fleet release` gives grants back; operators set the limits with `portkeep fleet quota`"
                .to_owned(),
        ),
        in_the_way: Vec::new(),
    })
}

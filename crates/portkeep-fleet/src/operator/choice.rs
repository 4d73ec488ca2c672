//! Ports of the fleet's choice for a policy: free on all nodes, and nobody else's while it lives.

use portkeep::{PortRange, Protocol};
use portkeep_fleet_core::data::Ports;

use super::fleet::Fleet;
use super::reserve::{Reserved, State};
use crate::error::{Error, Result};
use crate::jobs::numbers::Numbers;

/// How many of each protocol.
pub type Counts = [(Protocol, u16); 2];

/// So many ports of each of these protocols.
///
/// # Errors
///
/// If they are no protocols.
pub fn counts(protocols: &[String], count: u16) -> Result<Counts> {
    let mut counts = [(Protocol::Tcp, 0), (Protocol::Udp, 0)];
    for text in protocols {
        let named: &[usize] = match text.as_str() {
            "tcp" => &[0],
            "udp" => &[1],
            "both" => &[0, 1],
            _ => {
                return Err(Error::usage(format!("{text}: expected tcp, udp or both"))
                    .with_hint("with `--count` the fleet chooses the numbers"));
            }
        };
        for index in named {
            counts[*index].1 = count;
        }
    }
    Ok(counts)
}

/// Whether these ports are just so many.
pub fn fits(ports: &Ports, counts: &Counts) -> bool {
    let of = |protocol: Protocol| {
        let ranges = ports.ranges().iter();
        let ranges = ranges.filter(|range| range.protocol() == protocol);
        ranges.map(|range| u32::from(range.count())).sum::<u32>()
    };
    counts
        .iter()
        .all(|(protocol, count)| of(*protocol) == u32::from(*count))
}

/// What may be chosen.
///
/// # Errors
///
/// If the fleet's band has no such ports.
pub fn numbers(fleet: &Fleet, counts: Counts) -> Result<Numbers> {
    let mut numbers = Numbers::new(fleet.config()?, fleet, counts)?;
    numbers.without_grants(fleet);
    Ok(numbers)
}

/// Leaves out what was in the way. Says whether other numbers may do.
pub fn leave_out(numbers: &mut Numbers, ports: &Ports, reserved: &Reserved) -> bool {
    let refused = matches!(reserved.state, State::Refused | State::Impossible);
    if !refused || reserved.interrupted || reserved.in_the_way.is_empty() {
        return false;
    }
    for node in &reserved.in_the_way {
        for line in &node.obstacles {
            match line.port.as_deref().map(str::parse::<PortRange>) {
                Some(Ok(range)) if node.more == 0 => numbers.exclude(&[range]),
                Some(_) => numbers.exclude(ports.ranges()),
                // A node that does not answer, or does not have the user: no number is better.
                None => return false,
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_and_ports() {
        let tcp = counts(&["tcp".to_owned()], 2).expect("counts");
        assert_eq!(tcp, [(Protocol::Tcp, 2), (Protocol::Udp, 0)]);
        let both = counts(&["both".to_owned()], 1).expect("counts");
        assert_eq!(both, [(Protocol::Tcp, 1), (Protocol::Udp, 1)]);
        counts(&["80/tcp".to_owned()], 1).expect_err("no protocol");
        let ports = |text: &str| Ports::from(text.parse::<PortRange>().expect("a range"));
        assert!(fits(&ports("61000-61001/tcp"), &tcp));
        assert!(!fits(&ports("61000-61002/tcp"), &tcp));
        assert!(!fits(&ports("61000-61001/udp"), &tcp));
        assert!(!fits(&ports("61000/tcp"), &both));
    }
}

//! How the command learns its ports.

use std::process::Command;

use portkeep::Protocol;

use crate::holding::Holding;

/// Sets PORT, PORTKEEP_TCP and PORTKEEP_UDP. Lists that would be empty are removed, lest the
/// command take an outer `portkeep run`'s ports for its own.
pub fn set(command: &mut Command, holding: &Holding) {
    let tcp = list(command, "PORTKEEP_TCP", holding, Protocol::Tcp);
    let udp = list(command, "PORTKEEP_UDP", holding, Protocol::Udp);
    if let Some(first) = tcp.or(udp) {
        command.env("PORT", first.to_string());
    }
}

fn list(command: &mut Command, name: &str, holding: &Holding, protocol: Protocol) -> Option<u16> {
    let ports: Vec<u16> = holding
        .ranges(protocol)
        .flat_map(|range| range.ports())
        .collect();
    if ports.is_empty() {
        command.env_remove(name);
    } else {
        let list: Vec<_> = ports.iter().map(u16::to_string).collect();
        command.env(name, list.join(","));
    }
    ports.first().copied()
}

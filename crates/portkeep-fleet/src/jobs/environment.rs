//! How a job learns its ports: as from `portkeep run`.

use std::process::Command;

use portkeep::{PortRange, Protocol};
use portkeep_fleet_core::data::Name;

use crate::error::{Error, Result};

/// Sets PORT, PORTKEEP_TCP, PORTKEEP_UDP and PORTKEEP_GRANT. Lists that would be empty are removed.
///
/// # Errors
///
/// If they are no ports.
pub fn set(command: &mut Command, id: &Name, ports: &[String]) -> Result<()> {
    let ranges: Result<Vec<PortRange>, _> = ports.iter().map(|text| text.parse()).collect();
    let ranges = ranges.map_err(|error| Error::refused(error.to_string()))?;
    command.env("PORTKEEP_GRANT", id.as_str());
    let mut first = None;
    for (protocol, name) in [
        (Protocol::Tcp, "PORTKEEP_TCP"),
        (Protocol::Udp, "PORTKEEP_UDP"),
    ] {
        let own = ranges.iter().filter(|range| range.protocol() == protocol);
        let list: Vec<String> = own
            .flat_map(|range| range.ports())
            .map(|port| port.to_string())
            .collect();
        match list.first() {
            Some(port) => {
                first = first.or_else(|| Some(port.clone()));
                command.env(name, list.join(","));
            }
            None => drop(command.env_remove(name)),
        }
    }
    if let Some(first) = first {
        command.env("PORT", first);
    }
    Ok(())
}

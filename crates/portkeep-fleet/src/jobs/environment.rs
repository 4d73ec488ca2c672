//! How a job learns its ports: as from `portkeep run`, and as some job launchers do.

use std::process::Command;

use portkeep::{PortRange, Protocol};
use portkeep_fleet_core::data::Name;

use crate::error::{Error, Result};

/// The variables of a grant: PORTKEEP_GRANT, PORT, PORTKEEP_TCP and PORTKEEP_UDP. None, where there are no such ports.
///
/// # Errors
///
/// If they are no ports.
pub fn variables(id: &Name, ports: &[String]) -> Result<Vec<(&'static str, Option<String>)>> {
    let ranges: Result<Vec<PortRange>, _> = ports.iter().map(|text| text.parse()).collect();
    let ranges = ranges.map_err(|error| Error::refused(error.to_string()))?;
    let list = |protocol: Protocol| {
        let own = ranges.iter().filter(|range| range.protocol() == protocol);
        let list: Vec<String> = own
            .flat_map(|range| range.ports())
            .map(|port| port.to_string())
            .collect();
        (!list.is_empty()).then(|| list.join(","))
    };
    let (tcp, udp) = (list(Protocol::Tcp), list(Protocol::Udp));
    let first = tcp.as_ref().or(udp.as_ref());
    let first = first.and_then(|list| list.split(',').next().map(str::to_owned));
    Ok(vec![
        ("PORTKEEP_GRANT", Some(id.to_string())),
        ("PORT", first),
        ("PORTKEEP_TCP", tcp),
        ("PORTKEEP_UDP", udp),
    ])
}

/// Sets them. Those that would be empty are removed.
///
/// # Errors
///
/// If they are no ports.
pub fn set(command: &mut Command, id: &Name, ports: &[String]) -> Result<()> {
    for (name, value) in variables(id, ports)? {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Ok(())
}

/// As a shell and Slurm's TaskProlog take them, and what torchrun and Open MPI read besides.
///
/// # Errors
///
/// If they are no ports.
pub fn exports(id: &Name, ports: &[String]) -> Result<Vec<String>> {
    let mut all = variables(id, ports)?;
    let tcp = ports.iter().find_map(|ports| ports.strip_suffix("/tcp"));
    let first = tcp.and_then(|range| range.split('-').next());
    all.push(("MASTER_PORT", first.map(str::to_owned)));
    all.push(("SLURM_STEP_RESV_PORTS", tcp.map(str::to_owned)));
    let exports = all.into_iter();
    Ok(exports
        .filter_map(|(name, value)| Some(format!("export {name}={}", value?)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_grant() {
        let id: Name = "g7f3a2".parse().expect("a name");
        let ports = ["61040-61041/tcp".to_owned(), "61000/udp".to_owned()];
        assert_eq!(
            exports(&id, &ports).expect("variables"),
            [
                "export PORTKEEP_GRANT=g7f3a2",
                "export PORT=61040",
                "export PORTKEEP_TCP=61040,61041",
                "export PORTKEEP_UDP=61000",
                "export MASTER_PORT=61040",
                "export SLURM_STEP_RESV_PORTS=61040-61041",
            ]
        );
        exports(&id, &["$(reboot)".to_owned()]).expect_err("no ports");
    }
}

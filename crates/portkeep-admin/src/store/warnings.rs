//! What an administrator should know about ports that are reserved all the same.

use portkeep::PortRange;

use crate::error::Error;
use crate::store::port_set::PortSet;
use crate::store::scope::Scope;
use crate::store::sysctl;

/// What Linux has set in a new network namespace (inet_init_net in net/ipv4/af_inet.c).
const USUAL_AUTOMATIC_RANGE: std::ops::RangeInclusive<u16> = 32768..=60999;

/// From which part of the automatic range on a block makes the kernel's choice lopsided enough to
/// tell: the port behind it is then chosen 1/16 of the time, instead of once in 28000.
const LOPSIDED: usize = 16;

/// What is to be said after these ports were reserved.
pub fn about(ports: &[PortRange], scope: &Scope) -> Result<Vec<String>, Error> {
    let mut warnings = Vec::new();
    let mut reserved = PortSet::new();
    for ports in ports {
        reserved.insert(ports.start()..=ports.end());
    }
    warnings.extend(lopsided(&reserved)?);
    match scope {
        Scope::Every => {
            let unprotected = reserved.intersection(&USUAL_AUTOMATIC_RANGE.into());
            if !unprotected.is_empty() {
                warnings.push(format!(
                    "in other network namespaces a connect() may still take {unprotected}: their \
                     net.ipv4.ip_local_reserved_ports is not changed"
                ));
            }
        }
        Scope::Living { .. } => warnings.push(
            "this network namespace has no name, so reservations there end with it".to_owned(),
        ),
        _ => {}
    }
    Ok(warnings)
}

/// The kernel goes on from a random port to the next one that is free, so what is behind a long run
/// of protected ports gets their share too.
fn lopsided(reserved: &PortSet) -> Result<Option<String>, Error> {
    let automatic = sysctl::automatic_range()?;
    let (low, high) = (*automatic.start(), *automatic.end());
    let all = usize::from(high - low) + 1;
    let protected = sysctl::protected_ports()?.intersection(&automatic.into());
    let longest = protected
        .ranges()
        .into_iter()
        .filter(|run| !PortSet::from(run.clone()).intersection(reserved).is_empty())
        .max_by_key(|run| run.len());
    let Some(run) = longest.filter(|run| run.len() * LOPSIDED > all) else {
        return Ok(None);
    };
    if protected.len() == all {
        return Ok(Some(format!(
            "no automatic port is left: all of {low}-{high} is protected, and connect() fails"
        )));
    }
    Ok(Some(format!(
        "{}-{} is {} % of the automatic range {low}-{high}: of the ports that the kernel chooses, \
         about as many will be the one behind it; better reserve ports outside the range, or move \
         the range with net.ipv4.ip_local_port_range",
        run.start(),
        run.end(),
        run.len() * 100 / all,
    )))
}

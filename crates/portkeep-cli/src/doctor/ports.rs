//! The kernel's port settings in this network namespace.

use portkeep_admin::{DEFAULT_POOL, Status};

use crate::doctor::check::{Check, State};
use crate::port_state::Settings;

pub fn checks(status: Option<&Status>) -> Vec<Check> {
    const NAME: &str = "pool";
    let (start, end) = status.map_or(DEFAULT_POOL, |status| status.pool);
    let settings = match Settings::read() {
        Ok(settings) => settings,
        Err(error) => return vec![Check::error(NAME, State::Unknown, error)],
    };
    let count = |is: &dyn Fn(u16) -> bool| (start..=end).filter(|&port| is(port)).count();
    let all = usize::from(end - start) + 1;
    let automatic = count(&|port| settings.is_automatic(port) && !settings.is_protected(port));
    let privileged = count(&|port| settings.is_privileged(port));
    let mut checks = Vec::new();
    if automatic > 0 {
        checks.push(Check::not_ok(
            NAME,
            if automatic == all {
                State::Wrong
            } else {
                State::Warning
            },
            format!(
                "{automatic} of the {all} ports {start}-{end}, the pool for requests that name no port, \
                 are automatic ports ({}-{}), which connect() may take",
                settings.automatic.start(),
                settings.automatic.end()
            ),
            "`portkeep enable --pool A-B` with ports outside the range, or narrow the range: \
             sysctl net.ipv4.ip_local_port_range",
        ));
    }
    if privileged > 0 {
        checks.push(Check::not_ok(
            NAME,
            State::Warning,
            format!("{privileged} of the {all} ports {start}-{end} are privileged"),
            "`portkeep enable --pool A-B` with higher ports, or sysctl \
             net.ipv4.ip_unprivileged_port_start",
        ));
    }
    if checks.is_empty() {
        checks.push(Check::ok(
            NAME,
            format!("{start}-{end}, outside the automatic range"),
        ));
    }
    checks
}

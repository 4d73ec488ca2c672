//! The checks of `portkeep doctor`. Each checks one thing and changes nothing.

mod check;
mod kernel_part;
mod machine;
mod neighbours;
mod ports;
mod store;

use portkeep_admin::{Installation, Status, inspect};

pub use check::{Check, State};

/// All checks, from the bottom layer up.
pub fn examine(installation: &Installation) -> Vec<Check> {
    let installed = inspect(installation);
    let status: Option<&Status> = installed.as_ref().ok().and_then(Option::as_ref);
    let mut checks = machine::checks(installation);
    checks.extend(ports::checks(status));
    checks.push(neighbours::check(installation));
    checks.extend(kernel_part::checks(installation, installed));
    checks.extend(store::checks(installation));
    checks
}

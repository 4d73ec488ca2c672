//! What the commands that change persistent reservations say.

use std::io::{self, Write as _};
use std::process::ExitCode;

use portkeep::PortRange;
use portkeep_admin::Outcome;

use crate::printable::lines;

/// As in `10000-20000/udp`, or for both protocols `5004-5005/tcp and 5004-5005/udp`.
pub fn list(ports: &[PortRange]) -> String {
    let ports: Vec<_> = ports.iter().map(PortRange::to_string).collect();
    ports.join(" and ")
}

/// Says what was done; warnings go to standard error.
pub fn report(outcome: &Outcome, said: &str) -> anyhow::Result<ExitCode> {
    writeln!(io::stdout().lock(), "{}", lines(said))?;
    warn(&outcome.warnings);
    Ok(ExitCode::SUCCESS)
}

/// A line of its own for each.
pub fn warn(warnings: &[String]) {
    for warning in warnings {
        let _ = writeln!(io::stderr(), "portkeep: warning: {}", lines(warning));
    }
}

/// As in `1 reservation`, `2 reservations`.
pub fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

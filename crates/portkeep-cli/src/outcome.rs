//! What the commands that change persistent reservations print.

use std::io::{self, Write as _};
use std::process::ExitCode;

use portkeep::PortRange;
use portkeep_admin::Outcome;
use serde::Serialize;

use crate::error::Result;
use crate::output::{json, lines, warn};

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: u32,
    /// Whether anything had to be changed.
    changed: bool,
    ports: Vec<RangeDocument>,
    warnings: &'a [String],
}

#[derive(Debug, Serialize)]
struct RangeDocument {
    protocol: String,
    start: u16,
    end: u16,
}

impl From<&PortRange> for RangeDocument {
    fn from(range: &PortRange) -> Self {
        Self {
            protocol: range.protocol().to_string(),
            start: range.start(),
            end: range.end(),
        }
    }
}

/// Prints what was done, in words and with warnings on standard error, or as a JSON document.
pub fn report(outcome: &Outcome, done: &str, as_json: bool) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    if as_json {
        let document = Document {
            schema: 1,
            changed: outcome.changed,
            ports: outcome.ports.iter().map(RangeDocument::from).collect(),
            warnings: &outcome.warnings,
        };
        writeln!(out, "{}", json(&document)?)?;
    } else {
        writeln!(out, "{}", lines(done))?;
        warn(&outcome.warnings);
    }
    Ok(ExitCode::SUCCESS)
}

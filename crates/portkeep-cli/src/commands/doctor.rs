//! `portkeep doctor`: check what Portkeep relies on.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use portkeep_admin::Installation;
use serde::Serialize;

use crate::arguments::color::{self, ColorArgument};
use crate::doctor::{self, Check, State};
use crate::error::{Kind, Result};
use crate::output::{after_printing, json, write_styled_table, write_table};

/// Check what Portkeep relies on, and suggest fixes
///
/// Checks the kernel's features, mounts, attachments, other programs at the same hooks, the store and
/// the port settings, and proves with a copy of the kernel part that it sees sockets of every kind.
/// Changes nothing. The exit status is 1 if something is wrong. Warnings, and what only root can see,
/// do not count.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    color: ColorArgument,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: u32,
    /// The worst state of the checks.
    state: State,
    checks: &'a [Check],
}

impl Doctor {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        let checks = doctor::examine(installation);
        let state = checks.iter().map(|check| check.state).max();
        let state = state.unwrap_or(State::Ok);
        let printed = self.print(state, &checks);
        let code = match state {
            State::Wrong => Kind::Refused.into(),
            _ => ExitCode::SUCCESS,
        };
        after_printing(printed, code)
    }

    fn print(&self, state: State, checks: &[Check]) -> Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            let document = Document {
                schema: 1,
                state,
                checks,
            };
            writeln!(out, "{}", json(&document)?)?;
        } else {
            let style = |_, column, cell: &str| match (column, cell) {
                (0, "ok") => Some(color::GOOD),
                (0, "warning" | "unknown") => Some(color::ODD),
                (0, "wrong") => Some(color::BAD),
                _ => None,
            };
            let rows = rows(checks);
            match self.color.is_on() {
                true => write_styled_table(&mut out, &rows, style),
                false => write_table(&mut out, &rows),
            }?;
        }
        Ok(())
    }
}

fn rows(checks: &[Check]) -> Vec<[String; 3]> {
    let mut rows = Vec::new();
    for check in checks {
        let mut lines = check.message.lines();
        rows.push([
            check.state.to_string(),
            check.name.to_owned(),
            lines.next().unwrap_or_default().to_owned(),
        ]);
        let hint = check.hint.iter().map(|hint| format!("Hint: {hint}"));
        let below = lines.map(str::to_owned).chain(hint);
        rows.extend(below.map(|line| [String::new(), String::new(), line]));
    }
    rows
}

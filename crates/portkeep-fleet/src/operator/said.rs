//! What commands that reserve say.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use portkeep_fleet_core::data::Mode;

use super::policy::Wish;
use super::report::{nodes, of, rows};
use super::reserve::{Reserved, State};
use crate::error::Result;
use crate::output::{json, write_table};

/// Prints what became of it, and says the exit status.
///
/// # Errors
///
/// If it cannot be printed.
pub fn say(reserved: &Reserved, wish: &Wish, took: Duration, as_json: bool) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    let good = !matches!(reserved.state, State::Refused | State::Impossible);
    if as_json {
        writeln!(out, "{}", json(reserved)?)?;
    } else if reserved.state == State::Refused {
        refused(reserved, wish)?;
    } else {
        writeln!(out, "{}", words(reserved, wish, took))?;
        if !reserved.in_the_way.is_empty() {
            write_table(&mut out, &rows(&reserved.in_the_way))?;
        }
        if !reserved.pending.is_empty() {
            let pending = reserved.pending.join(", ");
            writeln!(out, "Pending, until their agents are connected: {pending}")?;
        }
    }
    Ok(ExitCode::from(u8::from(!good)))
}

fn words(reserved: &Reserved, wish: &Wish, took: Duration) -> String {
    let ports = &wish.ports;
    let done = match wish.mode {
        Mode::Reserve => "reserved",
        Mode::Exclude => "excluded",
    };
    let which = format!("({}, generation {})", reserved.policy, reserved.generation);
    let on = nodes(reserved.nodes);
    match reserved.state {
        State::Reserved => {
            let seconds = took.as_secs_f64();
            format!("{ports} {done} on {on} {which} in {seconds:.1} s")
        }
        State::Already => format!("{ports} {done} on {on} already {which}"),
        State::Possible => {
            format!("Would have {ports} {done} on {on}: all can, nothing was changed")
        }
        State::Impossible | State::Refused => {
            let cannot = reserved.in_the_way.len();
            let can = reserved.nodes.saturating_sub(cannot);
            format!(
                "Would have {ports} {done} on {on}: {can} can, {cannot} cannot, nothing was changed"
            )
        }
    }
}

fn refused(reserved: &Reserved, wish: &Wish) -> Result<()> {
    let mut err = io::stderr().lock();
    let done = match wish.mode {
        Mode::Reserve => "reserved",
        Mode::Exclude => "excluded",
    };
    let why = match reserved.interrupted {
        true => "it was interrupted".to_owned(),
        false => format!("{} cannot", of(reserved.in_the_way.len(), reserved.nodes)),
    };
    writeln!(err, "portkeep: {} is {done} on no node: {why}", wish.ports)?;
    if !reserved.interrupted {
        write_table(&mut err, &rows(&reserved.in_the_way))?;
        let names: Vec<&str> = reserved
            .in_the_way
            .iter()
            .map(|node| node.node.as_str())
            .collect();
        let without = names.join(",");
        writeln!(
            err,
            "Hint: free them, or leave them out: `--except {without}`"
        )?;
    }
    if reserved.left {
        writeln!(
            err,
            "Note: a node that was asked does not answer and may keep the ports until it hears of the end; \
             `portkeep fleet repair` completes it"
        )?;
    }
    Ok(())
}

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
    let is_there = matches!(reserved.state, State::Reserved | State::Already);
    if as_json {
        writeln!(out, "{}", json(reserved)?)?;
    } else if matches!(
        reserved.state,
        State::Refused | State::Stopped | State::Undone
    ) {
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
        if is_there && reserved.left {
            writeln!(
                out,
                "Nodes that are not connected keep the ports of before, too, until they hear of the change"
            )?;
        }
    }
    let good = is_there || reserved.state == State::Possible;
    Ok(ExitCode::from(u8::from(!good)))
}

/// Prints what one of several waves has done.
///
/// # Errors
///
/// If it cannot be printed.
pub fn say_wave(wave: &Reserved, wish: &Wish) -> Result<()> {
    let Reserved {
        wave: number,
        waves,
        held,
        selected,
        ..
    } = wave;
    let (ports, done) = (&wish.ports, done(wish));
    let line = format!("Wave {number} of {waves}: {ports} {done} on {held} of {selected} nodes");
    writeln!(io::stdout().lock(), "{line}")?;
    Ok(())
}

fn done(wish: &Wish) -> &'static str {
    match wish.mode {
        Mode::Reserve => "reserved",
        Mode::Exclude => "excluded",
    }
}

fn words(reserved: &Reserved, wish: &Wish, took: Duration) -> String {
    let (ports, done) = (&wish.ports, done(wish));
    let which = format!("({}, generation {})", reserved.policy, reserved.generation);
    let on = match reserved.selected > reserved.nodes && reserved.pending.is_empty() {
        true => format!("{} of {} nodes", reserved.nodes, reserved.selected),
        false => nodes(reserved.nodes),
    };
    match reserved.state {
        State::Reserved => {
            let seconds = took.as_secs_f64();
            format!("{ports} {done} on {on} {which} in {seconds:.1} s")
        }
        State::Already => format!("{ports} {done} on {on} already {which}"),
        State::Possible => {
            format!("Would have {ports} {done} on {on}: all can, nothing was changed")
        }
        State::Impossible | State::Refused | State::Stopped | State::Undone => {
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
    let (ports, name, done) = (&wish.ports, &wish.name, done(wish));
    let why = match reserved.interrupted {
        true => "it was interrupted".to_owned(),
        false => format!("{} cannot", of(reserved.in_the_way.len(), reserved.nodes)),
    };
    let Reserved {
        held,
        selected,
        wave,
        waves,
        ..
    } = reserved;
    let is_change = reserved.generation > 1;
    let what = match reserved.state {
        State::Stopped => {
            format!("{ports} is {done} on {held} of {selected} nodes, wave {wave} of {waves}")
        }
        State::Undone => format!("{ports} is {done} on no node any more, wave {wave} of {waves}"),
        _ if is_change => format!("{name} stays as it is"),
        _ => format!("{ports} is {done} on no node"),
    };
    writeln!(err, "portkeep: {what}: {why}")?;
    if !reserved.interrupted {
        write_table(&mut err, &rows(&reserved.in_the_way))?;
    }
    let names = reserved.in_the_way.iter().map(|node| node.node.as_str());
    let without = names.collect::<Vec<_>>().join(",");
    let hint = match reserved.state {
        State::Stopped => Some(format!(
            "the same command goes on from there; `portkeep fleet unreserve {name}` takes it back"
        )),
        _ if reserved.interrupted => None,
        _ if is_change => Some("free them, and change it then".to_owned()),
        _ => Some(format!(
            "free them, or leave them out: `--except {without}`"
        )),
    };
    if let Some(hint) = hint {
        writeln!(err, "Hint: {hint}")?;
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

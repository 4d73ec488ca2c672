//! The store, and whether the kernel part and the settings agree with it.

use portkeep_admin::{Declared, Error, ErrorKind, Installation, UnknownNames};

use crate::doctor::check::{Check, State};
use crate::words::counted;

const NAME: &str = "store";

pub fn checks(installation: &Installation) -> Vec<Check> {
    let keeper = installation.keeper();
    let contents = match keeper.contents() {
        Ok(contents) => contents,
        Err(error) => return vec![failed(NAME, error)],
    };
    let mut checks = vec![Check::ok(
        NAME,
        match keeper.file().exists() {
            true => format!(
                "{} and {} in {}",
                counted(contents.reservations(), "reservation"),
                counted(contents.exclusions(), "exclusion"),
                keeper.file().display()
            ),
            false => "empty".to_owned(),
        },
    )];
    const AGREEMENT: &str = "agreement";
    match keeper.differences() {
        // Without the kernel part nothing is persistent.
        Err(error) if is_not_enabled(&error) => {}
        Err(error) => checks.push(failed(AGREEMENT, error)),
        Ok(differences) if differences.is_empty() => checks.push(Check::ok(
            AGREEMENT,
            "the kernel part and ip_local_reserved_ports agree with the store",
        )),
        Ok(differences) => checks.extend(differences.iter().map(|difference| {
            Check::not_ok(
                AGREEMENT,
                State::Wrong,
                difference.to_string(),
                "`portkeep enable` repairs it",
            )
        })),
    }
    const CONSUMERS: &str = "consumers";
    match keeper.unresolved() {
        Err(error) => checks.push(failed(CONSUMERS, error)),
        Ok(unresolved) => checks.extend(unresolved.iter().map(|(ports, missing)| {
            Check::not_ok(
                CONSUMERS,
                State::Warning,
                format!("{ports} stays closed: {missing}"),
                "create it and run `portkeep enable`, or `portkeep unreserve` the ports",
            )
        })),
    }
    checks.extend(declarations(installation));
    checks
}

/// Whether the files of the default directory were applied; nothing if there are none.
fn declarations(installation: &Installation) -> Option<Check> {
    const DECLARATIONS: &str = "declarations";
    let directory = crate::locations::declarations(installation);
    if !directory.exists() {
        return None;
    }
    let keeper = installation.keeper();
    let compared = Declared::read_default(&directory).and_then(|declared| {
        let applied = keeper.compare(&declared, UnknownNames::Accept)?;
        Ok((declared.len(), applied.changes.len()))
    });
    Some(match compared {
        Err(error) => failed(DECLARATIONS, error),
        Ok((declared, 0)) => {
            let entries = if declared == 1 { "entry" } else { "entries" };
            let message = format!("{declared} {entries} of {}", directory.display());
            Check::ok(DECLARATIONS, message)
        }
        Ok((_, changes)) => Check::not_ok(
            DECLARATIONS,
            State::Warning,
            format!(
                "{} of {} not applied",
                counted(changes, "change"),
                directory.display()
            ),
            "`portkeep apply --check` shows what differs, `portkeep apply` changes it",
        ),
    })
}

fn failed(name: &'static str, error: Error) -> Check {
    let state = match error.kind() {
        ErrorKind::NotPermitted => State::Unknown,
        _ => State::Wrong,
    };
    Check::error(name, state, error)
}

fn is_not_enabled(error: &Error) -> bool {
    error.errno() == Some(libc::ENOPROTOOPT)
}

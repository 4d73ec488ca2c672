//! The installed kernel part.

use portkeep::ErrorKind;
use portkeep_admin::{Error, Installation, NAMING_CONSUMERS_MAX, RESERVATIONS_MAX, Status, faults};

use crate::doctor::check::{Check, State};
use crate::locations;
use crate::words::counted;

const ENABLE: &str = "`portkeep enable` repairs it";

pub fn checks(installation: &Installation, installed: Result<Option<Status>, Error>) -> Vec<Check> {
    let is_there = !matches!(installed, Ok(None));
    let mut checks = vec![kernel_part(installed)];
    if is_there {
        checks.extend(attachments(installation));
        checks.push(control_calls());
        checks.extend(list(installation));
    }
    checks
}

fn kernel_part(installed: Result<Option<Status>, Error>) -> Check {
    const NAME: &str = "kernel part";
    match installed {
        Ok(Some(Status {
            cgroup: Some(cgroup),
            ..
        })) => Check::ok(NAME, format!("enabled, attached to {}", cgroup.display())),
        Ok(Some(_)) => Check::not_ok(
            NAME,
            State::Wrong,
            "the cgroup that it was attached to has been removed",
            ENABLE,
        ),
        Ok(None) => Check::not_ok(
            NAME,
            State::Warning,
            "not enabled: processes hold ports by sockets, and nothing is persistent",
            "run `portkeep enable` as root",
        ),
        Err(error) => {
            let check = Check::kernel_error(NAME, error);
            Check {
                hint: check.hint.or_else(|| Some(ENABLE.to_owned())),
                ..check
            }
        }
    }
}

fn attachments(installation: &Installation) -> Vec<Check> {
    const NAME: &str = "attachments";
    match faults(installation) {
        Ok(faults) if faults.is_empty() => vec![Check::ok(
            NAME,
            "every map and every program is there and belongs to this build",
        )],
        Ok(faults) => faults
            .iter()
            .map(|fault| Check::not_ok(NAME, State::Wrong, fault.to_string(), ENABLE))
            .collect(),
        Err(error) => vec![Check::kernel_error(NAME, error)],
    }
}

fn control_calls() -> Check {
    const NAME: &str = "control calls";
    match portkeep::version() {
        Ok(version) => Check::ok(NAME, format!("answered here, ABI version {version}")),
        Err(error) if error.kind() == ErrorKind::NotEnabled => Check::not_ok(
            NAME,
            State::Warning,
            "not answered here: this process is not in a control cgroup",
            "run this in a control cgroup; `portkeep status` lists them",
        ),
        Err(error) => Check::error(NAME, State::Wrong, error),
    }
}

/// Whether the list is readable, and how full the tables are.
fn list(installation: &Installation) -> Vec<Check> {
    const NAME: &str = "list";
    let entries = match locations::list(installation) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotEnabled => return Vec::new(),
        Err(error) => return vec![Check::error(NAME, State::Wrong, error)],
    };
    let with_consumers = entries
        .iter()
        .filter(|entry| !entry.named.is_empty())
        .count();
    [
        ("reservations", entries.len(), RESERVATIONS_MAX),
        (
            "reservations with consumers",
            with_consumers,
            NAMING_CONSUMERS_MAX,
        ),
    ]
    .into_iter()
    .filter(|(_, count, limit)| count * 4 > limit * 3)
    .map(|(what, count, limit)| {
        Check::not_ok(
            NAME,
            State::Warning,
            format!("{count} of at most {limit} {what}"),
            "reserve fewer, larger blocks",
        )
    })
    .chain([Check::ok(
        NAME,
        format!("readable, {}", counted(entries.len(), "reservation")),
    )])
    .collect()
}

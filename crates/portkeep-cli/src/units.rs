//! The units of systemd that belong together, for `reserve --unit`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// Where unit files are (systemd.unit(5)), without those of users.
const DIRECTORIES: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// A unit, and the socket units that start it: systemd binds their sockets in the socket unit's own
/// cgroup.
pub fn with_sockets(name: &str) -> Result<Vec<String>> {
    let unit = match name.rsplit_once('.') {
        Some((_, "service" | "socket" | "slice" | "scope")) => name.to_owned(),
        _ => format!("{name}.service"),
    };
    let usual = |it: char| it.is_ascii_alphanumeric() || ":-_.\\@".contains(it);
    if !unit.chars().all(usual) || unit.starts_with('.') {
        return Err(Error::usage(format!("'{name}' is not the name of a unit")));
    }
    let sockets = match triggers(&unit) {
        Some(Triggers::Unknown) => {
            return Err(Error::refused(format!("systemd has no unit {unit}"))
                .with_hint("install it first; --cgroup takes a name without asking"));
        }
        Some(Triggers::Units(units)) => units,
        None => usual_socket(&unit).into_iter().collect(),
    };
    let mut units = vec![unit];
    units.extend(sockets.into_iter().filter(|it| it.ends_with(".socket")));
    Ok(units)
}

enum Triggers {
    Units(Vec<String>),
    Unknown,
}

/// What systemd says; `None` where it does not run.
fn triggers(unit: &str) -> Option<Triggers> {
    if !Path::new("/run/systemd/system").is_dir() {
        return None;
    }
    let show = |property: &str, units: &[String]| {
        let output = Command::new("systemctl")
            .args(["show", "--value", "--property", property, "--"])
            .args(units)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then_some(text)
    };
    // It knows what triggers a unit only from units that it has loaded, as it does for this.
    let all: Vec<String> = [unit.to_owned()].into_iter().chain(sockets()).collect();
    let states = show("LoadState", &all)?;
    if states.lines().next()? == "not-found" {
        return Some(Triggers::Unknown);
    }
    let triggers = show("TriggeredBy", &all[..1])?;
    let triggers = triggers.split_whitespace().map(str::to_owned);
    Some(Triggers::Units(triggers.collect()))
}

/// The socket units that have a file, without templates.
fn sockets() -> BTreeSet<String> {
    let entries = DIRECTORIES.iter().flat_map(fs::read_dir).flatten();
    let names = entries.flatten().map(|entry| entry.file_name());
    names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.ends_with(".socket") && !name.ends_with("@.socket"))
        .collect()
}

/// The socket unit of the same name, if it has a file.
fn usual_socket(unit: &str) -> Option<String> {
    let name = unit.strip_suffix(".service")?;
    sockets().take(&format!("{name}.socket"))
}

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
    // The service does not know its sockets while these are not loaded, and systemd forgets them again
    // at once. So each socket unit is asked.
    let output = Command::new("systemctl")
        .args(["show", "--property=Id,LoadState,Triggers", "--", unit])
        .args(sockets())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    if !output.status.success() {
        return None;
    }
    let value = |block: &str, name: &str| {
        let mut lines = block.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_default().to_owned()
    };
    let mut blocks = text.split("\n\n");
    let own = blocks.next()?;
    if value(own, "LoadState") == "not-found" {
        return Some(Triggers::Unknown);
    }
    // An alias stands for the unit.
    let own = value(own, "Id");
    let of_unit = blocks.filter(|block| {
        let triggers = value(block, "Triggers");
        triggers.split_whitespace().any(|name| name == own)
    });
    let ids: BTreeSet<String> = of_unit.map(|block| value(block, "Id")).collect();
    Some(Triggers::Units(ids.into_iter().collect()))
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

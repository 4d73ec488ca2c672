//! The compiled programs and maps: opened, tied to the pinned maps, loaded.

use std::collections::VecDeque;
use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Mutex, Once, PoisonError};

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{OpenObject, PrintLevel};

use crate::error::{Error, ErrorKind};
use crate::install::layout::Layout;
use crate::install::skeleton::{OpenPortkeepSkel, PortkeepSkel, PortkeepSkelBuilder};
use crate::install::{settings, sys};

/// libbpf prints what the kernel's verifier says; kept here to become part of an error.
static LOG: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// The end of the log is what explains a refusal.
const LOG_LINES: usize = 12;

fn keep(_level: PrintLevel, message: String) {
    let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    for line in message.lines() {
        if log.len() == LOG_LINES {
            log.pop_front();
        }
        log.push_back(line.to_owned());
    }
}

/// Keeps what libbpf says off standard error, from the first call into it on.
pub fn keep_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        libbpf_rs::set_print(Some((PrintLevel::Warn, keep)));
    });
    LOG.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

fn end_of_log() -> String {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    log.iter().map(|line| format!("\n  {line}")).collect()
}

/// How many reservations the kernel part has room for.
pub const RESERVATIONS_MAX: usize = 32768;
/// How many of the reservations can name consumers.
pub const NAMING_CONSUMERS_MAX: usize = 16384;

/// The maps that are pinned, by the names that they have in `bpf/maps.h`.
pub const PINNED_MAPS: [&str; 16] = [
    "settings",
    "counters",
    "port_chunks",
    "empty_chunk",
    "occupied",
    "reservations",
    "consumers",
    "charges",
    "sockets",
    "moves",
    "subordinates",
    "watching",
    "watches",
    "events",
    "refusals",
    "enabled",
];

fn pin_all(open: &mut OpenPortkeepSkel<'_>, layout: &Layout) -> libbpf_rs::Result<()> {
    for mut map in open.open_object_mut().maps_mut() {
        let pinned = PINNED_MAPS.iter().find(|name| map.name() == **name);
        if let Some(name) = pinned {
            map.set_pin_path(layout.map(name))?;
        }
    }
    Ok(())
}

/// Loads the programs. With a layout the maps are the pinned ones, made and pinned where they are
/// not there yet; without, they are the programs' own and go with them.
pub fn load<'obj>(
    storage: &'obj mut MaybeUninit<OpenObject>,
    layout: Option<&Layout>,
) -> Result<PortkeepSkel<'obj>, Error> {
    let mut open = PortkeepSkelBuilder::default()
        .open(storage)
        .map_err(|error| Error::bpf("opening the BPF object", error))?;
    if let Some(layout) = layout {
        pin_all(&mut open, layout).map_err(|error| Error::bpf("pinning the BPF maps", error))?;
    }
    let skeleton = open.load().map_err(refused)?;
    if let Some(layout) = layout {
        for name in PINNED_MAPS {
            let path = layout.map(name);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
                .map_err(|error| Error::path("setting the mode of", &path, error))?;
        }
    }
    Ok(skeleton)
}

/// Why the kernel did not take the object.
fn refused(error: libbpf_rs::Error) -> Error {
    let log = end_of_log();
    // libbpf says so when a pinned map has another shape.
    if log.contains("couldn't reuse pinned map") {
        return settings::foreign();
    }
    // The kernel's verifier refuses programs with EACCES, too.
    if sys::require_bpf_privilege().is_err() {
        return Error::bpf("loading the BPF programs", error);
    }
    Error::new(
        ErrorKind::MissingFeature,
        format!("this kernel refuses the BPF programs{log}"),
    )
    .with_hint("please report this with the output of `uname -a`")
    .caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_those_of_the_object() {
        let mut storage = MaybeUninit::uninit();
        let open = PortkeepSkelBuilder::default().open(&mut storage);
        let open = open.expect("open the object");
        let room = |map: &str| {
            let mut maps = open.open_object().maps();
            let map = maps.find(|it| it.name() == map).expect("such a map");
            map.max_entries() as usize
        };
        assert_eq!(room("reservations"), RESERVATIONS_MAX);
        assert_eq!(room("consumers"), NAMING_CONSUMERS_MAX);
    }
}

//! The kernel's settings about automatic ports, in the network namespace of the calling thread.
//!
//! `net.ipv4.ip_local_port_range` and `net.ipv4.ip_local_reserved_ports`, which ip-sysctl.rst of the
//! kernel describes; both are of IPv4 and IPv6, TCP and UDP alike.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::ops::RangeInclusive;

use crate::error::{Error, ErrorKind};
use crate::store::files::Files;
use crate::store::port_set::PortSet;

const AUTOMATIC_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const PROTECTED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";

/// The kernel takes at most a page less one byte of one write (proc_do_large_bitmap in
/// kernel/sysctl.c), whatever the page size.
const WRITE_MAX: usize = 4095;

/// The longest list, every other port, takes 191047 bytes. The kernel gives it in one read or not
/// at all: what a second read would give is the end of the file.
const LIST_MAX: usize = 256 * 1024;

/// Others may change the list between our reading and our writing.
const ATTEMPTS: usize = 8;

/// Where automatic ports come from.
pub fn automatic_range() -> Result<RangeInclusive<u16>, Error> {
    let text = fs::read_to_string(AUTOMATIC_RANGE)
        .map_err(|error| Error::system(format!("reading {AUTOMATIC_RANGE}"), error))?;
    let mut ports = text.split_whitespace().map(str::parse);
    match (ports.next(), ports.next()) {
        (Some(Ok(low)), Some(Ok(high))) => Ok(low..=high),
        _ => Err(unknown_form(AUTOMATIC_RANGE, &text)),
    }
}

/// The ports that are never chosen automatically, whoever listed them.
pub fn protected_ports() -> Result<PortSet, Error> {
    let read = || -> io::Result<String> {
        let mut bytes = vec![0; LIST_MAX];
        let length = File::open(PROTECTED)?.read(&mut bytes)?;
        bytes.truncate(length);
        String::from_utf8(bytes).map_err(io::Error::other)
    };
    let text = read().map_err(|error| Error::system(format!("reading {PROTECTED}"), error))?;
    text.parse().map_err(|_| unknown_form(PROTECTED, &text))
}

fn unknown_form(path: &str, text: &str) -> Error {
    Error::new(
        ErrorKind::Setting,
        format!("{path} has an unknown format: {text:?}"),
    )
}

/// Adds ports to the protected ones; what else is listed stays, also what others write meanwhile: a
/// write that does not begin at the start of the file adds to the list instead of replacing it
/// (proc_do_large_bitmap in kernel/sysctl.c, since Linux 2.6.34).
pub(crate) fn add_protected(files: &dyn Files, ports: &PortSet) -> Result<(), Error> {
    settle(|listed| {
        let missing = ports.difference(listed);
        if missing.is_empty() {
            return Ok(false);
        }
        write_pieces(files, &missing.to_string(), 1).map(|()| true)
    })
}

/// Takes ports away from the protected ones; what else is listed stays protected all the time.
///
/// To take ports away the list must be replaced, for the kernel has no other way, and it does so with
/// one write alone: the ports that a second write would bring were unprotected in between. So the
/// ports stay where [`can_be_removed`] says no.
pub(crate) fn remove_protected(files: &dyn Files, ports: &PortSet) -> Result<(), Error> {
    settle(|listed| {
        if ports.intersection(listed).is_empty() || !can_be_removed(listed, ports) {
            return Ok(false);
        }
        write_pieces(files, &listed.difference(ports).to_string(), 0).map(|()| true)
    })
}

/// Whether what is left of a list without some ports goes into one write.
pub(crate) fn can_be_removed(listed: &PortSet, ports: &PortSet) -> bool {
    pieces(&listed.difference(ports).to_string()).len() == 1
}

/// Reads and writes the list until there is nothing to write.
fn settle(write: impl Fn(&PortSet) -> io::Result<bool>) -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        let wrote = write(&protected_ports()?)
            .map_err(|error| Error::system(format!("writing {PROTECTED}"), error))?;
        if !wrote {
            return Ok(());
        }
    }
    Err(Error::new(
        ErrorKind::Setting,
        format!("{PROTECTED} does not contain what was written to it"),
    )
    .with_hint("another program seems to keep writing to it; stop that program and try again"))
}

/// Through one open file: the first piece at offset 0 replaces the list, the others add to it.
fn write_pieces(files: &dyn Files, list: &str, mut offset: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(PROTECTED)?;
    for piece in pieces(list) {
        let piece = format!("{piece}\n");
        let taken = files.write_setting(&file, piece.as_bytes(), offset)?;
        if taken != piece.len() {
            return Err(io::Error::from(io::ErrorKind::WriteZero));
        }
        offset += taken as u64;
    }
    Ok(())
}

/// The list cut at commas into pieces that the kernel takes in one write; of an empty list one
/// empty piece.
fn pieces(list: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = list;
    // A line feed follows each piece.
    while rest.len() >= WRITE_MAX {
        let end = rest[..WRITE_MAX].rfind(',').unwrap_or(rest.len());
        pieces.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(',');
    }
    pieces.push(rest);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_cut_between_its_ports() {
        assert_eq!(pieces(""), [""]);
        assert_eq!(pieces("1,3-5"), ["1,3-5"]);
        let mut every_other = PortSet::new();
        (1..=u16::MAX)
            .step_by(2)
            .for_each(|port| every_other.insert(port..=port));
        let list = every_other.to_string();
        let pieces = pieces(&list);
        assert!(pieces.iter().all(|piece| piece.len() < WRITE_MAX));
        assert_eq!(pieces.join(","), list);
    }

    /// What is left decides, not what goes: also a long list gets short at once.
    #[test]
    fn a_list_is_replaced_by_one_write_or_not_at_all() {
        let mut every_other = PortSet::new();
        (10001..=20001)
            .step_by(2)
            .for_each(|port| every_other.insert(port..=port));
        let (one, all) = (PortSet::from(10001..=10001), PortSet::from(10001..=20001));
        assert!(!can_be_removed(&every_other, &one));
        assert!(can_be_removed(&every_other, &all));
        let short = PortSet::from(1..=65535);
        assert!(can_be_removed(&short, &one));
    }

    #[test]
    fn this_machines_settings_are_understood() {
        let automatic = automatic_range().expect("a range");
        assert!(automatic.start() <= automatic.end());
        protected_ports().expect("a list");
    }
}

//! The kernel's settings about automatic ports, in the network namespace of the calling thread.
//!
//! `net.ipv4.ip_local_port_range` and `net.ipv4.ip_local_reserved_ports`, which ip-sysctl.rst of the
//! kernel describes; both are of IPv4 and IPv6, TCP and UDP alike.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::ops::RangeInclusive;

use crate::error::{Error, ErrorKind};
use crate::files::Files;
use crate::port_set::PortSet;

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
        format!("{path} has an unknown form: {text:?}"),
    )
}

/// Adds ports to the protected ones and takes others away; what else is listed stays.
///
/// What others write at the same time is kept where the kernel allows it: ports are added without
/// replacing the list. To take ports away the list must be replaced, for the kernel has no other way.
pub(crate) fn change_protected(
    files: &dyn Files,
    add: &PortSet,
    remove: &PortSet,
) -> Result<(), Error> {
    let failed = |error| Error::system(format!("writing {PROTECTED}"), error);
    for attempt in 0..ATTEMPTS {
        let listed = protected_ports()?;
        let missing = add.difference(&listed);
        let only_missing = remove.intersection(&listed).is_empty();
        if missing.is_empty() && only_missing {
            return Ok(());
        }
        if only_missing && attempt < ATTEMPTS / 2 {
            add_to_list(files, &missing).map_err(failed)?;
        } else {
            replace_list(files, &listed.difference(remove).union(add)).map_err(failed)?;
        }
    }
    Err(Error::new(
        ErrorKind::Setting,
        format!("{PROTECTED} is not what was written to it"),
    )
    .with_hint("another program seems to write it all the time; stop that, and try again"))
}

/// A write that does not begin at the start of the file adds to the list instead of replacing it
/// (proc_do_large_bitmap in kernel/sysctl.c, since Linux 2.6.34).
fn add_to_list(files: &dyn Files, ports: &PortSet) -> io::Result<()> {
    write_pieces(files, &ports.to_string(), 1)
}

fn replace_list(files: &dyn Files, ports: &PortSet) -> io::Result<()> {
    write_pieces(files, &ports.to_string(), 0)
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

    #[test]
    fn this_machines_settings_are_understood() {
        let automatic = automatic_range().expect("a range");
        assert!(automatic.start() <= automatic.end());
        protected_ports().expect("a list");
    }
}

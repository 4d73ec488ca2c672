//! What is in the way of a reservation, by name.

use portkeep::{Consumer, Entry, PortRange};

use crate::error::{Error, ErrorKind};
use crate::store::document::{Document, Record};
use crate::store::keeper::{FindSockets, Kind, Stranger};
use crate::store::kernel::{Live, is_persistent, overlap};
use crate::store::names::user_name;
use crate::store::scope::Scope;

/// Refuses ports that others have.
pub fn refuse_overlaps(
    document: &Document,
    live: &Live,
    wanted_kind: Kind,
    wanted: &Record,
    cookie: u64,
) -> Result<(), Error> {
    let ports = wanted.ports;
    for kind in [Kind::Reservation, Kind::Exclusion] {
        let overlapping = document.records(kind).iter().find(|record| {
            let same_place = record.netns == wanted.netns || record.netns == Scope::Every;
            let itself = kind == wanted_kind && record.is_at(wanted);
            same_place && !itself && overlap(record.ports, ports).is_some()
        });
        if let Some(record) = overlapping {
            return Err(refuse(ports, record.ports, &words(kind, record)));
        }
    }
    // One in the kernel alone, as a crash or another program leaves it, becomes the wanted one.
    let mut others = live.overlapping(ports).filter(|entry| {
        (entry.netns_cookie, entry.range) != (cookie, ports) || !is_persistent(entry)
    });
    match others.next() {
        Some(entry) => Err(refuse(ports, entry.range, &entry_words(entry))),
        None => Ok(()),
    }
}

pub fn refuse(ports: PortRange, other: PortRange, words: &str) -> Error {
    let message = if ports == other {
        format!("{other} is {words}")
    } else {
        format!("{ports} overlaps {other}, which is {words}")
    };
    Error::new(ErrorKind::Reserved, message)
        .with_hint("choose other ports, or free these; `portkeep ls` shows all reservations")
}

/// As in `reserved for user asterisk ("RTP")`, or `reserved by fleet prod, policy rtp`.
pub fn words(kind: Kind, record: &Record) -> String {
    let mut words = match (kind, &record.fleet) {
        (Kind::Exclusion, None) => "excluded".to_owned(),
        (Kind::Exclusion, Some(tag)) => format!("excluded by {}", tag.owner()),
        (Kind::Reservation, None) => format!("reserved for {}", record.consumers_in_words()),
        (Kind::Reservation, Some(tag)) => format!("reserved by {}", tag.owner()),
    };
    if let Some(comment) = &record.comment {
        words += &format!(" ({comment:?})");
    }
    words
}

pub fn entry_words(entry: &Entry) -> String {
    if is_persistent(entry) {
        return "reserved in the kernel part, but not in the store".to_owned();
    }
    format!(
        "reserved by process {} ({}), user {}",
        entry.owner.pid,
        entry.owner.command,
        user_name(entry.owner.uid)
    )
}

/// Refuses if strangers have sockets in the blocks; else whether the consumers have.
pub fn find_strangers(
    records: &[Record],
    consumers: &[Consumer],
    sockets: Option<&dyn FindSockets>,
) -> Result<bool, Error> {
    let Some(sockets) = sockets else {
        return Ok(false);
    };
    let (mut adopt, mut lines) = (false, Vec::new());
    for record in records {
        let found = sockets.find(record.ports, consumers).map_err(|error| {
            Error::new(
                ErrorKind::System,
                format!("cannot find the sockets in {}: {error}", record.ports),
            )
        })?;
        adopt |= found.of_consumers > 0;
        lines.extend(found.of_strangers.iter().map(Stranger::to_string));
    }
    if lines.is_empty() {
        return Ok(adopt);
    }
    let ranges: Vec<_> = records
        .iter()
        .map(|record| record.ports.to_string())
        .collect();
    let message = format!(
        "sockets are in the way in {}; nothing is changed:\n  {}",
        ranges.join(" and "),
        lines.join("\n  ")
    );
    Err(Error::new(ErrorKind::InUse, message)
        .with_hint("stop these programs, choose other ports, or name their users"))
}

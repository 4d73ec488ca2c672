//! The text of `reservations.toml`, which administrators write with an editor and Portkeep with its
//! commands: read, and changed where it has to be.

use std::path::Path;

use serde::Deserialize;
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value};

use crate::error::{Error, ErrorKind};
use crate::store::document::{Document, Record, parse};
use crate::store::keeper::Kind;
use crate::store::kernel::overlap;
use crate::store::notes::{Notes, Pending, Protected};
use crate::store::obstacles::words;
use crate::store::scope::Scope;

/// The last version of the format that this crate writes and reads. Version 2 has `source`, version 3 has
/// `fleet`. A file is written as the first version that has what is in it, so that an earlier Portkeep reads
/// it once that is gone.
const VERSION: u32 = 3;

/// What to write a document as.
fn version_of(document: &Document) -> u32 {
    let needed = |(_, record): (Kind, &Record)| match record {
        Record { fleet: Some(_), .. } => 3,
        Record {
            source: Some(_), ..
        } => 2,
        _ => 1,
    };
    document.with_kinds().map(needed).max().unwrap_or(1)
}

const FRESH: &str = "\
# Portkeep's persistent reservations and exclusions. The commands reserve, unreserve, exclude and
# include of portkeep change it; `portkeep enable` makes the kernel agree with it.

version = 1
";

/// What the file has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Entries {
    #[expect(dead_code, reason = "checked when it is read")]
    version: u32,
    #[serde(default, rename = "reservation")]
    reservations: Vec<Record>,
    #[serde(default, rename = "exclusion")]
    exclusions: Vec<Record>,
    /// The notes have a file of their own now; these were in it before.
    home: Option<Scope>,
    #[serde(default)]
    protected: Vec<Protected>,
    #[serde(default)]
    pending: Vec<Pending>,
}

const FORMER_NOTES: [&str; 3] = ["home", "protected", "pending"];

impl Entries {
    /// Reads the text of a file. Entries that overlap are refused.
    pub fn parse(text: &str) -> Result<Entries, Error> {
        let entries: Entries = parse(text, VERSION)?;
        entries.refuse_overlaps(text)?;
        Ok(entries)
    }

    pub fn has_notes(&self) -> bool {
        self.home.is_some() || !self.protected.is_empty() || !self.pending.is_empty()
    }

    /// With the notes, which may be those that the file has.
    pub fn with_notes(self, notes: Option<Notes>) -> Document {
        Document {
            reservations: self.reservations,
            exclusions: self.exclusions,
            notes: notes.unwrap_or_else(|| Notes {
                home: self.home,
                protected: self.protected,
                pending: self.pending,
                ..Notes::default()
            }),
        }
    }

    /// What holds in every network namespace may overlap what holds in one: there the older counts.
    fn refuse_overlaps(&self, text: &str) -> Result<(), Error> {
        let of = |kind: Kind, records: &'_ [Record]| {
            (0..records.len())
                .map(move |index| (kind, index))
                .collect::<Vec<_>>()
        };
        let record = |(kind, index): (Kind, usize)| match kind {
            Kind::Reservation => &self.reservations[index],
            Kind::Exclusion => &self.exclusions[index],
        };
        let mut all = of(Kind::Reservation, &self.reservations);
        all.extend(of(Kind::Exclusion, &self.exclusions));
        all.sort_by_key(|entry| {
            let Record { netns, ports, .. } = record(*entry);
            (netns, ports.protocol().number(), ports.start(), ports.end())
        });
        let overlapping = all.windows(2).find(|pair| {
            let (one, other) = (record(pair[0]), record(pair[1]));
            one.netns == other.netns && overlap(one.ports, other.ports).is_some()
        });
        let Some(pair) = overlapping else {
            return Ok(());
        };
        let all_lines = Lines::of(text);
        let mut lines: Vec<_> = pair
            .iter()
            .map(|entry| (all_lines.line(entry.0, entry.1), *entry))
            .collect();
        lines.sort_by_key(|(line, _)| *line);
        let named: Vec<_> = lines
            .into_iter()
            .map(|(line, entry)| {
                let record = record(entry);
                format!("line {line} ({}, {})", record.ports, words(entry.0, record))
            })
            .collect();
        Err(Error::new(ErrorKind::Overlap, named.join(" overlaps ")))
    }
}

/// The lines that the ports of the entries of a file are in, by kind.
#[derive(Debug, Default)]
pub struct Lines {
    reservations: Vec<usize>,
    exclusions: Vec<usize>,
}

impl Lines {
    pub fn of(text: &str) -> Lines {
        #[derive(Deserialize)]
        struct Spans {
            #[serde(default)]
            reservation: Vec<Span>,
            #[serde(default)]
            exclusion: Vec<Span>,
        }
        #[derive(Deserialize)]
        struct Span {
            ports: toml::Spanned<String>,
        }
        let Ok(spans) = toml::from_str::<Spans>(text) else {
            return Lines::default();
        };
        let starts: Vec<usize> = [0]
            .into_iter()
            .chain(text.match_indices('\n').map(|(index, _)| index + 1))
            .collect();
        let line = |span: &Span| starts.partition_point(|start| *start <= span.ports.span().start);
        Lines {
            reservations: spans.reservation.iter().map(line).collect(),
            exclusions: spans.exclusion.iter().map(line).collect(),
        }
    }

    /// The line of the entry of this number among those of its kind.
    pub fn line(&self, kind: Kind, index: usize) -> usize {
        let lines = match kind {
            Kind::Reservation => &self.reservations,
            Kind::Exclusion => &self.exclusions,
        };
        lines.get(index).copied().unwrap_or(1)
    }
}

/// The text with the records of a document: tables of records that stay are left as they are, with
/// their comments and their order.
pub fn render(text: Option<&str>, document: &Document) -> Result<String, Error> {
    let damaged = |error: String| Error::new(ErrorKind::Damaged, error);
    let text = text.unwrap_or(FRESH);
    let old = Entries::parse(text)?;
    let mut toml: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| damaged(error.to_string()))?;
    for key in FORMER_NOTES {
        toml.remove(key);
    }
    set(
        &mut toml,
        "version",
        Some(i64::from(version_of(document)).into()),
    );
    let mut comments = Vec::new();
    for (key, old, kind) in [
        ("reservation", &old.reservations, Kind::Reservation),
        ("exclusion", &old.exclusions, Kind::Exclusion),
    ] {
        let item = toml.remove(key).unwrap_or_default();
        let tables = if item.is_none() {
            ArrayOfTables::new()
        } else {
            item.into_array_of_tables()
                .map_err(|_| damaged(format!("{key} is not an array of tables")))?
        };
        let tables = change(tables, old, document.records(kind), &mut comments);
        if !tables.is_empty() {
            toml.insert(key, Item::ArrayOfTables(tables));
        }
    }
    // Last to first, so that several before one table keep their order.
    while let Some((position, comment)) = comments.pop() {
        put_before_next(&mut toml, position, comment);
    }
    Ok(toml.to_string())
}

/// Where a table is, among all of them.
type Position = Option<isize>;

/// A table becomes the part that is left of its record, or several. What goes leaves the comments
/// that do not stand directly above it.
fn change(
    tables: ArrayOfTables,
    old: &[Record],
    wanted: &[Record],
    comments: &mut Vec<(Position, String)>,
) -> ArrayOfTables {
    let mut wanted: Vec<&Record> = wanted.iter().collect();
    let mut changed = ArrayOfTables::new();
    for (table, old) in tables.into_iter().zip(old) {
        let is_part = |record: &&Record| {
            record.netns == old.netns && overlap(record.ports, old.ports) == Some(record.ports)
        };
        let mut parts: Vec<&Record> = wanted.extract_if(.., |record| is_part(record)).collect();
        parts.sort_by_key(|record| record.ports);
        // One that has grown or moved.
        if parts.is_empty() {
            let goes_on = |record: &&&Record| {
                record.netns == old.netns && overlap(record.ports, old.ports).is_some()
            };
            let index = wanted.iter().position(|record| goes_on(&record));
            parts.extend(index.map(|index| wanted.remove(index)));
        }
        if parts.is_empty() {
            comments.extend(comments_of(&table).map(|comment| (table.position(), comment)));
        }
        for (index, record) in parts.into_iter().enumerate() {
            let mut part = table.clone();
            if index > 0 {
                part.decor_mut().set_prefix("\n");
            }
            update(&mut part, old, record);
            changed.push(part);
        }
    }
    for record in wanted {
        let mut table = Table::new();
        let nothing = Record {
            ports: record.ports,
            netns: Scope::Home,
            users: Vec::new(),
            groups: Vec::new(),
            cgroups: Vec::new(),
            comment: None,
            source: None,
            fleet: None,
        };
        table["ports"] = toml_edit::value(record.ports.to_string());
        update(&mut table, &nothing, record);
        changed.push(table);
    }
    changed
}

fn update(table: &mut Table, old: &Record, new: &Record) {
    if old.ports != new.ports {
        set(table, "ports", Some(new.ports.to_string().into()));
    }
    if old.netns != new.netns {
        let netns = (!new.netns.is_home()).then(|| new.netns.to_string().into());
        set(table, "netns", netns);
    }
    for (key, old, new) in [
        ("users", &old.users, &new.users),
        ("groups", &old.groups, &new.groups),
        ("cgroups", &old.cgroups, &new.cgroups),
    ] {
        if old != new {
            let names: Array = new.iter().collect();
            set(table, key, (!names.is_empty()).then(|| names.into()));
        }
    }
    if old.comment != new.comment {
        let comment = new.comment.as_ref();
        set(table, "comment", comment.map(|comment| comment.into()));
    }
    if old.source != new.source {
        let source = new.source.as_deref().and_then(Path::to_str);
        set(table, "source", source.map(|source| source.into()));
    }
    if old.fleet != new.fleet {
        let fleet = new.fleet.as_ref().map(|fleet| fleet.to_string().into());
        set(table, "fleet", fleet);
    }
}

/// What stands around the old value, such as a comment behind it, stands around the new one.
fn set(table: &mut Table, key: &str, value: Option<Value>) {
    let Some(mut value) = value else {
        table.remove(key);
        return;
    };
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        None => {
            table.insert(key, Item::Value(value));
        }
    }
}

/// What stands above a table, but for the last paragraph: that is about the table.
fn comments_of(table: &Table) -> Option<String> {
    let above = table.decor().prefix()?.as_str()?;
    let lines: Vec<&str> = above.split_inclusive('\n').collect();
    let last_blank = lines.iter().rposition(|line| line.trim().is_empty())?;
    let kept = lines[..last_blank].concat();
    kept.contains('#').then_some(kept)
}

/// Puts comments above the next table in the file, or at its end.
fn put_before_next(toml: &mut DocumentMut, position: Position, comment: String) {
    let next = ["reservation", "exclusion"]
        .into_iter()
        .filter_map(|key| Some((key, toml.get(key)?.as_array_of_tables()?)))
        .flat_map(|(key, tables)| {
            let positions = tables.iter().map(Table::position).enumerate();
            positions.map(move |(index, position)| (position, key, index))
        })
        .filter(|(other, _, _)| *other > position)
        .min();
    let next = next
        .and_then(|(_, key, index)| toml.get_mut(key)?.as_array_of_tables_mut()?.get_mut(index));
    match next {
        Some(table) => {
            let above = table.decor().prefix().and_then(|prefix| prefix.as_str());
            let above = format!("{comment}{}", above.unwrap_or("\n"));
            table.decor_mut().set_prefix(above);
        }
        None => {
            let end = toml.trailing().as_str().unwrap_or_default().to_owned();
            toml.set_trailing(format!("{comment}{end}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portkeep::{PortRange, Protocol};
    use proptest::collection::vec;
    use proptest::prelude::*;

    const TEXT: &str = r#"# Ours, see wiki/ports.
version = 1   # of the format

# ---- telephony ----

# All of RTP.
[[reservation]]
comment = "RTP, \"media\""
ports   = "10000-20000/udp"   # wide
users   = [
    "asterisk",   # runs as this
]

# ---- web ----

# In all containers.
[[exclusion]]
ports = "8080/tcp"
netns = "every"

[[reservation]]
ports = "8000-8009/tcp"
# the end
"#;

    fn record(ports: &str) -> Record {
        Record {
            ports: ports.parse().expect("a range"),
            netns: Scope::Home,
            users: Vec::new(),
            groups: Vec::new(),
            cgroups: Vec::new(),
            comment: None,
            source: None,
            fleet: None,
        }
    }

    fn document(text: &str) -> Document {
        Entries::parse(text).expect("entries").with_notes(None)
    }

    #[test]
    fn are_read() {
        let document = document(TEXT);
        let expected = Record {
            users: vec!["asterisk".to_owned()],
            comment: Some("RTP, \"media\"".to_owned()),
            ..record("10000-20000/udp")
        };
        assert_eq!(document.reservations[0], expected);
        assert_eq!(document.exclusions[0].netns, Scope::Every);
    }

    #[test]
    fn a_later_version_and_damage_are_told_apart() {
        let kind = |text: &str| Entries::parse(text).expect_err("refused").kind();
        assert_eq!(kind("version = 4\nlater = true\n"), ErrorKind::NewerVersion);
        for text in [
            "",
            "version = 1\nlater = true\n",
            "version = -1\n",
            "version = 1\n[[reservation]]\nports = \"1-2/sctp\"\n",
            "version = 1\n[[reservation]]\nports = \"9-2/tcp\"\n",
            "version = 1\n[[reservation]]\nports = \"1/tcp\"\nlater = 1\n",
            &TEXT[..TEXT.len() - 14],
            "\0\0\0\0",
        ] {
            assert_eq!(kind(text), ErrorKind::Damaged, "{text:?}");
        }
    }

    #[test]
    fn those_that_overlap_are_named_with_their_lines() {
        for (ports, netns, named) in [
            (
                "8009-8010/tcp",
                "",
                Some(
                    "line 22 (8000-8009/tcp, reserved for associated sockets of administrators) \
                     overlaps line 25 (8009-8010/tcp, excluded)",
                ),
            ),
            (
                "1-65535/udp",
                "",
                Some(
                    "line 9 (10000-20000/udp, reserved for user asterisk (\"RTP, \\\"media\\\"\")) \
                     overlaps line 25 (1-65535/udp, excluded)",
                ),
            ),
            (
                "8080/tcp",
                "netns = \"every\"\n",
                Some("line 18 (8080/tcp, excluded) overlaps line 25 (8080/tcp, excluded)"),
            ),
            ("8080/tcp", "", None),
            ("8009-8010/udp", "", None),
            ("8010/tcp", "", None),
            ("8009/tcp", "netns = \"/run/netns/blue\"\n", None),
        ] {
            let text = format!("{TEXT}[[exclusion]]\nports = \"{ports}\"\n{netns}");
            let error = Entries::parse(&text).err().map(|error| {
                assert_eq!(error.kind(), ErrorKind::Overlap);
                error.to_string()
            });
            assert_eq!(error.as_deref(), named, "{ports}");
        }
    }

    #[test]
    fn notes_of_earlier_versions_are_taken_out() {
        let text = "version = 1\nhome = \"1@6f1c\"\n\n# kept\n[[reservation]]\nports = \"1/tcp\"\n\n\
                    [[protected]]\nnetns = \"1@6f1c\"\nports = \"40000\"\n\n\
                    [[pending]]\nports = \"2/tcp\"\nnetns = \"1@6f1c\"\n";
        let entries = Entries::parse(text).expect("entries");
        assert!(entries.has_notes());
        let document = entries.with_notes(None);
        assert!(document.notes.home.is_some());
        assert!(document.notes.protected[0].ports.contains(40000));
        assert_eq!(document.notes.pending.len(), 1);
        assert_eq!(
            render(Some(text), &document).expect("text"),
            "version = 1\n\n# kept\n[[reservation]]\nports = \"1/tcp\"\n"
        );
    }

    #[test]
    fn what_does_not_change_stays_as_it_was_written() {
        assert_eq!(render(Some(TEXT), &document(TEXT)).expect("text"), TEXT);
    }

    #[test]
    fn a_part_takes_the_place_of_the_whole() {
        let mut document = document(TEXT);
        let whole = document.reservations.remove(0);
        for ports in ["10006-20000/udp", "10000-10003/udp"] {
            document.reservations.push(Record {
                ports: ports.parse().expect("a range"),
                ..whole.clone()
            });
        }
        let text = render(Some(TEXT), &document).expect("text");
        let table = |ports: &str| {
            format!(
                "[[reservation]]\ncomment = \"RTP, \\\"media\\\"\"\nports   = \"{ports}\"   # wide\n\
                 users   = [\n    \"asterisk\",   # runs as this\n]\n\n"
            )
        };
        let (before, after) = TEXT.split_once(&table("10000-20000/udp")).expect("a table");
        let (first, second) = (table("10000-10003/udp"), table("10006-20000/udp"));
        assert_eq!(text, format!("{before}{first}{second}{after}"));
    }

    #[test]
    fn comments_that_are_not_about_it_survive_a_table() {
        let mut document = document(TEXT);
        document.reservations.remove(0);
        let text = render(Some(TEXT), &document).expect("text");
        assert!(
            text.starts_with(
                "# Ours, see wiki/ports.\nversion = 1   # of the format\n\n\
                 # ---- telephony ----\n\n# ---- web ----\n\n# In all containers.\n[[exclusion]]\n"
            ),
            "{text}"
        );
        document.reservations.clear();
        document.exclusions.clear();
        let text = render(Some(&text), &document).expect("text");
        assert_eq!(
            text,
            "# Ours, see wiki/ports.\nversion = 1   # of the format\n\n\
             # ---- telephony ----\n\n# ---- web ----\n# the end\n"
        );
        document.reservations.push(record("1/tcp"));
        let text = render(Some(&text), &document).expect("text");
        assert_eq!(self::document(&text), document);
        assert!(text.contains("# ---- web ----"), "{text}");
    }

    #[test]
    fn a_comment_changes_and_goes() {
        let mut document = document(TEXT);
        document.reservations[0].comment = Some("new".to_owned());
        let text = render(Some(TEXT), &document).expect("text");
        assert_eq!(text, TEXT.replace("RTP, \\\"media\\\"", "new"));
        document.reservations[0].comment = None;
        let text = render(Some(&text), &document).expect("text");
        assert_eq!(self::document(&text), document);
    }

    #[test]
    fn inline_tables_are_understood() {
        let text =
            "version = 1\nreservation = [ { ports = \"1/tcp\" }, { ports = \"5-9/tcp\" } ]\n";
        let mut document = document(text);
        document.reservations.remove(0);
        document.exclusions.push(record("80/udp"));
        let text = render(Some(text), &document).expect("text");
        assert_eq!(self::document(&text), document);
    }

    proptest! {
        #[test]
        fn any_text(text in "\\PC*") {
            let _ = Entries::parse(&text);
        }

        #[test]
        fn any_words_survive(words: Vec<String>, comment: Option<String>, start in 1..=u16::MAX) {
            let ports = PortRange::new(Protocol::Tcp, start, u16::MAX)?;
            let reservation = Record { ports, users: words, comment, ..record("1/tcp") };
            let document = Document { reservations: vec![reservation], ..Document::default() };
            let text = render(None, &document).map_err(|error| TestCaseError::fail(error.to_string()))?;
            let read = Entries::parse(&text).map(|entries| entries.with_notes(None));
            prop_assert_eq!(read.ok(), Some(document));
        }

        /// Whatever is made of the file by one change after the other, it has what it should have.
        #[test]
        fn any_changes(changes in vec(any::<(u16, u16, bool, bool)>(), 0..12)) {
            let mut text = TEXT.to_owned();
            for (start, count, exclusion, cut) in changes {
                let mut document = document(&text);
                let start = start.max(1);
                let ports = PortRange::new(Protocol::Tcp, start, start.saturating_add(count / 64))?;
                let mut left = Vec::new();
                for kind in [Kind::Reservation, Kind::Exclusion] {
                    let records = document.records_mut(kind);
                    for record in std::mem::take(records) {
                        if overlap(record.ports, ports).is_none() {
                            left.push((kind, record));
                            continue;
                        }
                        left.extend(crate::store::kernel::remainder(record.ports, ports).map(|ports| {
                            (kind, Record { ports, ..record.clone() })
                        }));
                    }
                }
                if !cut {
                    let kind = if exclusion { Kind::Exclusion } else { Kind::Reservation };
                    left.push((kind, Record { ports, ..record("1/tcp") }));
                }
                for (kind, record) in left {
                    document.records_mut(kind).push(record);
                }
                text = render(Some(&text), &document)
                    .map_err(|error| TestCaseError::fail(error.to_string()))?;
                let mut read = self::document(&text);
                for document in [&mut read, &mut document] {
                    document.reservations.sort_by_key(|record| record.ports);
                    document.exclusions.sort_by_key(|record| record.ports);
                }
                prop_assert_eq!(&read, &document);
                prop_assert!(text.contains("# ---- telephony ----"), "{}", text);
                prop_assert!(text.contains("# Ours, see wiki/ports."), "{}", text);
            }
        }
    }
}

//! `portkeep ls`: the reservations.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use portkeep::{Entry, EntryKind};
use portkeep_store::{Contents, Record};
use serde::Serialize;

use crate::cli::Locations;
use crate::clock::Moment;
use crate::netns_argument::NetnsArgument;
use crate::printable::printable;
use crate::reservation_document::{
    ReservationDocument, is_everywhere, is_exclusion, may_bind_in_words,
};
use crate::{table, users};

/// List the reservations
///
/// MAY-BIND says who can bind in the block: sockets that the owner has associated with the
/// reservation always can; `process` means the owning process too, `tree` its descendants also.
/// Persistent reservations name users, groups and cgroups; of excluded ports `everybody` can bind.
#[derive(Debug, Args)]
pub struct Ls {
    /// The reservations of every network namespace, not only of this one
    #[arg(long)]
    all_namespaces: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    netns: NetnsArgument,
}

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    reservations: Vec<ReservationDocument>,
}

impl Ls {
    pub fn execute(&self, locations: &Locations) -> anyhow::Result<ExitCode> {
        self.netns.enter()?;
        let own = portkeep::netns_cookie().context("cannot identify the network namespace")?;
        let mut entries = portkeep::list()?;
        if !self.all_namespaces {
            entries.retain(|entry| entry.netns_cookie == own || is_everywhere(entry));
        }
        entries.sort_by_key(|entry| (entry.netns_cookie, entry.range));
        // The kernel part is the truth, also where the store cannot be read.
        let contents = locations.keeper().contents().ok();
        let rows = entries
            .iter()
            .map(|entry| (entry, record(entry, contents.as_ref(), own)))
            .collect::<Vec<_>>();
        if self.json {
            print_json(&rows)?
        } else {
            self.print_table(&rows)?
        }
        Ok(ExitCode::SUCCESS)
    }

    fn print_table(&self, entries: &[(&Entry, Option<&Record>)]) -> anyhow::Result<()> {
        let header = [
            "PROTO", "PORTS", "OWNER", "COMMAND", "USER", "SINCE", "MAY-BIND", "NETNS", "COMMENT",
        ];
        let mut rows = vec![header.map(str::to_owned)];
        rows.extend(entries.iter().map(|(entry, record)| row(entry, *record)));
        if !self.all_namespaces {
            rows.iter_mut().for_each(|row| row[7].clear());
        }
        if rows[1..].iter().all(|row| row[8].is_empty()) {
            rows[0][8].clear();
        }
        Ok(table::write(&mut io::stdout().lock(), &rows)?)
    }
}

/// What the store has about a reservation of this network namespace.
fn record<'c>(entry: &Entry, contents: Option<&'c Contents>, own: u64) -> Option<&'c Record> {
    contents
        .filter(|_| entry.kind == EntryKind::Persistent)
        .filter(|_| entry.netns_cookie == own || is_everywhere(entry))
        .and_then(|contents| contents.record(entry.range))
}

fn row(entry: &Entry, record: Option<&Record>) -> [String; 9] {
    let range = entry.range;
    let ports = match range.count() {
        1 => range.start().to_string(),
        _ => format!("{}-{}", range.start(), range.end()),
    };
    let [owner, command, user] = match entry.kind {
        EntryKind::Runtime => [
            entry.owner.pid.to_string(),
            entry.owner.command.clone(),
            users::name(entry.owner.uid),
        ],
        _ if is_exclusion(entry) => ["excluded", "-", "-"].map(str::to_owned),
        _ => ["persistent", "-", "-"].map(str::to_owned),
    };
    let netns = match entry.netns_cookie {
        _ if is_everywhere(entry) => "every".to_owned(),
        cookie => cookie.to_string(),
    };
    [
        range.protocol().to_string(),
        ports,
        owner,
        command,
        user,
        Moment::before_now(entry.age()).local(),
        may_bind_in_words(entry, record),
        netns,
        record
            .and_then(|record| record.comment.as_deref())
            .map(printable)
            .unwrap_or_default(),
    ]
}

fn print_json(entries: &[(&Entry, Option<&Record>)]) -> anyhow::Result<()> {
    let reservations = entries
        .iter()
        .map(|(entry, record)| ReservationDocument::new(entry, *record))
        .collect();
    let document = Document {
        schema: 1,
        reservations,
    };
    writeln!(
        io::stdout().lock(),
        "{}",
        serde_json::to_string_pretty(&document)?
    )?;
    Ok(())
}

//! `portkeep ls`: the reservations.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use portkeep::{Entry, EntryKind, ErrorKind, HeldEntry, PortRange};
use portkeep_admin::{Contents, Installation, Record, user_name};
use serde::Serialize;

use crate::arguments::netns::NetnsArgument;
use crate::error::{Context as _, Result};
use crate::locations::list;
use crate::output::{json, printable, write_table};
use crate::reservation_document::{
    HELD, ReservationDocument, is_everywhere, is_exclusion, may_bind_in_words,
};
use crate::words::Moment;

/// List the reservations
///
/// MAY-BIND says who can bind in the block: sockets that the owner has associated with the
/// reservation always can; `process` means the owning process too, `tree` its descendants also.
/// Persistent reservations name users, groups and cgroups; of excluded ports `everybody` can bind.
/// `held` marks ports that a process of yours holds by sockets, without the kernel part.
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

/// A reservation, by what keeps it.
#[derive(Debug)]
enum Listed {
    /// With what the store has about it.
    Kernel(Entry, Option<Record>),
    Held(HeldEntry),
}

impl Listed {
    /// The network namespace and the ports.
    fn key(&self) -> (u64, PortRange) {
        match self {
            Self::Kernel(entry, _) => (entry.netns_cookie, entry.range),
            Self::Held(entry) => (entry.netns_cookie, entry.range),
        }
    }

    fn is_of(&self, netns_cookie: u64) -> bool {
        self.key().0 == netns_cookie
            || matches!(self, Self::Kernel(entry, _) if is_everywhere(entry))
    }

    fn document(&self) -> ReservationDocument {
        match self {
            Self::Kernel(entry, record) => ReservationDocument::new(entry, record.as_ref()),
            Self::Held(entry) => entry.into(),
        }
    }

    fn row(&self) -> [String; 9] {
        match self {
            Self::Kernel(entry, record) => kernel_row(entry, record.as_ref()),
            Self::Held(entry) => {
                let owner = &entry.owner;
                [
                    entry.range.protocol().to_string(),
                    ports(entry.range),
                    owner.pid.to_string(),
                    owner.command.clone(),
                    user_name(owner.uid),
                    Moment::before_now(entry.age()).local(),
                    HELD.to_owned(),
                    entry.netns_cookie.to_string(),
                    String::new(),
                ]
            }
        }
    }
}

impl Ls {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        self.netns.enter()?;
        let own = portkeep::netns_cookie().context("cannot identify the network namespace")?;
        let entries = match list(installation) {
            // What is held by sockets needs no kernel part.
            Err(error) if error.kind() == ErrorKind::NotEnabled => Vec::new(),
            entries => entries?,
        };
        // The kernel part is the truth, also where the store cannot be read.
        let contents = installation.keeper().contents().ok();
        let mut reservations: Vec<Listed> = entries
            .into_iter()
            .map(|entry| {
                let record = record(&entry, contents.as_ref(), own).cloned();
                Listed::Kernel(entry, record)
            })
            .chain(portkeep::list_held().into_iter().map(Listed::Held))
            .collect();
        if !self.all_namespaces {
            reservations.retain(|listed| listed.is_of(own));
        }
        reservations.sort_by_key(Listed::key);
        if self.json {
            print_json(&reservations)?
        } else {
            self.print_table(&reservations)?
        }
        Ok(ExitCode::SUCCESS)
    }

    fn print_table(&self, reservations: &[Listed]) -> Result<()> {
        let header = [
            "PROTO", "PORTS", "OWNER", "COMMAND", "USER", "SINCE", "MAY-BIND", "NETNS", "COMMENT",
        ];
        let mut rows = vec![header.map(str::to_owned)];
        rows.extend(reservations.iter().map(Listed::row));
        if !self.all_namespaces {
            rows.iter_mut().for_each(|row| row[7].clear());
        }
        if rows[1..].iter().all(|row| row[8].is_empty()) {
            rows[0][8].clear();
        }
        Ok(write_table(&mut io::stdout().lock(), &rows)?)
    }
}

/// What the store has about a reservation of this network namespace.
fn record<'c>(entry: &Entry, contents: Option<&'c Contents>, own: u64) -> Option<&'c Record> {
    contents
        .filter(|_| entry.kind == EntryKind::Persistent)
        .filter(|_| entry.netns_cookie == own || is_everywhere(entry))
        .and_then(|contents| contents.record(entry.range))
}

fn ports(range: PortRange) -> String {
    match range.count() {
        1 => range.start().to_string(),
        _ => format!("{}-{}", range.start(), range.end()),
    }
}

fn kernel_row(entry: &Entry, record: Option<&Record>) -> [String; 9] {
    let range = entry.range;
    let [owner, command, user] = match entry.kind {
        EntryKind::Runtime => [
            entry.owner.pid.to_string(),
            entry.owner.command.clone(),
            user_name(entry.owner.uid),
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
        ports(range),
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

fn print_json(reservations: &[Listed]) -> Result<()> {
    let reservations = reservations.iter().map(Listed::document).collect();
    let document = Document {
        schema: 1,
        reservations,
    };
    writeln!(io::stdout().lock(), "{}", json(&document)?)?;
    Ok(())
}

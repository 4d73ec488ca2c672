//! `portkeep ls`: the reservations.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use portkeep::{Consumer, Entry, EntryKind, ErrorKind, HeldEntry, PortRange, Protocol};
use portkeep_admin::{Contents, FleetTag, Installation, Record, user_name};
use serde::Serialize;

use crate::arguments::color::{self, ColorArgument};
use crate::arguments::filters::{PortFilter, user_ids};
use crate::arguments::netns::NetnsArgument;
use crate::error::{Context as _, Result};
use crate::locations::list;
use crate::output::{json, printable, write_styled_table, write_table};
use crate::reservation_document::{
    HELD, ReservationDocument, is_everywhere, is_exclusion, may_bind_in_words,
};
use crate::words::Moment;

/// List the reservations
///
/// For ports of `portkeep run`, COMMAND is the command that it runs. MAY-BIND says who can bind in
/// the block. Sockets that the owner has associated with the reservation always can; `process` adds
/// the owning process, `tree` its descendants as well, and `user` every process of
/// the owner's user. Persistent reservations name users, groups
/// and cgroups; OWNER names the fleet for those that a fleet has made. `everybody` can bind to excluded ports. `held` marks ports that one of your processes
/// holds by sockets, without the kernel part.
#[derive(Debug, Args)]
pub struct Ls {
    /// List the reservations of every network namespace, not only this one
    #[arg(long)]
    all_namespaces: bool,
    /// List only reservations of this user, by name or number; can be repeated
    #[arg(long, value_name = "USER", value_delimiter = ',')]
    user: Vec<String>,
    /// List only reservations with one of these ports; can be repeated
    #[arg(long, value_name = "PORT|A-B", value_delimiter = ',')]
    port: Vec<PortFilter>,
    /// List only TCP reservations
    #[arg(long)]
    tcp: bool,
    /// List only UDP reservations
    #[arg(long)]
    udp: bool,
    /// Print only these columns, in this order, as in ports,user
    #[arg(
        long,
        value_name = "COLUMN",
        value_delimiter = ',',
        conflicts_with = "json"
    )]
    columns: Vec<Column>,
    #[command(flatten)]
    color: ColorArgument,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    netns: NetnsArgument,
}

/// The columns in the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Column {
    Proto,
    Ports,
    Owner,
    Command,
    User,
    Since,
    MayBind,
    Netns,
    Comment,
}

const COLUMNS: [(Column, &str); 9] = [
    (Column::Proto, "PROTO"),
    (Column::Ports, "PORTS"),
    (Column::Owner, "OWNER"),
    (Column::Command, "COMMAND"),
    (Column::User, "USER"),
    (Column::Since, "SINCE"),
    (Column::MayBind, "MAY-BIND"),
    (Column::Netns, "NETNS"),
    (Column::Comment, "COMMENT"),
];

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    reservations: Vec<ReservationDocument>,
}

/// A reservation of either backend.
#[derive(Debug)]
enum Listed {
    /// With its record in the store.
    Kernel(Entry, Option<Box<Record>>),
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

    /// Whether a user owns it, or may bind there by its name.
    fn is_of_user(&self, uid: u32) -> bool {
        match self {
            Self::Kernel(entry, _) if entry.kind == EntryKind::Persistent => {
                entry.named.contains(&Consumer::User(uid))
            }
            Self::Kernel(entry, _) => entry.owner.uid == uid,
            Self::Held(entry) => entry.owner.uid == uid,
        }
    }

    fn document(&self) -> ReservationDocument {
        match self {
            Self::Kernel(entry, record) => ReservationDocument::new(entry, record.as_deref()),
            Self::Held(entry) => entry.into(),
        }
    }

    fn row(&self) -> [String; 9] {
        match self {
            Self::Kernel(entry, record) => kernel_row(entry, record.as_deref()),
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
            // Ports can be held by sockets without the kernel part.
            Err(error) if error.kind() == ErrorKind::NotEnabled => Vec::new(),
            entries => entries?,
        };
        // The kernel part is the truth, even if the store cannot be read.
        let contents = installation.keeper().contents().ok();
        let mut reservations: Vec<Listed> = entries
            .into_iter()
            .map(|entry| {
                let record = record(&entry, contents.as_ref(), own).cloned();
                Listed::Kernel(entry, record.map(Box::new))
            })
            .chain(portkeep::list_held().into_iter().map(Listed::Held))
            .collect();
        if !self.all_namespaces {
            reservations.retain(|listed| listed.is_of(own));
        }
        let users = user_ids(&self.user)?;
        reservations.retain(|listed| self.is_wanted(listed, &users));
        reservations.sort_by_key(Listed::key);
        if self.json {
            print_json(&reservations)?
        } else {
            self.print_table(&reservations)?
        }
        Ok(ExitCode::SUCCESS)
    }

    fn is_wanted(&self, listed: &Listed, users: &[u32]) -> bool {
        let (_, range) = listed.key();
        let of_protocol = match range.protocol() {
            Protocol::Tcp => self.tcp || !self.udp,
            Protocol::Udp => self.udp || !self.tcp,
        };
        let has = |filter: &PortFilter| filter.takes(range.start(), range.end());
        of_protocol
            && (self.port.is_empty() || self.port.iter().any(has))
            && (users.is_empty() || users.iter().any(|uid| listed.is_of_user(*uid)))
    }

    fn print_table(&self, reservations: &[Listed]) -> Result<()> {
        let mut rows = vec![COLUMNS.map(|(_, title)| title.to_owned())];
        rows.extend(reservations.iter().map(Listed::row));
        let has_comments = rows[1..].iter().any(|row| !row[8].is_empty());
        let columns: Vec<usize> = if self.columns.is_empty() {
            let is_shown = |column: &usize| match COLUMNS[*column].0 {
                Column::Netns => self.all_namespaces,
                Column::Comment => has_comments,
                _ => true,
            };
            (0..COLUMNS.len()).filter(is_shown).collect()
        } else {
            self.columns.iter().map(|column| *column as usize).collect()
        };
        let shown: Vec<Vec<String>> = rows
            .iter()
            .map(|row| columns.iter().map(|column| row[*column].clone()).collect())
            .collect();
        let style = |row: usize, column: usize, cell: &str| match COLUMNS[columns[column]].0 {
            _ if row == 0 => Some(color::HEADING),
            Column::MayBind if cell == HELD => Some(color::ODD),
            Column::Owner if cell == PERSISTENT || cell.starts_with("fleet ") => {
                Some(color::LASTING)
            }
            Column::Owner if cell == EXCLUDED => Some(color::FAINT),
            _ => None,
        };
        let mut out = io::stdout().lock();
        match self.color.is_on() {
            true => write_styled_table(&mut out, &shown, style)?,
            false => write_table(&mut out, &shown)?,
        }
        Ok(())
    }
}

/// In the column of owners: it is nobody's in particular.
const PERSISTENT: &str = "persistent";
const EXCLUDED: &str = "excluded";

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
    let fleet = record.and_then(|record| record.fleet.as_ref());
    let [owner, command, user] = match entry.kind {
        EntryKind::Runtime => [
            entry.owner.pid.to_string(),
            entry.owner.command.clone(),
            user_name(entry.owner.uid),
        ],
        _ if fleet.is_some() => {
            let owner = fleet.map(FleetTag::owner).unwrap_or_default();
            [owner, "-".to_owned(), "-".to_owned()]
        }
        _ if is_exclusion(entry) => [EXCLUDED, "-", "-"].map(str::to_owned),
        _ => [PERSISTENT, "-", "-"].map(str::to_owned),
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

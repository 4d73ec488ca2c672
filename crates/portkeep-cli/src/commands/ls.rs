//! `portkeep ls`: the reservations.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use portkeep::{Entry, ErrorKind, HeldEntry, Owner, PortRange};
use serde::Serialize;

use crate::clock::Moment;
use crate::reservation_document::{HELD, ReservationDocument, may_bind};
use crate::{table, users};

/// List the reservations
///
/// MAY-BIND says who can bind in the block: sockets that the owner has associated with the
/// reservation always can; `process` means the owning process too, `tree` its descendants also.
/// `held` marks ports that a process of yours holds by sockets, without the kernel part.
#[derive(Debug, Args)]
pub struct Ls {
    /// The reservations of every network namespace, not only of this one
    #[arg(long)]
    all_namespaces: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    reservations: Vec<ReservationDocument>,
}

/// A reservation, by what keeps it.
#[derive(Debug)]
enum Listed {
    Kernel(Entry),
    Held(HeldEntry),
}

impl Listed {
    /// The network namespace and the ports.
    fn key(&self) -> (u64, PortRange) {
        match self {
            Self::Kernel(entry) => (entry.netns_cookie, entry.range),
            Self::Held(entry) => (entry.netns_cookie, entry.range),
        }
    }

    /// The owner, the age, and who may bind.
    fn columns(&self) -> (&Owner, Duration, &'static str) {
        match self {
            Self::Kernel(entry) => (&entry.owner, entry.age(), may_bind(entry.consumers)),
            Self::Held(entry) => (&entry.owner, entry.age(), HELD),
        }
    }

    fn document(&self) -> ReservationDocument {
        match self {
            Self::Kernel(entry) => entry.into(),
            Self::Held(entry) => entry.into(),
        }
    }
}

impl Ls {
    pub fn execute(&self) -> anyhow::Result<ExitCode> {
        let mut reservations = match portkeep::list() {
            Ok(entries) => entries.into_iter().map(Listed::Kernel).collect(),
            // What is held by sockets needs no kernel part.
            Err(error) if error.kind() == ErrorKind::NotEnabled => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        reservations.extend(portkeep::list_held().into_iter().map(Listed::Held));
        if !self.all_namespaces {
            let own = portkeep::netns_cookie().context("cannot identify the network namespace")?;
            reservations.retain(|listed| listed.key().0 == own);
        }
        reservations.sort_by_key(Listed::key);
        if self.json {
            print_json(&reservations)?
        } else {
            self.print_table(&reservations)?
        }
        Ok(ExitCode::SUCCESS)
    }

    fn print_table(&self, reservations: &[Listed]) -> anyhow::Result<()> {
        let header = [
            "PROTO", "PORTS", "OWNER", "COMMAND", "USER", "SINCE", "MAY-BIND", "NETNS",
        ];
        let mut rows = vec![header.map(str::to_owned)];
        for listed in reservations {
            let (netns, range) = listed.key();
            let ports = match range.count() {
                1 => range.start().to_string(),
                _ => format!("{}-{}", range.start(), range.end()),
            };
            let (owner, age, may_bind) = listed.columns();
            rows.push([
                range.protocol().to_string(),
                ports,
                owner.pid.to_string(),
                owner.command.clone(),
                users::name(owner.uid),
                Moment::before_now(age).local(),
                may_bind.to_owned(),
                netns.to_string(),
            ]);
        }
        if !self.all_namespaces {
            rows.iter_mut().for_each(|row| row[7].clear());
        }
        Ok(table::write(&mut io::stdout().lock(), &rows)?)
    }
}

fn print_json(reservations: &[Listed]) -> anyhow::Result<()> {
    let reservations = reservations.iter().map(Listed::document).collect();
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

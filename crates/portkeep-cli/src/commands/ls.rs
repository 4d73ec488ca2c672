//! `portkeep ls`: the reservations.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use portkeep::Entry;
use serde::Serialize;

use crate::clock::Moment;
use crate::reservation_document::{ReservationDocument, may_bind};
use crate::{table, users};

/// List the reservations
///
/// MAY-BIND says who can bind in the block: sockets that the owner has associated with the
/// reservation always can; `process` means the owning process too, `tree` its descendants also.
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

impl Ls {
    pub fn execute(&self) -> anyhow::Result<ExitCode> {
        let mut entries = portkeep::list()?;
        if !self.all_namespaces {
            let own = portkeep::netns_cookie().context("cannot identify the network namespace")?;
            entries.retain(|entry| entry.netns_cookie == own);
        }
        entries.sort_by_key(|entry| (entry.netns_cookie, entry.range));
        if self.json {
            print_json(&entries)?
        } else {
            self.print_table(&entries)?
        }
        Ok(ExitCode::SUCCESS)
    }

    fn print_table(&self, entries: &[Entry]) -> anyhow::Result<()> {
        let header = [
            "PROTO", "PORTS", "OWNER", "COMMAND", "USER", "SINCE", "MAY-BIND", "NETNS",
        ];
        let mut rows = vec![header.map(str::to_owned)];
        for entry in entries {
            let range = entry.range;
            let ports = match range.count() {
                1 => range.start().to_string(),
                _ => format!("{}-{}", range.start(), range.end()),
            };
            rows.push([
                range.protocol().to_string(),
                ports,
                entry.owner.pid.to_string(),
                entry.owner.command.clone(),
                users::name(entry.owner.uid),
                Moment::before_now(entry.age()).local(),
                may_bind(entry.consumers).to_owned(),
                entry.netns_cookie.to_string(),
            ]);
        }
        if !self.all_namespaces {
            rows.iter_mut().for_each(|row| row[7].clear());
        }
        Ok(table::write(&mut io::stdout().lock(), &rows)?)
    }
}

fn print_json(entries: &[Entry]) -> anyhow::Result<()> {
    let reservations = entries.iter().map(ReservationDocument::from).collect();
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

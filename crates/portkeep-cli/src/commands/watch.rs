//! `portkeep watch`: events as they happen.

use std::io::{self, BufWriter, Write as _};
use std::process::ExitCode;

use clap::Args;
use portkeep_admin::Installation;

use crate::arguments::color::{BAD, ColorArgument, FAINT, GOOD};
use crate::arguments::filters::{PortFilter, user_ids};
use crate::arguments::netns::NetnsArgument;
use crate::error::{Context as _, Result};
use crate::output::{escaped, json_line};
use crate::watching::{self, Event, REFUSALS, What};

/// Show what happens to reserved ports, as it happens
///
/// Shows refused binds, connects and acquires, with who asked and who is in the way, and
/// reservations as they are acquired, released, created and deleted. An ordinary user sees
/// what processes of that user do, and what is refused at ports that the user reserves; root sees
/// everything. Binds that the kernel refuses by itself, because a socket is bound
/// to the port, are not events: ask `portkeep why`. Ends with Ctrl-C.
#[derive(Debug, Args)]
pub struct Watch {
    /// Show only what was refused
    #[arg(long)]
    refusals: bool,
    /// Show only events of one of these ports; can be repeated
    #[arg(long, value_name = "PORT|A-B", value_delimiter = ',')]
    port: Vec<PortFilter>,
    /// Show only events of this user, who asked or owns the reservation; can be repeated
    #[arg(long, value_name = "USER", value_delimiter = ',')]
    user: Vec<String>,
    /// Show the events of every network namespace, not only this one
    #[arg(long)]
    all_namespaces: bool,
    #[command(flatten)]
    color: ColorArgument,
    /// Print one JSON document per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    netns: NetnsArgument,
}

impl Watch {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        self.netns.enter()?;
        let own = portkeep::netns_cookie().context("cannot identify the network namespace")?;
        let users = user_ids(&self.user)?;
        let colored = self.color.is_on();
        let kinds = if self.refusals { REFUSALS } else { 0 };
        watching::watch(installation, kinds, |events| {
            let mut out = BufWriter::new(io::stdout().lock());
            for event in events.iter().filter(|it| self.is_wanted(it, own, &users)) {
                match self.json {
                    true => writeln!(out, "{}", json_line(&event.document())?)?,
                    false => writeln!(out, "{}", self.line(event, colored))?,
                }
            }
            Ok(out.flush()?)
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn is_wanted(&self, event: &Event, own: u64, users: &[u32]) -> bool {
        let here = |cookie| cookie == own || cookie == 0 || self.all_namespaces;
        let is_here = event
            .details
            .as_ref()
            .is_none_or(|it| here(it.netns_cookie));
        let is_at = |start, end| self.port.iter().any(|filter| filter.takes(start, end));
        is_here
            && (self.port.is_empty() || event.is_at(is_at))
            && (users.is_empty() || event.is_of(users))
    }

    /// The columns have fixed widths: the lines to come are not known.
    fn line(&self, event: &Event, colored: bool) -> String {
        let cells = event.cells(self.all_namespaces);
        let [time, what, ports, rest] = cells.map(|cell| escaped(&cell));
        let style = match event.what {
            _ if !colored => None,
            it if it.is_refusal() => Some(BAD),
            What::Lost(_) | What::Disabled => Some(BAD),
            What::Acquired | What::Created | What::Enabled => Some(GOOD),
            _ => Some(FAINT),
        };
        let what = format!("{what:<15}");
        let what = style.map_or(what.clone(), |style| format!("{style}{what}{style:#}"));
        format!("{time}  {what}  {ports:<15}  {rest}")
            .trim_end()
            .to_owned()
    }
}

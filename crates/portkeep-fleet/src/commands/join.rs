//! `portkeep fleet join`

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Args;
use nix::unistd::gethostname;
use portkeep_fleet_core::data::{Key, Name};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::agent::local::{Request, ask};
use crate::agent::status::Status;
use crate::connect::{EngineArguments, save};
use crate::engine::{Engine, EngineError};
use crate::error::{Error, Result};
use crate::output::json;

const UNIT: &str = "portkeep-fleet.service";

/// Make this machine a node of a fleet
///
/// Writes the configuration and starts portkeep-fleet.service, which makes this machine hold what the fleet reserves.
/// The operator has added the node before. Portkeep has to be enabled.
#[derive(Debug, Args)]
pub struct Join {
    /// Name of the fleet
    fleet: Name,
    /// Name of this node, which is the common name of its certificate [default: the host's name]
    #[arg(long, value_name = "NODE")]
    node: Option<Name>,
    /// Only write the configuration; the agent is started by others
    #[arg(long)]
    no_start: bool,
    #[command(flatten)]
    engine: EngineArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: u32,
    fleet: &'a Name,
    node: &'a Name,
    /// Whether the agent was started, and has taken over what the fleet reserves.
    started: bool,
    reservations: usize,
    enforced: usize,
}

impl Join {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let node = self.node()?;
        let (config, changed) = self.engine.configuration(&self.fleet, Some(&node))?;
        let engine = Engine::new(config.clone());
        engine.connect().await?;
        check(&engine, &node).await?;
        if changed {
            let path = save(&config)?;
            if !self.json {
                writeln!(io::stdout(), "{} is written", path.display())?;
            }
        }
        if self.no_start && self.json {
            return self.document(&node, false, 0, 0);
        }
        if self.no_start {
            writeln!(
                io::stdout(),
                "{node} may be started: `portkeep fleet agent`"
            )?;
            return Ok(ExitCode::SUCCESS);
        }
        start()?;
        let status = settled().await?;
        let held = |it: &&crate::agent::status::Reservation| it.standing == "held";
        let enforced = status.reservations.iter().filter(held).count();
        let all = status.reservations.len();
        if self.json {
            return self.document(&node, true, all, enforced);
        }
        let how = match all - enforced {
            0 => "all enforced".to_owned(),
            rest => format!("{rest} not enforced"),
        };
        writeln!(
            io::stdout(),
            "{node} has joined {}: {UNIT} runs, {all} reservations taken over, {how}",
            self.fleet
        )?;
        Ok(ExitCode::SUCCESS)
    }

    fn document(
        &self,
        node: &Name,
        started: bool,
        reservations: usize,
        enforced: usize,
    ) -> Result<ExitCode> {
        let document = Document {
            schema: 1,
            fleet: &self.fleet,
            node,
            started,
            reservations,
            enforced,
        };
        writeln!(io::stdout(), "{}", json(&document)?)?;
        Ok(ExitCode::SUCCESS)
    }

    fn node(&self) -> Result<Name> {
        if let Some(node) = &self.node {
            return Ok(node.clone());
        }
        let name = gethostname()?;
        let name = name.to_string_lossy();
        let name = name.split('.').next().unwrap_or_default();
        name.parse().map_err(|_| {
            Error::usage(format!("the host's name {name} is no node's")).with_hint("give `--node`")
        })
    }
}

/// The certificate is the node's, and the operator has added it.
async fn check(engine: &Engine, node: &Name) -> Result<()> {
    let reads = engine.read(&[Key::Spec(node.clone())]).await;
    let reads = reads.map_err(|error| match error {
        EngineError::Denied(_) => {
            Error::from(error).with_hint(format!("the certificate's common name has to be {node}"))
        }
        error => error.into(),
    })?;
    match reads.into_iter().next().and_then(|read| read.found) {
        Some(_) => Ok(()),
        None => Err(Error::refused(format!("the fleet has no node {node}"))
            .with_hint(format!("an operator runs `portkeep fleet node add {node}`"))),
    }
}

fn start() -> Result<()> {
    if !Path::new("/run/systemd/system").exists() {
        return Err(Error::refused("systemd does not run here, so nothing was started")
            .with_hint("start `portkeep fleet agent` as a service of this machine; `--no-start` says that it is"));
    }
    let started = Command::new("systemctl")
        .args(["enable", "--now", "--quiet", UNIT])
        .stdin(Stdio::null())
        .status()?;
    match started.success() {
        true => Ok(()),
        false => Err(Error::refused(format!("{UNIT} could not be started"))
            .with_hint(format!("journalctl -u {UNIT}"))),
    }
}

/// Waits until nothing is pending.
async fn settled() -> Result<Status> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let status = ask(&Request::Status).await;
        let status = status.and_then(|document| {
            serde_json::from_value::<Status>(document).map_err(|error| {
                Error::refused(format!("the agent answers something else: {error}"))
            })
        });
        let late = Instant::now() > end;
        match status {
            Ok(status) if status.acting && !is_pending(&status) => return Ok(status),
            Ok(status) if late => {
                let why = status
                    .trouble
                    .unwrap_or_else(|| "it is not done yet".to_owned());
                return Err(Error::undecided(format!("the agent runs, but: {why}")));
            }
            Err(error) if late => return Err(error),
            _ => sleep(Duration::from_millis(200)).await,
        }
    }
}

fn is_pending(status: &Status) -> bool {
    status
        .reservations
        .iter()
        .any(|it| it.standing == "pending")
}

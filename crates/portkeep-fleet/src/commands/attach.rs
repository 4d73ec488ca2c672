//! `portkeep fleet attach`

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use clap::Args;
use portkeep::PortRange;
use portkeep_fleet_core::data::Name;
use serde::Serialize;

use crate::agent::local::{Request, ask};
use crate::error::{Error, Kind, Result};
use crate::jobs::environment;
use crate::output::json;

/// Let this process and those of its cgroup bind at the ports of a grant, on this node
///
/// The agent of this node does it, without etcd. From then on every process of the caller's cgroup, and of those below
/// it, may bind there. Job systems give each job a cgroup; elsewhere `systemd-run --scope` does. At most 8 cgroups of a
/// node can be let in at a time. With a command, runs it, and sets PORT, PORTKEEP_TCP, PORTKEEP_UDP and PORTKEEP_GRANT.
#[derive(Debug, Args)]
pub struct Attach {
    /// The grant, as `acquire` has printed it
    id: Name,
    /// Print JSON
    #[arg(long, conflicts_with = "command")]
    json: bool,
    /// Print `export NAME=VALUE` for each of the variables, and MASTER_PORT and SLURM_STEP_RESV_PORTS
    #[arg(long, conflicts_with_all = ["json", "command"])]
    export: bool,
    /// A command to run
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<std::ffi::OsString>,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: u32,
    grant: &'a str,
    ports: &'a [String],
}

impl Attach {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let ports = attach(&self.id).await?;
        if let Some((program, arguments)) = self.command.split_first() {
            let mut command = Command::new(program);
            command.args(arguments);
            environment::set(&mut command, &self.id, &ports)?;
            let error = command.exec();
            return Err(Error::new(
                Kind::Refused,
                format!("cannot run {}: {error}", program.display()),
            ));
        }
        let mut out = io::stdout().lock();
        if self.json {
            let document = Document {
                schema: 1,
                grant: self.id.as_str(),
                ports: &ports,
            };
            writeln!(out, "{}", json(&document)?)?;
        } else if self.export {
            for line in environment::exports(&self.id, &ports)? {
                writeln!(out, "{line}")?;
            }
        } else {
            writeln!(out, "{} {}", self.id, ports.join(","))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Attaches this process's cgroup, and gives the ports.
///
/// # Errors
///
/// What the agent says.
pub async fn attach(id: &Name) -> Result<Vec<String>> {
    let document = ask(&Request::Attach { id: id.clone() }).await?;
    let ports: Vec<String> = serde_json::from_value(document)?;
    // What the environment is made of.
    for ports in &ports {
        ports
            .parse::<PortRange>()
            .map_err(|error| Error::refused(format!("the agent says {ports}: {error}")))?;
    }
    Ok(ports)
}

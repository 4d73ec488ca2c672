//! `portkeep fleet init`

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use portkeep::PortRange;
use portkeep_fleet_core::data::{self, Key, Name, Ports, Value};
use portkeep_fleet_core::engine::{Outcome, Transaction};
use serde::Serialize;

use crate::connect::{EngineArguments, save};
use crate::engine::{Engine, EngineError, Role};
use crate::error::{Error, Result};
use crate::output::json;

/// Make a fleet in etcd: its band of ports, and the roles of those who take part
///
/// The certificate needs the common name root, because etcd lets only root make users. etcd then asks
/// everybody for a certificate whose common name is a user.
#[derive(Debug, Args)]
pub struct Init {
    /// Name of the fleet
    #[arg(long, value_name = "FLEET")]
    name: Name,
    /// Ports from which the fleet chooses numbers, for TCP and for UDP
    #[arg(long, value_name = "PORTS", default_value = "61000-65535")]
    band: String,
    /// Common names of the operators, who reserve ports on all nodes
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "operator"
    )]
    operator: Vec<String>,
    /// Common names of the stewards, which serve jobs
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    steward: Vec<String>,
    /// Common names of those who may read all of the fleet
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    viewer: Vec<String>,
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
    /// Whether there was none before.
    made: bool,
    band: &'a Ports,
    format: u32,
}

impl Init {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let band = self.band()?;
        let (config, changed) = self.engine.configuration(&self.name, None)?;
        let engine = Engine::new(config.clone());
        engine.connect().await?;
        let made = make(&engine, &band).await?;
        let roles = self.roles(&engine).await;
        roles.map_err(|error| match error {
            EngineError::Denied(_) => Error::from(error)
                .with_hint("the certificate needs the common name root to make users"),
            error => error.into(),
        })?;
        let mut out = io::stdout().lock();
        if self.json {
            let document = Document {
                schema: 1,
                fleet: &self.name,
                made,
                band: &band,
                format: data::FORMAT,
            };
            writeln!(out, "{}", json(&document)?)?;
        } else {
            let done = if made { "is made" } else { "was there" };
            writeln!(
                out,
                "Fleet {} {done}: band {band}, format {}",
                self.name,
                data::FORMAT
            )?;
            writeln!(
                out,
                "Roles node, operator, steward and viewer exist in etcd; auth is on"
            )?;
        }
        if changed {
            let path = save(&config)?;
            if !self.json {
                writeln!(out, "{} says where etcd is", path.display())?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn band(&self) -> Result<Ports> {
        let ranges: Result<Vec<PortRange>, _> = match self.band.contains('/') {
            true => self.band.split(',').map(str::parse).collect(),
            false => ["tcp", "udp"]
                .iter()
                .map(|protocol| format!("{}/{protocol}", self.band).parse())
                .collect(),
        };
        let ranges = ranges.map_err(|error| Error::usage(format!("--band: {error}")))?;
        Ports::new(ranges).map_err(|error| Error::usage(format!("--band: {error}")))
    }

    async fn roles(&self, engine: &Engine) -> Result<(), EngineError> {
        engine.make_roles().await?;
        let people = [
            (&self.operator, Role::Operator),
            (&self.steward, Role::Steward),
            (&self.viewer, Role::Viewer),
        ];
        for (names, role) in people {
            for name in names {
                engine.admit(name, &role).await?;
            }
        }
        Ok(())
    }
}

/// Writes what holds for the whole fleet, unless it is there.
async fn make(engine: &Engine, band: &Ports) -> Result<bool> {
    let config = Value::Config(data::Config::new(band.clone()));
    let transaction = Transaction::default()
        .expect(Key::Config, None)
        .put(Key::Config, config);
    let found = match engine.transact(&transaction).await? {
        Outcome::Done(_) => return Ok(true),
        Outcome::Differs(reads) => reads.into_iter().next().and_then(|read| read.found),
        Outcome::Unknown => {
            return Err(Error::undecided("whether the fleet was made is not known")
                .with_hint("run the same command again"));
        }
    };
    match found.map(|found| found.value) {
        Some(Value::Config(config)) if config.band == *band => Ok(false),
        Some(Value::Config(config)) => Err(Error::refused(format!(
            "the fleet is there, with the band {}",
            config.band
        ))
        .with_hint(
            "ports of the old band may be in use; name the same band to make its roles again",
        )),
        _ => {
            Err(Error::undecided("the fleet changed meanwhile")
                .with_hint("run the same command again"))
        }
    }
}

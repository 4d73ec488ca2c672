//! `portkeep fleet acquire`

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::jobs::local::{Answer, Client, Granted, Request};
use crate::jobs::wish::WishArguments;
use crate::operator::report::{InTheWay, nodes, rows};
use crate::output::{json, write_table};

/// Acquire the same ports on all nodes of a list, or on none, for a job
///
/// Prints the grant, the ports and the nodes. The ports are closed to everybody, on each of the nodes, until
/// `portkeep fleet attach` lets a job's processes in there. The grant lasts until `portkeep fleet release`, also over
/// restarts of agents, stewards and etcd; `portkeep fleet run` makes one that ends with its command.
#[derive(Debug, Args)]
pub struct Acquire {
    #[command(flatten)]
    wish: WishArguments,
    /// For a job of this user, who may attach to it and give it back; only root may
    #[arg(long = "for", value_name = "USER")]
    owner: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `acquire --json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: u32,
    /// Its ID; none, if it was refused.
    grant: Option<&'a str>,
    ports: &'a [String],
    nodes: Vec<&'a str>,
    tries: Option<u32>,
    refused: Option<&'a str>,
    in_the_way: &'a [InTheWay],
}

impl Acquire {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let mut wish = self.wish.wish(false)?;
        wish.owner.clone_from(&self.owner);
        let mut client = Client::connect().await?;
        let answer = client.ask(&Request::Acquire(wish)).await?;
        if !self.json {
            let granted = granted(answer)?;
            let ports = granted.ports.join(",");
            let on = nodes(granted.nodes.len());
            writeln!(io::stdout().lock(), "{} {ports} on {on}", granted.id)?;
            return Ok(ExitCode::SUCCESS);
        }
        let (document, code) = match &answer {
            Answer::Granted(granted) => (
                Document {
                    schema: 1,
                    grant: Some(granted.id.as_str()),
                    ports: &granted.ports,
                    nodes: granted.nodes.iter().map(|node| node.as_str()).collect(),
                    tries: Some(granted.tries),
                    refused: None,
                    in_the_way: &[],
                },
                ExitCode::SUCCESS,
            ),
            Answer::Refused {
                message,
                in_the_way,
                ..
            } => (
                Document {
                    schema: 1,
                    grant: None,
                    ports: &[],
                    nodes: Vec::new(),
                    tries: None,
                    refused: Some(message),
                    in_the_way,
                },
                ExitCode::FAILURE,
            ),
            _ => return Err(granted(answer).err().unwrap_or_else(unexpected)),
        };
        writeln!(io::stdout().lock(), "{}", json(&document)?)?;
        Ok(code)
    }
}

/// The grant, or why there is none; who is in the way is printed.
///
/// # Errors
///
/// The refusal.
pub fn granted(answer: Answer) -> Result<Granted> {
    match answer {
        Answer::Granted(granted) => Ok(granted),
        Answer::Refused {
            message,
            hint,
            in_the_way,
        } => {
            if !in_the_way.is_empty() {
                write_table(&mut io::stderr().lock(), &rows(&in_the_way))?;
            }
            let error = Error::refused(message);
            Err(match hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            })
        }
        Answer::Undecided { message } => Err(Error::undecided(message)),
        Answer::Usage { message } => Err(Error::usage(message)),
        Answer::Held | Answer::Released { .. } | Answer::Grants { .. } => Err(unexpected()),
    }
}

/// Of another version's steward.
pub fn unexpected() -> Error {
    Error::undecided("the steward's answer is to another question")
        .with_hint("its version and this command's differ; update both")
}

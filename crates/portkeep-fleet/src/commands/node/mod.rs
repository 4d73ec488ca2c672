//! `portkeep fleet node`

mod add;
mod ls;
mod remove;

use std::process::ExitCode;

use clap::Subcommand;

use crate::error::Result;

/// Add and remove the machines of the fleet
#[derive(Debug, Subcommand)]
pub enum Node {
    /// Let a machine join
    Add(add::Add),
    /// Take a machine out of the fleet
    Remove(remove::Remove),
    /// List the machines
    Ls(ls::Ls),
}

impl Node {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        match self {
            Node::Add(command) => command.execute().await,
            Node::Remove(command) => command.execute().await,
            Node::Ls(command) => command.execute().await,
        }
    }
}

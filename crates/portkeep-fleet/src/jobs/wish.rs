//! What a user asks for.

use std::collections::BTreeMap;

use clap::Args;
use portkeep_fleet_core::data::Name;
use serde::{Deserialize, Serialize};

use super::hosts;
use crate::config::labels;
use crate::error::{Error, Result};

/// Ports on nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The nodes. Nothing, where any will do.
    pub nodes: Vec<Name>,
    /// That many of the nodes, or of those with the labels.
    pub any: Option<u32>,
    /// What the nodes have.
    pub labels: BTreeMap<String, String>,
    /// How many TCP ports in a row.
    pub tcp: u16,
    /// How many UDP ports in a row.
    pub udp: u16,
    /// How long the nodes have to answer, in seconds.
    pub wait: u32,
    /// Whether the grant ends with the process that asks.
    pub held: bool,
    /// Whose job it is for, if root asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// Which ports, and on which nodes.
#[derive(Clone, Debug, Args)]
pub struct WishArguments {
    /// Nodes, as host1,host2 or, as Slurm writes them, n[1-3,7]
    #[arg(long, value_name = "HOSTS", required_unless_present = "any")]
    on: Option<String>,
    /// On any K of the nodes, not on all
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    any: Option<u32>,
    /// With --any: of the nodes with this label
    #[arg(
        long,
        value_name = "NAME=VALUE",
        requires = "any",
        conflicts_with = "on"
    )]
    of: Vec<String>,
    /// A block of so many TCP ports
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    tcp: u16,
    /// A block of so many UDP ports
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    udp: u16,
    /// How long the nodes have to answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u32,
}

impl WishArguments {
    /// The same, checked.
    ///
    /// # Errors
    ///
    /// If it is no wish.
    pub fn wish(&self, held: bool) -> Result<Wish> {
        let nodes = self.on.as_deref().map(hosts::parse).transpose()?;
        if (self.tcp, self.udp) == (0, 0) {
            return Err(Error::usage("no ports are asked for").with_hint("give --tcp or --udp"));
        }
        Ok(Wish {
            nodes: nodes.unwrap_or_default(),
            any: self.any,
            labels: labels(&self.of)?,
            tcp: self.tcp,
            udp: self.udp,
            wait: self.wait,
            held,
            owner: None,
        })
    }
}

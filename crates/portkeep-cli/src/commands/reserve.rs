//! `portkeep reserve`: reserve ports for users, groups and cgroups, across reboots.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use portkeep::PortRange;
use portkeep_admin::{Installation, Kind, Ports, Request, Scope};

use crate::arguments::netns::NetnsArgument;
use crate::arguments::persistent::{PersistentBlock, Protocols, ranges};
use crate::configuration::media_ports;
use crate::control_cgroup::InControlCgroup;
use crate::error::{Error, Result};
use crate::outcome::report;
use crate::units::with_sockets;
use crate::words::list;
use portkeep_admin::sockets::InUse;

/// Reserve ports for users, groups or cgroups, now and after every boot
///
/// Only processes of the named users, groups and cgroups can bind to the ports, with plain bind(2). If
/// none are named, only sockets that an administrator associates can. The kernel does not give out the
/// ports automatically. Sockets that are already bound there are in the way, unless they belong to a
/// named user, group or cgroup. Needs root.
#[derive(Debug, Args)]
#[command(after_help = LOCATION)]
pub struct Reserve {
    /// The ports, such as 10000-20000/udp; with --count only tcp, udp or both; can be repeated
    #[arg(value_name = "A-B/tcp|udp|both", required_unless_present = "from")]
    ports: Vec<Target>,
    /// The media ports that the configuration of rtpengine, Asterisk or FreeSWITCH sets (rtpengine.conf,
    /// rtp.conf, switch.conf.xml); can be repeated
    #[arg(long, value_name = "FILE", conflicts_with = "count")]
    from: Vec<PathBuf>,
    /// A user, by name or number; can be repeated
    #[arg(long, value_name = "USER")]
    user: Vec<String>,
    /// A group, by name or number; can be repeated
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// A cgroup and those below it, by path or systemd unit; can be repeated
    #[arg(long = "cgroup", id = "consumer-cgroup", value_name = "CGROUP")]
    cgroup: Vec<String>,
    /// A systemd unit: its cgroup, and those of the socket units that start it; can be repeated
    #[arg(long, value_name = "NAME.service")]
    unit: Vec<String>,
    /// A note that everybody sees with the reservation
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Reserve N consecutive ports from the pool and print them
    #[arg(long, value_name = "N")]
    count: Option<NonZeroU16>,
    /// With --count: start at a multiple of K, a power of two
    #[arg(long, value_name = "K", requires = "count", value_parser = align)]
    align: Option<u16>,
    /// Reserve the ports in all network namespaces, including future ones
    #[arg(long, conflicts_with = "netns")]
    every_netns: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    netns: NetnsArgument,
}

const LOCATION: &str = "\
With `reserve`, --cgroup names who may bind. To say where the kernel part is, put --cgroup before the \
command, `portkeep --cgroup DIR reserve …`, or set PORTKEEP_CGROUP.";

/// Ports by their numbers, or only their protocols.
#[derive(Debug, Clone)]
enum Target {
    Block(PersistentBlock),
    Protocols(Protocols),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(protocols) => Ok(Self::Protocols(protocols)),
            Err(_) => text.parse().map(Self::Block),
        }
    }
}

fn align(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|align: &u16| align.is_power_of_two())
        .ok_or_else(|| "expected a power of two up to 32768".to_owned())
}

impl Reserve {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        let ports = self.ports()?;
        let mut cgroups = self.cgroup.clone();
        for unit in &self.unit {
            cgroups.extend(with_sockets(unit)?);
        }
        let scope = if self.every_netns {
            Some(Scope::Every)
        } else {
            self.netns.enter()?
        };
        let request = Request {
            kind: Kind::Reservation,
            ports,
            scope,
            users: self.user.clone(),
            groups: self.group.clone(),
            cgroups,
            comment: self.comment.clone(),
        };
        let _control = InControlCgroup::enter(installation);
        let outcome = installation.keeper().reserve(&request, Some(&InUse))?;
        let ports = list(&outcome.ports);
        if self.count.is_some() || outcome.changed {
            report(&outcome, &format!("{ports} reserved"), self.json)
        } else {
            report(&outcome, &format!("{ports} reserved already"), self.json)
        }
    }

    fn ports(&self) -> Result<Ports> {
        let mut blocks = Vec::new();
        for target in &self.ports {
            match target {
                Target::Block(block) => blocks.push(block),
                Target::Protocols(Protocols(protocols)) => {
                    return match (self.count, &self.ports[..]) {
                        (Some(count), [_]) => Ok(Ports::Any {
                            protocols: protocols.clone(),
                            count: count.get(),
                            align: self.align.unwrap_or(1),
                        }),
                        (Some(_), _) => Err(Error::usage(
                            "with --count write one of tcp, udp and both, once",
                        )),
                        (None, _) => Err(Error::usage(
                            "name the ports, as in 10000-20000/udp, or give their number with --count",
                        )),
                    };
                }
            }
        }
        match self.count {
            None => {
                let mut all = ranges(blocks)?;
                for file in &self.from {
                    let range = media_ports(file)?;
                    let overlaps = |it: &&PortRange| {
                        it.protocol() == range.protocol()
                            && it.start() <= range.end()
                            && range.start() <= it.end()
                    };
                    match all.iter().find(overlaps) {
                        None => all.push(range),
                        Some(same) if *same == range => {}
                        Some(other) => {
                            return Err(Error::usage(format!("{other} and {range} overlap")));
                        }
                    }
                }
                Ok(Ports::These(all))
            }
            Some(_) => Err(Error::usage(
                "with --count Portkeep chooses the ports: write tcp, udp or both instead of ports",
            )),
        }
    }
}

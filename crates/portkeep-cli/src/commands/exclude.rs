//! `portkeep exclude`: keep ports from being chosen automatically.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use portkeep::PortRange;
use portkeep_admin::{Installation, Kind, Ports, Request, Scope};

use crate::arguments::netns::NetnsArgument;
use crate::arguments::persistent::{PersistentBlock, ranges};
use crate::compose;
use crate::control_cgroup::InControlCgroup;
use crate::error::Result;
use crate::outcome::report;
use crate::output::{say, text_of};
use crate::presets::Preset;
use crate::words::list;

/// Keep ports from being chosen automatically, now and after every boot
///
/// Everybody can still bind to the ports by number, but neither the kernel nor Portkeep chooses one of
/// them for a process that asks for any port, and nobody can reserve them. Needs root.
#[derive(Debug, Args)]
pub struct Exclude {
    /// The ports, such as 8080/tcp
    #[arg(value_name = "A-B/tcp|udp|both", required_unless_present_any = ["preset", "compose"])]
    ports: Vec<PersistentBlock>,
    /// The ports of a well-known system, as its documents or its configuration here say; can be repeated
    #[arg(long, value_name = "NAME", value_enum)]
    preset: Vec<Preset>,
    /// The ports that a compose file publishes on the host; - is standard input. Can be repeated
    #[arg(long, value_name = "FILE")]
    compose: Vec<PathBuf>,
    /// A note that everybody sees with the exclusion
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Exclude the ports in all network namespaces, including future ones
    #[arg(long, conflicts_with = "netns")]
    every_netns: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    netns: NetnsArgument,
}

impl Exclude {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        let scope = if self.every_netns {
            Some(Scope::Every)
        } else {
            self.netns.enter()?
        };
        let request = Request {
            kind: Kind::Exclusion,
            ports: Ports::These(self.ports()?),
            scope,
            users: Vec::new(),
            groups: Vec::new(),
            cgroups: Vec::new(),
            comment: self.comment.clone().or_else(|| self.named_presets()),
        };
        let _control = InControlCgroup::enter(installation);
        let outcome = installation.keeper().reserve(&request, None)?;
        let ports = list(&outcome.ports);
        if outcome.changed {
            report(&outcome, &format!("{ports} excluded"), self.json)
        } else {
            report(&outcome, &format!("{ports} excluded already"), self.json)
        }
    }

    fn ports(&self) -> Result<Vec<PortRange>> {
        let mut all = ranges(&self.ports)?;
        for preset in &self.preset {
            let ports = preset.ports(Path::new("/"))?;
            if let Some(file) = &ports.configured {
                say(&format!("the range is that of {}", text_of(file)));
            }
            // Presets may have ports in common, as docker and ecs have.
            for range in ports.ranges {
                let known = all.iter().copied();
                let known = known.filter(|it| it.protocol() == range.protocol());
                all.extend(without(range, known));
            }
        }
        for file in &self.compose {
            // Services may have ports in common, at different addresses.
            all = compose::union(all.into_iter().chain(compose::published_ports(file)?));
        }
        Ok(all)
    }

    fn named_presets(&self) -> Option<String> {
        let names: Vec<&str> = self.preset.iter().map(|preset| preset.name()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

/// What is left of a range without the ports of others.
fn without(range: PortRange, others: impl Iterator<Item = PortRange>) -> Vec<PortRange> {
    let taken: Vec<PortRange> = others.collect();
    let is_taken = |port: &u16| {
        taken
            .iter()
            .any(|it| (it.start()..=it.end()).contains(port))
    };
    let mut left: Vec<PortRange> = Vec::new();
    for port in (range.start()..=range.end()).filter(|port| !is_taken(port)) {
        let start = match left.pop_if(|last| u32::from(last.end()) + 1 == u32::from(port)) {
            Some(last) => last.start(),
            None => port,
        };
        left.extend(PortRange::new(range.protocol(), start, port));
    }
    left
}

//! Ports that well-known systems hand out or listen on, for `exclude --preset`.
//!
//! The ranges are those of the systems' documents, which docs/operator.md names; where the machine has a
//! configuration that says otherwise, that counts.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use portkeep::{PortRange, Protocol};

use crate::configuration::{read, words_after};
use crate::error::{Error, Result};

/// A system with ports of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// NodePorts, and the ports of the control plane and the kubelet
    Kubernetes,
    /// Dynamic ports, and those of the agents
    Nomad,
    /// The agent's ports, and ECS_DYNAMIC_HOST_PORT_RANGE
    Ecs,
    /// Game servers
    Agones,
    /// The daemon and Swarm; published ports in the automatic range are Docker's own choice
    Docker,
}

const TCP: &[Protocol] = &[Protocol::Tcp];
const UDP: &[Protocol] = &[Protocol::Udp];
const BOTH: &[Protocol] = &[Protocol::Tcp, Protocol::Udp];

type Fixed = &'static [(u16, u16, &'static [Protocol])];

/// What a preset comes to on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    pub ranges: Vec<PortRange>,
    /// The file that a range comes from instead of the documents.
    pub configured: Option<PathBuf>,
}

impl Preset {
    pub fn name(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Nomad => "nomad",
            Self::Ecs => "ecs",
            Self::Agones => "agones",
            Self::Docker => "docker",
        }
    }

    fn fixed(self) -> Fixed {
        match self {
            Self::Kubernetes => &[
                (2379, 2380, TCP),
                (6443, 6443, TCP),
                (10250, 10250, TCP),
                (10256, 10257, TCP),
                (10259, 10259, TCP),
            ],
            Self::Nomad => &[(4646, 4647, TCP), (4648, 4648, BOTH)],
            Self::Ecs => &[(2375, 2376, TCP), (51678, 51680, TCP)],
            Self::Agones => &[],
            Self::Docker => &[(2375, 2377, TCP), (4789, 4789, UDP), (7946, 7946, BOTH)],
        }
    }

    /// The range that the system hands out.
    fn dynamic(self) -> Option<(u16, u16)> {
        match self {
            Self::Kubernetes => Some((30000, 32767)),
            Self::Nomad => Some((20000, 32000)),
            Self::Agones => Some((7000, 8000)),
            Self::Ecs | Self::Docker => None,
        }
    }

    /// Below a root directory, which is `/` but for tests.
    pub fn ports(self, root: &Path) -> Result<Ports> {
        let configured = self.configured(root)?;
        let dynamic = configured.as_ref().map(|(range, _)| *range);
        let dynamic = dynamic.or(self.dynamic());
        let all = self.fixed().iter().copied();
        let all = all.chain(dynamic.map(|(start, end)| (start, end, BOTH)));
        let mut ranges: Vec<PortRange> = Vec::new();
        for (start, end, protocols) in all {
            for protocol in protocols {
                let range = PortRange::new(*protocol, start, end)
                    .map_err(|error| Error::refused(error.to_string()))?;
                // A configured range may reach over a fixed port.
                let overlaps = |it: &PortRange| {
                    it.protocol() == *protocol && it.start() <= end && start <= it.end()
                };
                ranges.retain(|it| !overlaps(it));
                ranges.push(range);
            }
        }
        ranges.sort();
        Ok(Ports {
            ranges,
            configured: configured.map(|(_, file)| file),
        })
    }

    fn configured(self, root: &Path) -> Result<Option<((u16, u16), PathBuf)>> {
        let (files, find): (&[&str], Find) = match self {
            Self::Kubernetes => (
                &[
                    "etc/kubernetes/manifests/kube-apiserver.yaml",
                    "etc/rancher/k3s/config.yaml",
                ],
                |text| words_after(text, "service-node-port-range").and_then(range),
            ),
            Self::Nomad => (&["etc/nomad.d/client.hcl", "etc/nomad.d/nomad.hcl"], nomad),
            Self::Ecs => (&["etc/ecs/ecs.config"], |text| {
                words_after(text, "ECS_DYNAMIC_HOST_PORT_RANGE").and_then(range)
            }),
            Self::Agones | Self::Docker => (&[], |_| None),
        };
        for file in files {
            let path = root.join(file);
            if !path.exists() {
                continue;
            }
            match find(&read(&path)?) {
                None => {}
                Some(Ok(range)) => return Ok(Some((range, path))),
                Some(Err(wrong)) => {
                    let message = format!("{}: '{wrong}' is not a range of ports", path.display());
                    return Err(Error::refused(message)
                        .with_hint("fix the file, or name the ports instead of a preset"));
                }
            }
        }
        Ok(None)
    }
}

type Range = Result<(u16, u16), String>;

/// Finds the range in a text.
type Find = fn(&str) -> Option<Range>;

/// `30000-32767`, perhaps in quotes.
fn range(text: &str) -> Option<Range> {
    let text = text.trim_matches(['"', '\'', ' ']);
    Some(parse(text.split_once('-')).ok_or_else(|| text.to_owned()))
}

fn parse(ends: Option<(&str, &str)>) -> Option<(u16, u16)> {
    let (start, end) = ends?;
    let ends: (u16, u16) = (start.trim().parse().ok()?, end.trim().parse().ok()?);
    (ends.0 > 0 && ends.0 <= ends.1).then_some(ends)
}

/// Either end has a default of its own.
fn nomad(text: &str) -> Option<Range> {
    let (start, end) = (
        words_after(text, "min_dynamic_port"),
        words_after(text, "max_dynamic_port"),
    );
    if start.is_none() && end.is_none() {
        return None;
    }
    let ends = (start.unwrap_or("20000"), end.unwrap_or("32000"));
    Some(parse(Some(ends)).ok_or_else(|| format!("{}-{}", ends.0, ends.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_ranges() -> Result<()> {
        let nowhere = Path::new("/there/is/none");
        for (preset, ranges) in [
            (
                Preset::Kubernetes,
                "2379-2380/tcp 6443/tcp 10250/tcp 10256-10257/tcp 10259/tcp 30000-32767/tcp \
                 30000-32767/udp",
            ),
            (
                Preset::Nomad,
                "4646-4647/tcp 4648/tcp 20000-32000/tcp 4648/udp 20000-32000/udp",
            ),
            (Preset::Ecs, "2375-2376/tcp 51678-51680/tcp"),
            (Preset::Agones, "7000-8000/tcp 7000-8000/udp"),
            (Preset::Docker, "2375-2377/tcp 7946/tcp 4789/udp 7946/udp"),
        ] {
            let found = preset.ports(nowhere)?;
            let found: Vec<_> = found.ranges.iter().map(ToString::to_string).collect();
            assert_eq!(found.join(" "), ranges, "{preset:?}");
        }
        Ok(())
    }

    #[test]
    fn configured_ranges() {
        assert_eq!(range("\"31000-31999\""), Some(Ok((31000, 31999))));
        for wrong in ["", "1", "2-1", "0-1", "1-65536", "a-b"] {
            assert_eq!(range(wrong), Some(Err(wrong.to_owned())));
        }
        let client =
            "client {\n  enabled = true\n  # max_dynamic_port = 9\n  min_dynamic_port = 25000\n}";
        assert_eq!(nomad(client), Some(Ok((25000, 32000))));
        assert_eq!(nomad("client { enabled = true }"), None);
    }
}

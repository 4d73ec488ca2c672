//! Ports that well-known systems hand out or listen on, for `exclude --preset`.
//!
//! The ranges are those of the systems' documents, which docs/operator.md names; where the machine has a
//! configuration that says otherwise, that counts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use portkeep::{PortRange, Protocol};

use crate::compose::union;
use crate::configuration::{mentions, read, unfolded, without_between, words_after};
use crate::error::{Context as _, Error, Result};

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
                ranges.push(
                    PortRange::new(*protocol, start, end)
                        .map_err(|error| Error::refused(error.to_string()))?,
                );
            }
        }
        Ok(Ports {
            // A configured range may reach over a fixed port.
            ranges: union(ranges),
            configured: configured.map(|(_, file)| file),
        })
    }

    /// Of several files the last one that sets an end counts, as for the systems themselves.
    fn configured(self, root: &Path) -> Result<Option<((u16, u16), PathBuf)>> {
        let Some(source) = self.source() else {
            return Ok(None);
        };
        let (mut all, mut last) = (String::new(), None);
        for file in source.files {
            for path in matching(&root.join(file))? {
                let text = unfolded(&without_between(&read(&path)?, "/*", "*/"));
                if (source.find)(&text).is_some() {
                    last = Some(path);
                } else if let Some(name) = source.names.iter().find(|name| mentions(&text, name)) {
                    // Rather none than that of the documents, which does not count here.
                    return Err(wrong(&path, &format!("cannot read {name}")));
                }
                all += &text;
                all.push('\n');
            }
        }
        let Some((path, range)) = last.zip((source.find)(&all)) else {
            return Ok(None);
        };
        match range {
            Ok(range) => Ok(Some((range, path))),
            Err(text) => {
                let message = format!("'{text}' is not a range of ports");
                Err(wrong(&path, &message))
            }
        }
    }

    fn source(self) -> Option<Source> {
        match self {
            Self::Kubernetes => Some(Source {
                files: &[
                    "etc/kubernetes/manifests/kube-apiserver.yaml",
                    "etc/rancher/k3s/config.yaml",
                    "etc/rancher/k3s/config.yaml.d/*.yaml",
                    "etc/rancher/rke2/config.yaml",
                    "etc/rancher/rke2/config.yaml.d/*.yaml",
                ],
                names: &["service-node-port-range"],
                find: |text| words_after(text, "service-node-port-range").map(node_ports),
            }),
            Self::Nomad => Some(Source {
                files: &["etc/nomad.d/*.hcl"],
                names: &["min_dynamic_port", "max_dynamic_port"],
                find: nomad,
            }),
            Self::Ecs => Some(Source {
                files: &["etc/ecs/ecs.config"],
                names: &["ECS_DYNAMIC_HOST_PORT_RANGE"],
                find: |text| words_after(text, "ECS_DYNAMIC_HOST_PORT_RANGE").map(range),
            }),
            Self::Agones | Self::Docker => None,
        }
    }
}

/// Where a system's own range is configured.
struct Source {
    files: &'static [&'static str],
    /// What stands before it.
    names: &'static [&'static str],
    find: Find,
}

fn wrong(path: &Path, message: &str) -> Error {
    Error::refused(format!("{}: {message}", path.display()))
        .with_hint("fix the file, or name the ports instead of a preset")
}

/// The files of a pattern such as `conf.d/*.yaml`, of those that are there.
fn matching(pattern: &Path) -> Result<Vec<PathBuf>> {
    let name = pattern.file_name().unwrap_or_default().as_encoded_bytes();
    let Some(end) = name.strip_prefix(b"*") else {
        return Ok(match fs::symlink_metadata(pattern) {
            Err(error) if is_missing(&error) => Vec::new(),
            // What cannot be looked at is not to be passed over: reading it says why.
            _ => vec![pattern.to_owned()],
        });
    };
    let directory = pattern.parent().unwrap_or(pattern);
    let failed = || format!("cannot read {}", directory.display());
    let entries = match fs::read_dir(directory) {
        Err(error) if is_missing(&error) => return Ok(Vec::new()),
        entries => entries.with_context(failed)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.with_context(failed)?;
        let name = entry.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.ends_with(end) && !bytes.starts_with(b".") {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

type Range = Result<(u16, u16), String>;

/// Finds the range in a text.
type Find = fn(&str) -> Option<Range>;

/// `30000-32767`, perhaps in quotes.
fn range(text: &str) -> Range {
    let text = text.trim_matches(['"', '\'', ' ']);
    parse(text.split_once('-')).ok_or_else(|| text.to_owned())
}

/// The same, or `30000+2767`, or one port.
fn node_ports(text: &str) -> Range {
    let text = text.trim_matches(['"', '\'', ' ']);
    let by_length = || {
        let (start, more) = text.split_once('+')?;
        let start: u16 = start.trim().parse().ok()?;
        let end = start.checked_add(more.trim().parse().ok()?)?;
        (start > 0).then_some((start, end))
    };
    let one = || parse(Some((text, text)));
    range(text).or_else(|wrong| by_length().or_else(one).ok_or(wrong))
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
    use std::sync::atomic::{AtomicUsize, Ordering};

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
                "4646-4648/tcp 20000-32000/tcp 4648/udp 20000-32000/udp",
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
        assert_eq!(range("\"31000-31999\""), Ok((31000, 31999)));
        for wrong in ["", "1", "2-1", "0-1", "1-65536", "a-b"] {
            assert_eq!(range(wrong), Err(wrong.to_owned()));
        }
        for (text, ends) in [
            ("30000-30010", (30000, 30010)),
            ("30000+10", (30000, 30010)),
            ("'30000'", (30000, 30000)),
        ] {
            assert_eq!(node_ports(text), Ok(ends));
        }
        assert_eq!(node_ports("65000+1000"), Err("65000+1000".to_owned()));
        let client =
            "client {\n  enabled = true\n  # max_dynamic_port = 9\n  min_dynamic_port = 25000\n}";
        assert_eq!(nomad(client), Some(Ok((25000, 32000))));
        assert_eq!(nomad("client { enabled = true }"), None);
    }

    /// Below a root of its own, a file each: what the preset makes of it.
    fn of_files(preset: Preset, files: &[(&str, &str)]) -> Result<String, String> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("presets-{}-{count}", std::process::id()));
        for (file, text) in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().expect("a directory")).expect("make a directory");
            fs::write(path, text).expect("write");
        }
        let found = preset.ports(&root);
        let _ = fs::remove_dir_all(&root);
        let found = found.map_err(|error| error.message().to_owned())?;
        let ranges = found.ranges.iter().filter(|it| it.count() > 50);
        let ranges: Vec<_> = ranges.map(ToString::to_string).collect();
        Ok(ranges.join(" "))
    }

    #[test]
    fn configuration_in_every_shape() {
        const MANIFEST: &str = "etc/kubernetes/manifests/kube-apiserver.yaml";
        const K3S: &str = "etc/rancher/k3s/config.yaml";
        const MORE: &str = "etc/rancher/k3s/config.yaml.d/10.yaml";
        for (file, text) in [
            (
                MANIFEST,
                "command: [kube-apiserver, --service-node-port-range=21000-21999]",
            ),
            (
                MANIFEST,
                "- command:\r\n  - \"--service-node-port-range=21000-21999\"\r\n",
            ),
            (
                MANIFEST,
                "\u{feff}- --service-node-port-range=21000+999 # ours\n",
            ),
            (K3S, "service-node-port-range: \"21000-21999\"\n"),
            (
                K3S,
                "kube-apiserver-arg:\n- service-node-port-range=21000-21999\n",
            ),
            (
                MORE,
                "kube-apiserver-arg: ['service-node-port-range=21000-21999']\n",
            ),
        ] {
            let found = of_files(Preset::Kubernetes, &[(file, text)]);
            let wanted = "21000-21999/tcp 21000-21999/udp".to_owned();
            assert_eq!(found, Ok(wanted), "{text}");
        }
        // The last file counts, and one that says nothing does not.
        let found = of_files(
            Preset::Nomad,
            &[
                (
                    "etc/nomad.d/a.hcl",
                    "client { min_dynamic_port = 21000, max_dynamic_port = 29999 }",
                ),
                (
                    "etc/nomad.d/b.hcl",
                    "client {\n /* min_dynamic_port = 1 */\n max_dynamic_port = 21999\n}\n",
                ),
                ("etc/nomad.d/.c.hcl", "client { min_dynamic_port = 1 }"),
                ("etc/nomad.d/d.hcl~", "client { min_dynamic_port = 1 }"),
            ],
        );
        assert_eq!(found, Ok("21000-21999/tcp 21000-21999/udp".to_owned()));
        // What is set in a way that is not understood is not taken for what the documents say.
        for (preset, file, text) in [
            (
                Preset::Kubernetes,
                MANIFEST,
                "- --service-node-port-range\n- 21000-21999\n",
            ),
            (
                Preset::Kubernetes,
                MANIFEST,
                "- --service-node-port-range=$(RANGE)\n",
            ),
            (
                Preset::Nomad,
                "etc/nomad.d/x.hcl",
                "min_dynamic_port = local.min",
            ),
            (
                Preset::Ecs,
                "etc/ecs/ecs.config",
                "export ECS_DYNAMIC_HOST_PORT_RANGE=1-2",
            ),
        ] {
            let found = of_files(preset, &[(file, text)]);
            assert!(found.is_err(), "{text}: {found:?}");
        }
    }

    /// A part of what is listened on may be below a configured range.
    #[test]
    fn a_range_over_a_part_of_a_fixed_one() -> Result<()> {
        let root = std::env::temp_dir().join(format!("preset-{}", std::process::id()));
        let file = root.join("etc/rancher/k3s/config.yaml");
        fs::create_dir_all(file.parent().expect("a directory"))?;
        fs::write(&file, "service-node-port-range: 2380-2999")?;
        let found = Preset::Kubernetes.ports(&root);
        fs::remove_dir_all(&root)?;
        let found = found?.ranges;
        let has = |port: u16| {
            found
                .iter()
                .any(|it| it.protocol() == Protocol::Tcp && it.ports().any(|it| it == port))
        };
        assert!(
            has(2379) && has(2380) && has(2999) && !has(3000),
            "{found:?}"
        );
        Ok(())
    }

    /// Links that lead nowhere, devices, directories: refused, or as if there were none.
    #[test]
    fn what_is_no_file() {
        let root = std::env::temp_dir().join(format!("preset-links-{}", std::process::id()));
        let file = root.join("etc/ecs/ecs.config");
        fs::create_dir_all(file.parent().expect("a directory")).expect("make a directory");
        let tell = || Preset::Ecs.ports(&root).map(|_| ());
        for (target, refused) in [("ecs.config", true), ("/dev/zero", true), ("..", true)] {
            std::os::unix::fs::symlink(target, &file).expect("link");
            assert_eq!(tell().is_err(), refused, "{target}");
            fs::remove_file(&file).expect("remove");
        }
        let long = "#".repeat(5 << 20);
        fs::write(&file, long).expect("write");
        assert!(tell().is_err(), "a huge file");
        fs::write(&file, [0xff, 0xfe, 0, 1, b'\n']).expect("write");
        assert!(tell().is_ok(), "no text at all");
        let _ = fs::remove_dir_all(&root);
    }
}

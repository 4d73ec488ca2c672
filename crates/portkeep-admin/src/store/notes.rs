//! What Portkeep notes for itself, in a file of its own beside that of the administrators: a tool that
//! replaces theirs as a whole takes nothing away here.

use std::path::PathBuf;

use portkeep::{PortRange, Protocol};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::store::document::{as_text, parse};
use crate::store::port_set::PortSet;
use crate::store::scope::Scope;

/// The version of the format that this crate writes and reads.
const VERSION: u32 = 1;

const HEADER: &str = "\
# Portkeep's own notes, kept while it changes the kernel and over reboots. Not to be edited; what is
# to be reserved is in reservations.toml.

";

/// The notes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Notes {
    pub version: u32,
    /// The network namespace of [`Scope::Home`] in this boot: that in which `enable`, or before it
    /// the first command, ran. A command that runs in another one must not take it for home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<Scope>,
    /// How the operator wants the kernel part installed.
    #[serde(default, skip_serializing_if = "Settings::is_default")]
    pub settings: Settings,
    /// What Portkeep has added to `ip_local_reserved_ports`, by network namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protected: Vec<Protected>,
    /// What the kernel part has because the store had it, by network namespace. If the kernel part
    /// still has it and the store no longer, an administrator has deleted it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub applied: Vec<Applied>,
    /// Ports whose reservation in the kernel is being made or removed. If it was interrupted, what
    /// the kernel has there and the store has not is to go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Pending>,
}

/// What `enable` was told and keeps to until it is told otherwise. `None`: nothing, so the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The first and the last port that requests without a port are served from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<(u16, u16)>,
    /// How many ports an unprivileged user may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<u32>,
    /// The cgroups whose processes can make the control calls; none for those of every process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Vec<PathBuf>>,
}

impl Settings {
    fn is_default(&self) -> bool {
        *self == Settings::default()
    }
}

/// Ports that Portkeep, and not somebody else, has added to `ip_local_reserved_ports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protected {
    /// The namespace by its cookie: another one at the same path has a list of its own.
    pub netns: Scope,
    /// Where it is found, unless it is home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The ports.
    pub ports: PortSet,
}

/// Ports that the kernel part has because the store had them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// The namespace by its cookie, 0 for what holds in every one.
    pub netns: Scope,
    /// Where it is found, unless it is home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "PortSet::is_empty")]
    pub tcp: PortSet,
    #[serde(default, skip_serializing_if = "PortSet::is_empty")]
    pub udp: PortSet,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    #[serde(with = "as_text")]
    pub ports: PortRange,
    pub netns: Scope,
}

impl Default for Notes {
    fn default() -> Notes {
        Notes {
            version: VERSION,
            home: None,
            settings: Settings::default(),
            protected: Vec::new(),
            applied: Vec::new(),
            pending: Vec::new(),
        }
    }
}

impl Applied {
    pub fn new(netns: Scope, path: Option<PathBuf>) -> Applied {
        Applied {
            netns,
            path,
            tcp: PortSet::new(),
            udp: PortSet::new(),
        }
    }

    fn of(&mut self, protocol: Protocol) -> &mut PortSet {
        match protocol {
            Protocol::Tcp => &mut self.tcp,
            Protocol::Udp => &mut self.udp,
        }
    }

    pub fn insert(&mut self, ports: PortRange) {
        self.of(ports.protocol())
            .insert(ports.start()..=ports.end());
    }

    /// Whether all of the ports are among them.
    pub fn contains(&self, ports: PortRange) -> bool {
        let set = match ports.protocol() {
            Protocol::Tcp => &self.tcp,
            Protocol::Udp => &self.udp,
        };
        (ports.start()..=ports.end()).all(|port| set.contains(port))
    }

    pub fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.udp.is_empty()
    }
}

impl Notes {
    /// Reads the text of the file.
    pub fn parse(text: &str) -> Result<Notes, Error> {
        parse(text, VERSION)
    }

    /// The text, which [`Notes::parse`] reads.
    pub fn format(&self) -> Result<String, Error> {
        toml::to_string(self)
            .map(|text| format!("{HEADER}{text}"))
            .map_err(|error| Error::new(ErrorKind::InvalidInput, error.to_string()))
    }

    /// What was applied in a network namespace, by its identity.
    pub fn applied(&self, netns: &Scope) -> Option<&Applied> {
        self.applied.iter().find(|applied| applied.netns == *netns)
    }

    /// Replaces what was applied in a network namespace.
    pub fn set_applied(&mut self, applied: Applied) {
        self.applied.retain(|old| old.netns != applied.netns);
        if !applied.is_empty() {
            self.applied.push(applied);
            self.applied
                .sort_by(|one, other| one.netns.cmp(&other.netns));
        }
    }

    /// Leaves out what ended with an earlier boot: the kernel's own truth did, every reservation and
    /// setting of it.
    pub fn forget_the_past(&mut self, boot: &str) {
        self.home.take_if(|scope| scope.is_of_the_past(boot));
        let current = |scope: &Scope| matches!(scope, Scope::Living { boot: of, .. } if of == boot);
        self.protected.retain(|entry| current(&entry.netns));
        self.applied.retain(|entry| current(&entry.netns));
        self.pending.retain(|entry| current(&entry.netns));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
version = 1
home = "1@6f1c"

[settings]
pool = [20000, 20009]
quota = 0
control = ["/sys/fs/cgroup/build"]

[[protected]]
netns = "1@6f1c"
ports = "40000-40009"

[[applied]]
netns = "1@6f1c"
tcp = "80,8080-8089"

[[pending]]
ports = "90-99/udp"
netns = "0@6f1c"
"#;

    #[test]
    fn are_read_and_written() {
        let notes = Notes::parse(TEXT).expect("notes");
        assert_eq!(notes.settings.pool, Some((20000, 20009)));
        assert!(notes.protected[0].ports.contains(40009));
        let applied = &notes.applied[0];
        for (ports, contained) in [
            ("80/tcp", true),
            ("8080-8089/tcp", true),
            ("8080-8090/tcp", false),
            ("80/udp", false),
        ] {
            assert_eq!(applied.contains(ports.parse().expect("ports")), contained);
        }
        let text = notes.format().expect("text");
        assert_eq!(Notes::parse(&text).expect("notes"), notes);
        let nothing = Notes::default().format().expect("text");
        assert_eq!(nothing, format!("{HEADER}version = 1\n"));
    }

    #[test]
    fn later_versions_are_told_from_damage() {
        let kind = |text: &str| Notes::parse(text).expect_err("refused").kind();
        assert_eq!(kind("version = 2\nlater = true\n"), ErrorKind::NewerVersion);
        for text in [
            "",
            "?",
            "version = 1\nlater = true\n",
            &TEXT[..TEXT.len() - 9],
        ] {
            assert_eq!(kind(text), ErrorKind::Damaged, "{text:?}");
        }
    }

    #[test]
    fn what_ended_with_the_boot_is_forgotten() {
        let mut notes = Notes::parse(TEXT).expect("notes");
        notes.forget_the_past("6f1c");
        assert_eq!(notes, Notes::parse(TEXT).expect("notes"));
        notes.forget_the_past("another");
        let settings = notes.settings.clone();
        assert_eq!(settings.quota, Some(0));
        assert_eq!(
            notes,
            Notes {
                settings,
                ..Notes::default()
            }
        );
    }
}

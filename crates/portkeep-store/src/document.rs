//! The text of the store.

use portkeep::PortRange;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::port_set::PortSet;
use crate::scope::Scope;

/// The version of the format that this crate writes and reads.
const VERSION: u32 = 1;

const HEADER: &str = "\
# Portkeep's persistent reservations and exclusions. The commands reserve, unreserve, exclude and
# include of portkeep change it; `portkeep enable` makes the kernel agree with it.

";

/// All that the store has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Document {
    pub version: u32,
    /// The network namespace of [`Scope::Home`] in this boot: that in which `enable`, or before it
    /// the first command, ran. A command that runs in another one must not take it for home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<Scope>,
    #[serde(default, rename = "reservation", skip_serializing_if = "Vec::is_empty")]
    pub reservations: Vec<Record>,
    #[serde(default, rename = "exclusion", skip_serializing_if = "Vec::is_empty")]
    pub exclusions: Vec<Record>,
    /// What Portkeep has added to `ip_local_reserved_ports`, by network namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protected: Vec<Protected>,
    /// Ports whose reservation in the kernel is being made or removed. If it was interrupted, what
    /// the kernel has there and the store has not is to go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Pending>,
}

/// A persistent reservation or an exclusion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The ports.
    #[serde(with = "as_text")]
    pub ports: PortRange,
    /// Where they are reserved.
    #[serde(default, skip_serializing_if = "Scope::is_home")]
    pub netns: Scope,
    /// The users that may bind there, by name or number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// The groups whose members may bind there, by name or number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The cgroups whose processes may bind there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cgroups: Vec<String>,
    /// What the operator noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// Ports that Portkeep, and not somebody else, has added to `ip_local_reserved_ports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protected {
    /// The namespace by its cookie: another one at the same path has a list of its own.
    pub netns: Scope,
    /// Where it is found, unless it is home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<std::path::PathBuf>,
    /// The ports.
    pub ports: PortSet,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    #[serde(with = "as_text")]
    pub ports: PortRange,
    pub netns: Scope,
}

impl Default for Document {
    fn default() -> Document {
        Document {
            version: VERSION,
            home: None,
            reservations: Vec::new(),
            exclusions: Vec::new(),
            protected: Vec::new(),
            pending: Vec::new(),
        }
    }
}

impl Document {
    /// Reads the text of a store.
    pub fn parse(text: &str) -> Result<Document, Error> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let parsed: Result<Document, _> = toml::from_str(text);
        // A later version may have fields that are unknown here.
        let version = match &parsed {
            Ok(document) => Ok(document.version),
            Err(_) => toml::from_str(text).map(|Version { version }| version),
        };
        match version {
            Ok(version) if version > VERSION => Err(Error::new(
                ErrorKind::NewerVersion,
                format!("it has version {version}, this program knows version {VERSION}"),
            )),
            _ => parsed.map_err(|error| {
                Error::new(ErrorKind::Damaged, error.to_string().trim_end().to_owned())
            }),
        }
    }

    /// The text, which [`Document::parse`] reads.
    pub fn format(&self) -> Result<String, Error> {
        toml::to_string(self)
            .map(|text| format!("{HEADER}{text}"))
            .map_err(|error| Error::new(ErrorKind::InvalidInput, error.to_string()))
    }

    /// Leaves out what ended with an earlier boot.
    pub fn forget_the_past(&mut self, boot: &str) {
        self.home.take_if(|scope| scope.is_of_the_past(boot));
        self.reservations
            .retain(|record| !record.netns.is_of_the_past(boot));
        self.exclusions
            .retain(|record| !record.netns.is_of_the_past(boot));
        self.protected
            .retain(|entry| !entry.netns.is_of_the_past(boot));
        // The kernel's own truth ended with the boot, every reservation of it.
        let current = |scope: &Scope| matches!(scope, Scope::Living { boot: of, .. } if of == boot);
        self.pending.retain(|entry| current(&entry.netns));
    }
}

/// Values that are written as their `Display` and read by their `FromStr`.
mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr,
        T::Err: Display,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portkeep::Protocol;
    use proptest::prelude::*;

    const TEXT: &str = r#"
version = 1
home = "1@6f1c"

[[reservation]]
ports = "10000-20000/udp"
users = ["asterisk"]
comment = "RTP, \"media\""

[[exclusion]]
ports = "8080/tcp"
netns = "every"

[[protected]]
netns = "1@6f1c"
ports = "40000-40009"
"#;

    fn record(ports: &str) -> Record {
        Record {
            ports: ports.parse().expect("a range"),
            netns: Scope::Home,
            users: Vec::new(),
            groups: Vec::new(),
            cgroups: Vec::new(),
            comment: None,
        }
    }

    #[test]
    fn is_read_and_written() {
        let document = Document::parse(TEXT).expect("a document");
        let expected = Record {
            users: vec!["asterisk".to_owned()],
            comment: Some("RTP, \"media\"".to_owned()),
            ..record("10000-20000/udp")
        };
        assert_eq!(document.reservations, [expected]);
        assert_eq!(document.exclusions[0].netns, Scope::Every);
        assert!(document.protected[0].ports.contains(40009));
        let text = document.format().expect("text");
        assert_eq!(Document::parse(&text).expect("a document"), document);
    }

    #[test]
    fn a_later_version_and_damage_are_told_apart() {
        let kind = |text: &str| Document::parse(text).expect_err("refused").kind();
        assert_eq!(kind("version = 2\nlater = true\n"), ErrorKind::NewerVersion);
        for text in [
            "",
            "version = 1\nlater = true\n",
            "version = -1\n",
            "version = 1\n[[reservation]]\nports = \"1-2/sctp\"\n",
            "version = 1\n[[reservation]]\nports = \"9-2/tcp\"\n",
            &TEXT[..TEXT.len() - 10],
            "\0\0\0\0",
        ] {
            assert_eq!(kind(text), ErrorKind::Damaged, "{text:?}");
        }
    }

    #[test]
    fn what_ended_with_the_boot_is_forgotten() {
        let mut document = Document::parse(TEXT).expect("a document");
        document.forget_the_past("6f1c");
        assert_eq!(document, Document::parse(TEXT).expect("a document"));
        document.forget_the_past("another");
        assert_eq!((document.home, document.protected), (None, Vec::new()));
        assert_eq!(
            (document.reservations.len(), document.exclusions.len()),
            (1, 1)
        );
    }

    proptest! {
        #[test]
        fn any_text(text in "\\PC*") {
            let _ = Document::parse(&text);
        }

        #[test]
        fn any_words_survive(words: Vec<String>, comment: Option<String>, start in 1..=u16::MAX) {
            let ports = PortRange::new(Protocol::Tcp, start, u16::MAX)?;
            let reservation = Record { ports, users: words, comment, ..record("1/tcp") };
            let document = Document { reservations: vec![reservation], ..Document::default() };
            let text = document.format().map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(Document::parse(&text).ok(), Some(document));
        }
    }
}

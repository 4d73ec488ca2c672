//! All that the store has: what administrators and commands want, and Portkeep's own notes.

use std::path::PathBuf;

use portkeep::PortRange;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::store::fleet::FleetTag;
use crate::store::notes::Notes;
use crate::store::scope::Scope;

/// All that the store has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    pub reservations: Vec<Record>,
    pub exclusions: Vec<Record>,
    pub notes: Notes,
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
    /// The file that declares it, for [`Keeper::apply`](crate::Keeper::apply); `None` for what a
    /// command or an editor made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<PathBuf>,
    /// The fleet's reservation that it is, on this machine. The fleet's agent makes and ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetTag>,
}

impl Document {
    /// Leaves out what ended with an earlier boot.
    pub fn forget_the_past(&mut self, boot: &str) {
        self.reservations
            .retain(|record| !record.netns.is_of_the_past(boot));
        self.exclusions
            .retain(|record| !record.netns.is_of_the_past(boot));
        self.notes.forget_the_past(boot);
    }
}

/// Reads a file of which this crate knows the versions up to one.
pub fn parse<T: DeserializeOwned>(text: &str, known: u32) -> Result<T, Error> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    // A later version may have fields that are unknown here.
    match toml::from_str(text) {
        Ok(Version { version }) if version > known => Err(Error::new(
            ErrorKind::NewerVersion,
            format!("it has version {version}, and this program supports version {known}"),
        )),
        _ => toml::from_str(text).map_err(|error| {
            Error::new(ErrorKind::Damaged, error.to_string().trim_end().to_owned())
        }),
    }
}

/// Values that are written as their `Display` and read by their `FromStr`.
pub mod as_text {
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

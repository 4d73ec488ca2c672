use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which reservation of a fleet an entry is. Text is as in `prod/rtp#3`: fleet, ID and generation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FleetTag {
    /// The name of the fleet.
    pub fleet: String,
    /// The reservation's ID there.
    pub id: String,
    /// The version of the operator's wish.
    pub generation: u64,
    /// Whether it is a job's grant, which is gone with the boot, and not an operator's policy. The text does
    /// not say so; the file that it is in does.
    pub grant: bool,
}

impl FleetTag {
    /// As in `fleet prod, policy rtp`.
    pub fn owner(&self) -> String {
        let what = if self.grant { "grant" } else { "policy" };
        format!("fleet {}, {what} {}", self.fleet, self.id)
    }

    /// Whether both are of one reservation, in whatever version.
    pub fn is_same(&self, other: &FleetTag) -> bool {
        (&self.fleet, &self.id) == (&other.fleet, &other.id)
    }
}

impl fmt::Display for FleetTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}#{}", self.fleet, self.id, self.generation)
    }
}

impl FromStr for FleetTag {
    type Err = String;

    fn from_str(text: &str) -> Result<FleetTag, String> {
        let parse = || {
            let (fleet, rest) = text.split_once('/')?;
            // An ID may have the character, too.
            let (id, generation) = rest.rsplit_once('#')?;
            Some(FleetTag {
                fleet: name(fleet)?,
                id: name(id)?,
                generation: generation.parse().ok()?,
                grant: false,
            })
        };
        parse().ok_or_else(|| {
            format!("'{text}' does not name a reservation of a fleet, as in \"prod/rtp#3\"")
        })
    }
}

/// Those of the fleet's own names: they are shown as they are.
fn name(text: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.#".contains(&byte);
    let right = (1..=64).contains(&text.len()) && text.bytes().all(allowed);
    right.then(|| text.to_owned())
}

impl Serialize for FleetTag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FleetTag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FleetTag, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text() {
        let tag: FleetTag = "prod/rtp#old#3".parse().expect("a tag");
        assert_eq!((tag.id.as_str(), tag.generation), ("rtp#old", 3));
        assert_eq!(tag.to_string(), "prod/rtp#old#3");
        assert_eq!(tag.owner(), "fleet prod, policy rtp#old");
        for text in [
            "",
            "prod",
            "prod/rtp",
            "prod/#3",
            "/rtp#3",
            "a/b/c#3",
            "prod/rtp#-1",
            "prod/r p#1",
            "prod/\x1b#1",
        ] {
            assert!(text.parse::<FleetTag>().is_err(), "{text:?}");
        }
    }
}

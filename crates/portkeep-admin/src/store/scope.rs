use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The network namespaces that a persistent reservation holds in, as the store writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// That of the machine, or of the container that the store belongs to. The store leaves it out.
    #[default]
    Home,
    /// All there are and all there will be. Written `every`.
    Every,
    /// That which is found at a path, as `ip netns add` makes them. Written as the absolute path.
    At(PathBuf),
    /// One that has no name, until it goes: its cookie (`SO_NETNS_COOKIE`), which means something
    /// in one boot (`/proc/sys/kernel/random/boot_id`) only. Written `COOKIE@BOOT`.
    Living {
        /// `SO_NETNS_COOKIE`
        cookie: u64,
        /// The boot, in which the cookie means something.
        boot: String,
    },
}

impl Scope {
    pub(crate) fn is_home(&self) -> bool {
        *self == Scope::Home
    }

    /// Whether the namespace went with an earlier boot.
    pub(crate) fn is_of_the_past(&self, current_boot: &str) -> bool {
        matches!(self, Scope::Living { boot, .. } if boot != current_boot)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Home => f.write_str("home"),
            Scope::Every => f.write_str("every"),
            Scope::At(path) => path.display().fmt(f),
            Scope::Living { cookie, boot } => write!(f, "{cookie}@{boot}"),
        }
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Scope, String> {
        match text {
            "home" => return Ok(Scope::Home),
            "every" => return Ok(Scope::Every),
            _ if text.starts_with('/') => return Ok(Scope::At(text.into())),
            _ => {}
        }
        text.split_once('@')
            .and_then(|(cookie, boot)| {
                Some(Scope::Living {
                    cookie: cookie.parse().ok()?,
                    boot: boot.to_owned(),
                })
            })
            .ok_or_else(|| {
                format!(
                    "'{text}' is not a network namespace: neither 'every', a path nor COOKIE@BOOT"
                )
            })
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scope, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text() {
        for scope in [
            Scope::Home,
            Scope::Every,
            Scope::At("/run/netns/blue".into()),
            Scope::Living {
                cookie: 4711,
                boot: "6f1c".to_owned(),
            },
        ] {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        for text in ["", "blue", "1", "x@6f1c"] {
            assert!(text.parse::<Scope>().is_err(), "{text:?}");
        }
    }
}

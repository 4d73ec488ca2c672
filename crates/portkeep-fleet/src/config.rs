//! The configuration file of this machine: which engine, with which certificates, as which node.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portkeep::PortRange;
use portkeep_fleet_core::data::Name;
use serde::{Deserialize, Serialize, Serializer};

use crate::error::{Error, Result};

/// Names another file than `/etc/portkeep/fleet.toml`.
pub const VARIABLE: &str = "PORTKEEP_FLEET_CONFIG";

const DEFAULT: &str = "/etc/portkeep/fleet.toml";

/// What the file has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The fleet's name, which is part of all its keys.
    pub name: Name,
    /// URLs of etcd's members.
    pub engine: Vec<String>,
    /// The certificate of who signed the certificates of etcd's members.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Who this is, in etcd: a certificate, or a chain of them.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// The certificate's private key.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// The node that this machine is. The certificate's common name is the same.
    #[serde(default)]
    pub node: Option<Name>,
    /// How many ports the fleet may take on this node, in all. No limit, if there is none.
    #[serde(default)]
    pub max_ports: Option<u32>,
    /// Ports that the fleet may not take on this node.
    #[serde(default, deserialize_with = "ranges", serialize_with = "texts")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub never: Vec<PortRange>,
    /// How long to wait for etcd.
    #[serde(default, skip_serializing_if = "Timing::is_default")]
    pub timing: Timing,
}

/// How long to wait for etcd. The defaults are for a network; tests want to wait less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Timing {
    /// For an answer, in milliseconds.
    pub answer: u32,
    /// Until a silent connection is asked whether it is still there, in milliseconds.
    pub keep_alive: u32,
    /// How long `alive` stays without its agent, in seconds.
    pub lease: u32,
    /// Between two full looks at the engine, in seconds.
    pub resync: u32,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            answer: 5_000,
            keep_alive: 20_000,
            lease: 30,
            resync: 600,
        }
    }
}

impl Timing {
    fn is_default(&self) -> bool {
        *self == Timing::default()
    }

    pub(crate) fn answer(&self) -> Duration {
        Duration::from_millis(self.answer.into())
    }

    pub(crate) fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.keep_alive.into())
    }
}

fn ranges<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<PortRange>, D::Error> {
    let texts: Vec<String> = Vec::deserialize(deserializer)?;
    let parse = |text: &String| text.parse().map_err(serde::de::Error::custom);
    texts.iter().map(parse).collect()
}

fn texts<S: Serializer>(ranges: &[PortRange], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(ranges.iter().map(PortRange::to_string))
}

impl Config {
    /// Where the file is.
    pub fn path() -> PathBuf {
        env::var_os(VARIABLE).map_or_else(|| DEFAULT.into(), PathBuf::from)
    }

    /// Reads the file of this machine.
    ///
    /// # Errors
    ///
    /// If it is not there, or not as it has to be.
    pub fn read() -> Result<Config> {
        Config::read_from(&Config::path())
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// If it is not there, or not as it has to be.
    pub fn read_from(path: &Path) -> Result<Config> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::usage(format!("cannot read {}: {error}", path.display())).with_hint(format!(
                "`portkeep fleet join` writes it; {VARIABLE} names another"
            ))
        })?;
        Config::parse(&text).map_err(|error| error.context(&path.display().to_string()))
    }

    /// Parses the file's text.
    ///
    /// # Errors
    ///
    /// If it is not as it has to be.
    pub fn parse(text: &str) -> Result<Config> {
        let config: Config =
            toml::from_str(text).map_err(|error| Error::usage(error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// Checks what the format cannot express.
    ///
    /// # Errors
    ///
    /// If it could not work, or would not be safe.
    pub fn check(&self) -> Result<()> {
        if self.engine.is_empty() {
            return Err(Error::usage("`engine` names no member of etcd"));
        }
        let files = [&self.ca, &self.certificate, &self.key];
        let complete = files.iter().all(|file| file.is_some());
        for url in &self.engine {
            match url.split_once("://") {
                Some(("https", _)) if complete => {}
                Some(("https", _)) => {
                    return Err(Error::usage("`ca`, `certificate` and `key` are missing")
                        .with_hint("etcd is asked with a client certificate only"));
                }
                Some(("http", rest)) if is_loopback(rest) => {}
                Some(("http", _)) => {
                    return Err(Error::usage(format!(
                        "{url}: without TLS, etcd is only asked on the loopback interface"
                    ))
                    .with_hint("write https://"));
                }
                _ => return Err(Error::usage(format!("{url}: expected https://HOST:PORT"))),
            }
        }
        Ok(())
    }

    /// The prefix of all the fleet's keys.
    pub fn prefix(&self) -> String {
        format!("/portkeep/v1/{}/", self.name)
    }
}

fn is_loopback(rest: &str) -> bool {
    let host = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let host = host.map_or_else(
        || rest.split([':', '/']).next().unwrap_or_default(),
        |(host, _)| host,
    );
    host == "localhost"
        || host
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// Labels, as `role=media`.
///
/// # Errors
///
/// If one has no `=`, or occurs twice.
pub fn labels(texts: &[String]) -> Result<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for text in texts {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| Error::usage(format!("{text}: expected NAME=VALUE")))?;
        if labels.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Error::usage(format!("the label {name} occurs twice")));
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_on_the_loopback_interface_only() {
        let parse = |url: &str| Config::parse(&format!("name = \"prod\"\nengine = [\"{url}\"]"));
        for url in [
            "http://127.0.0.1:2379",
            "http://[::1]:2379",
            "http://localhost",
        ] {
            parse(url).expect(url);
        }
        for url in [
            "http://10.0.0.1:2379",
            "http://127.0.0.1.example.org",
            "https://10.0.0.1:2379",
            "etcd:2379",
        ] {
            parse(url).expect_err(url);
        }
    }

    #[test]
    fn limits_are_ranges() {
        let text = "name = \"p\"\nengine = [\"http://[::1]:1\"]\nnever = [\"22/tcp\", \"2379-2380/tcp\"]\nmax-ports = 9";
        let config = Config::parse(text).expect("a configuration");
        assert_eq!(config.never.len(), 2);
        assert_eq!(config.prefix(), "/portkeep/v1/p/");
        assert!(Config::parse(&text.replace("22/tcp", "22")).is_err());
        assert!(Config::parse(&text.replace("max-ports", "maxports")).is_err());
    }
}

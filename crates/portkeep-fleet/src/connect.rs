//! How commands reach the engine: by the configuration file, or by options in its place.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use portkeep_fleet_core::data::Name;

use crate::config::Config;
use crate::engine::Engine;
use crate::error::{Error, Result};

/// The engine of the configuration file, connected.
///
/// # Errors
///
/// If there is no file, or etcd does not answer.
pub async fn engine() -> Result<Engine> {
    let engine = Engine::new(Config::read()?);
    engine.connect().await?;
    Ok(engine)
}

/// Where etcd is and who asks, for a machine that has no configuration file yet.
#[derive(Debug, Args)]
#[command(next_help_heading = "Engine")]
pub struct EngineArguments {
    /// URLs of etcd's members, as https://etcd-1:2379,https://etcd-2:2379
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    engine: Vec<String>,
    /// Certificate of the authority that signed those of etcd's members
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Certificate of this machine or person
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Private key of the certificate
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl EngineArguments {
    /// The configuration: the file's, where there is one, with what the options say. And whether it is
    /// not what the file has.
    ///
    /// # Errors
    ///
    /// If something is missing, or contradicts the file.
    pub fn configuration(&self, name: &Name, node: Option<&Name>) -> Result<(Config, bool)> {
        let path = Config::path();
        let known = match path.exists() {
            true => Some(Config::read_from(&path)?),
            false => None,
        };
        if let Some(known) = known.as_ref().filter(|known| known.name != *name) {
            return Err(Error::refused(format!(
                "{} is of the fleet {}",
                path.display(),
                known.name
            ))
            .with_hint(format!(
                "remove it, or set {} to another file",
                crate::config::VARIABLE
            )));
        }
        let mut config = known.clone().unwrap_or_else(|| Config {
            name: name.clone(),
            engine: Vec::new(),
            ca: None,
            certificate: None,
            key: None,
            node: None,
            max_ports: None,
            never: Vec::new(),
            timing: Default::default(),
        });
        if !self.engine.is_empty() {
            config.engine = self.engine.clone();
        }
        let options = [
            (&mut config.ca, &self.ca),
            (&mut config.certificate, &self.certificate),
            (&mut config.key, &self.key),
        ];
        for (known, given) in options {
            if let Some(given) = given {
                *known = Some(std::path::absolute(given)?);
            }
        }
        if node.is_some() {
            config.node = node.cloned();
        }
        config.check()?;
        let changed = known.is_none_or(|known| known != config);
        Ok((config, changed))
    }
}

/// Writes the configuration file.
///
/// # Errors
///
/// If it cannot be written.
pub fn save(config: &Config) -> Result<PathBuf> {
    let path = Config::path();
    let failed =
        |error: io::Error| Error::refused(format!("cannot write {}: {error}", path.display()));
    let text = toml::to_string(config).map_err(|error| Error::refused(error.to_string()))?;
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    replace(&path, text.as_bytes()).map_err(failed)?;
    Ok(path)
}

/// Replaces a file at one instant; a reader finds the old or the new one, whole.
///
/// # Errors
///
/// What the system says.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    // Not through a link that somebody has put there.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::File::create_new(&new)?;
    file.write_all(bytes)?;
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    file.sync_all()?;
    fs::rename(&new, path)
}

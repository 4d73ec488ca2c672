//! A package before it is one: its files and what is said about it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::architecture::Architecture;
use super::tree::Tree;
use super::{Settings, deb, packaging, rpm};

/// The kind of package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Deb,
    Rpm,
}

impl Format {
    pub fn name(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
        }
    }
}

/// A package while it is put together.
#[derive(Debug)]
pub struct Package {
    pub name: String,
    pub format: Format,
    pub architecture: Architecture,
    pub tree: Tree,
    /// Files that the administrator may change.
    pub configuration: Vec<String>,
    pub depends: Vec<String>,
    /// Tags of Lintian that are as they shall be.
    pub overrides: Vec<String>,
}

impl Package {
    pub fn new(
        settings: &Settings,
        format: Format,
        architecture: Architecture,
        name: &str,
    ) -> Result<Self> {
        let place = format!("{name}-{architecture}-{}", format.name());
        Ok(Self {
            name: name.to_owned(),
            format,
            architecture,
            tree: Tree::create(settings.work.join("trees").join(place))?,
            configuration: Vec::new(),
            depends: Vec::new(),
            overrides: Vec::new(),
        })
    }

    /// Packs it into the output directory.
    pub fn finish(&self, settings: &Settings) -> Result<PathBuf> {
        match self.format {
            Format::Deb => deb::build(settings, self),
            Format::Rpm => rpm::build(settings, self),
        }
    }

    /// What Debian calls control fields: section, and description at the end.
    pub fn control(&self) -> Result<String> {
        let name = match self.name.strip_suffix("-devel") {
            Some(name) => format!("{name}-dev"),
            None => self.name.clone(),
        };
        let path = packaging(format!("deb/{name}.control"));
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }
}

//! The man pages and the completions: from the definition of the command line, and for the pages the
//! examples and references in `packaging/man`.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::packaging;
use super::tree::Tree;
use crate::{command, root};

/// Where they have been written.
#[derive(Debug)]
pub struct Manual {
    directory: PathBuf,
}

/// Writes them to `man` and `completions` in the directory.
pub fn write(output: &Path) -> Result<Manual> {
    let directory = output.join("assets");
    if directory.exists() {
        fs::remove_dir_all(&directory).context("removing old man pages")?;
    }
    command::run(
        Command::new(env!("CARGO"))
            .current_dir(root())
            .args(["run", "--quiet", "--locked", "--package", "portkeep-cli"])
            .args(["--features", "assets"])
            .env("PORTKEEP_ASSETS", &directory),
    )?;
    let manual = Manual { directory };
    for page in manual.pages()? {
        let name = page.file_name().context("a page without a name")?;
        let more = packaging(Path::new("man").join(name));
        let more = fs::read(&more)
            .with_context(|| format!("reading {}: examples of a command", more.display()))?;
        OpenOptions::new()
            .append(true)
            .open(&page)
            .and_then(|mut file| file.write_all(&more))
            .with_context(|| format!("adding to {}", page.display()))?;
    }
    let described = fs::read_dir(packaging("man"))?.count();
    if described != manual.pages()?.len() {
        bail!("packaging/man describes {described} pages, the command has others");
    }
    Ok(manual)
}

impl Manual {
    /// All pages, in order.
    fn pages(&self) -> Result<Vec<PathBuf>> {
        let mut pages = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "8") {
                pages.push(path);
            }
        }
        pages.sort();
        Ok(pages)
    }

    /// Adds the pages, compressed, below the directory.
    pub fn add_pages(&self, tree: &Tree, to: &str) -> Result<()> {
        for page in self.pages()? {
            let name = page.file_name().unwrap_or_default().display();
            tree.compressed(&page, &format!("{to}/{name}.gz"))?;
        }
        Ok(())
    }

    /// A completion: `portkeep.bash`, `_portkeep` for zsh or `portkeep.fish`.
    pub fn completion(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

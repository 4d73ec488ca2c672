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

/// Those of a program.
#[derive(Debug)]
pub struct Manual {
    program: &'static str,
    /// Where they have been written.
    directory: PathBuf,
}

/// Writes them to `assets` in the directory.
pub fn write(output: &Path, package: &str, program: &'static str) -> Result<Manual> {
    let directory = output.join("assets").join(program);
    if directory.exists() {
        fs::remove_dir_all(&directory).context("removing old man pages")?;
    }
    command::run(
        Command::new(env!("CARGO"))
            .current_dir(root())
            .args(["run", "--quiet", "--locked", "--package", package])
            .args(["--features", "assets"])
            .env("PORTKEEP_ASSETS", &directory),
    )?;
    let manual = Manual { program, directory };
    let examples = packaging("man").join(program);
    for page in manual.pages()? {
        let name = page.file_name().context("a page without a name")?;
        let more = examples.join(name);
        let more = fs::read(&more)
            .with_context(|| format!("reading {}: examples of a command", more.display()))?;
        OpenOptions::new()
            .append(true)
            .open(&page)
            .and_then(|mut file| file.write_all(&more))
            .with_context(|| format!("adding to {}", page.display()))?;
    }
    let described = fs::read_dir(&examples)?.count();
    if described != manual.pages()?.len() {
        bail!(
            "{} describes {described} pages, {program} has others",
            examples.display()
        );
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

    /// The completions for bash, zsh and fish, in this order.
    pub fn completions(&self) -> [PathBuf; 3] {
        let program = self.program;
        [
            format!("{program}.bash"),
            format!("_{program}"),
            format!("{program}.fish"),
        ]
        .map(|name| self.directory.join(name))
    }
}

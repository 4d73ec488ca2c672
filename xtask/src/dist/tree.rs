//! Files as they will be installed, below a directory.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::command;

/// The root file system that a package adds to.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// An empty one at `root`, in place of what is there.
    pub fn create(root: PathBuf) -> Result<Self> {
        if root.exists() {
            fs::remove_dir_all(&root).with_context(|| format!("removing {}", root.display()))?;
        }
        fs::create_dir_all(&root).with_context(|| format!("making {}", root.display()))?;
        Ok(Self { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Adds a copy of a file.
    pub fn file(&self, from: &Path, to: &str, mode: u32) -> Result<()> {
        let to = self.place(to)?;
        fs::copy(from, &to).with_context(|| format!("copying {}", from.display()))?;
        set_mode(&to, mode)
    }

    /// Adds a file with this text.
    pub fn text(&self, text: &str, to: &str, mode: u32) -> Result<()> {
        let to = self.place(to)?;
        fs::write(&to, text).with_context(|| format!("writing {}", to.display()))?;
        set_mode(&to, mode)
    }

    /// Adds a compressed copy of a file.
    pub fn compressed(&self, from: &Path, to: &str) -> Result<()> {
        let to = self.place(to)?;
        let output = File::create(&to).with_context(|| format!("making {}", to.display()))?;
        let mut gzip = Command::new("gzip");
        command::run(gzip.arg("-9nc").arg(from).stdout(Stdio::from(output)))?;
        set_mode(&to, 0o644)
    }

    pub fn link(&self, target: &str, to: &str) -> Result<()> {
        symlink(target, self.place(to)?).with_context(|| format!("linking {to}"))
    }

    /// All files and links, by their absolute paths once installed, in order.
    pub fn files(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        collect(&self.root, &mut found)?;
        let mut files = found
            .iter()
            .map(|path| Ok(format!("/{}", path.strip_prefix(&self.root)?.display())))
            .collect::<Result<Vec<_>>>()?;
        files.sort();
        Ok(files)
    }

    /// Gives everything one date.
    pub fn date(&self, epoch: &str) -> Result<()> {
        command::run(
            Command::new("find")
                .arg(&self.root)
                .args(["-exec", "touch", "--no-dereference", "--date"])
                .arg(format!("@{epoch}"))
                .args(["{}", "+"]),
        )
    }

    fn place(&self, to: &str) -> Result<PathBuf> {
        let path = self.root.join(to.trim_start_matches('/'));
        let directory = path.parent().context("a path without a directory")?;
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        Ok(path)
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("setting the mode of {}", path.display()))
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), found)?;
        } else {
            found.push(entry.path());
        }
    }
    Ok(())
}

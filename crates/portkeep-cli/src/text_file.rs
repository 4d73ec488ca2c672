//! Files that are replaced at one instant.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::error::{Context as _, Error, Result};

/// Replaces a file: a reader finds the old text or the new one, whole. What a crash leaves ends in
/// `.new`; the next call replaces it.
pub fn replace(file: &Path, text: &str) -> Result<()> {
    refuse_others(file)?;
    let name = file
        .file_name()
        .ok_or_else(|| Error::usage(format!("{} is not a file", file.display())))?;
    let mut new = name.to_owned();
    new.push(".new");
    let new = file.with_file_name(new);
    write(file, &new, text).with_context(|| format!("cannot write {}", file.display()))
}

/// A rename would put a file in the place of a device or a pipe, as of `/dev/stdout`, for everybody.
fn refuse_others(file: &Path) -> Result<()> {
    match fs::metadata(file) {
        Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => Err(Error::refused(format!(
            "cannot write {}: it is not a regular file",
            file.display()
        ))
        .with_hint("name a file; without the option the output goes to standard output")),
        _ => Ok(()),
    }
}

fn write(file: &Path, new: &Path, text: &str) -> io::Result<()> {
    // Not through a link that somebody has put there.
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = fs::File::create_new(new).and_then(|mut to| {
        to.write_all(text.as_bytes())?;
        to.set_permissions(fs::Permissions::from_mode(0o644))?;
        to.sync_all()?;
        fs::rename(new, file)
    });
    if written.is_err() {
        let _ = fs::remove_file(new);
    }
    written
}

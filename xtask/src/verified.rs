//! How hard the verifier of this kernel works on each program.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use libbpf_rs::Link;
use libbpf_rs::query::ProgInfoIter;

/// Prints `verified_insns` (`struct bpf_prog_info`, Linux 5.16) of the programs behind the links
/// that are pinned below `directory`. The verifier gives up at a million.
pub fn print(directory: &Path) -> Result<()> {
    let mut links = vec![directory.join("reservations")];
    let entries = fs::read_dir(directory.join("links")).with_context(|| {
        format!(
            "reading {}\nHint: `portkeep enable`, and run this as root",
            directory.display()
        )
    })?;
    for entry in entries {
        links.push(entry?.path());
    }
    links.sort();
    for path in links {
        let name = path.file_name().unwrap_or_default().display();
        println!("{name:16} {:7}", instructions(&path)?);
    }
    Ok(())
}

fn instructions(path: &PathBuf) -> Result<u32> {
    let of = || path.display().to_string();
    let link = Link::open(path).with_context(of)?;
    let id = link.info().with_context(of)?.prog_id;
    let program = ProgInfoIter::default().find(|program| program.id == id);
    Ok(program.with_context(of)?.verified_insns)
}

//! The public interface of the libraries, listed from their source: a change of it shows in a
//! review, as a change of `public-api.txt` beside the crate's manifest.
//!
//! The listing has what a reader of the source sees on each system: items that are reachable from
//! the crate's root by `pub`, their signatures, the traits that they implement or derive. It does not
//! have what the compiler infers, such as `Send`.

mod conditions;
mod lines;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::root;
use conditions::System;

/// The crates whose interface is others' business. That of `portkeep-winsock` is C: a test of its compares
/// what the library exports with docs/winsock.md.
const CRATES: [&str; 2] = ["portkeep", "portkeep-admin"];

/// Lists the public interface of the libraries in public-api.txt
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Fail if a listing that is committed differs, and write nothing
    #[arg(long)]
    check: bool,
    /// The crates
    #[arg(default_values_t = CRATES.map(str::to_owned))]
    crates: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    for name in &arguments.crates {
        match arguments.check {
            true => check_one(name)?,
            false => fs::write(file(name), listing(name)?).context("writing the listing")?,
        }
    }
    Ok(())
}

/// Fails if a committed listing is not that of the source.
pub fn check() -> Result<()> {
    CRATES.into_iter().try_for_each(check_one)
}

fn check_one(name: &str) -> Result<()> {
    let file = file(name);
    let committed = fs::read_to_string(&file).unwrap_or_default();
    let fresh = listing(name)?;
    if committed == fresh {
        return Ok(());
    }
    let without = |text: &str, other: &str, sign: char| {
        let other: BTreeSet<_> = other.lines().collect();
        for line in text.lines().filter(|line| !other.contains(line)) {
            eprintln!("{sign}{line}");
        }
    };
    without(&committed, &fresh, '-');
    without(&fresh, &committed, '+');
    bail!(
        "{} is not what the source has\nHint: run `cargo xtask api` and commit the result",
        file.display()
    );
}

fn file(name: &str) -> PathBuf {
    root().join("crates").join(name).join("public-api.txt")
}

/// One line for each item, with the systems that have it if not all do.
fn listing(name: &str) -> Result<String> {
    let mut lines: BTreeMap<String, Vec<System>> = BTreeMap::new();
    for system in System::ALL {
        let library = root().join("crates").join(name).join("src/lib.rs");
        let source = source::Crate::read(&library, system)?;
        for line in lines::of(&source, &name.replace('-', "_"))? {
            lines.entry(line).or_default().push(system);
        }
    }
    let mut text = String::new();
    for (line, systems) in lines {
        text.push_str(&line);
        if systems != System::ALL {
            let names: Vec<_> = systems.iter().map(|system| system.name()).collect();
            text.push_str(&format!("  // {}", names.join(", ")));
        }
        text.push('\n');
    }
    Ok(text)
}

//! `portkeep-fleet agent`: makes this node agree with the engine, and votes.
//!
//! The decisions are those of [`portkeep_fleet_core::agent`]. This driver reads etcd, changes the store and
//! the kernel, and reports what came of it. It may die at any time: nothing opens.

mod batch;
mod changes;
mod driver;
mod effects;
mod known;
pub mod local;
mod machine;
mod questions;
pub mod status;
mod store;
mod votes;

use std::fs::{self, File};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

pub use machine::{boot, installation, run_directory};

use crate::config::Config;
use crate::error::{Error, Result};

/// Runs the agent until it is told to end.
///
/// # Errors
///
/// If it cannot begin: another agent runs, or the configuration is not a node's.
pub async fn run(config: Config) -> Result<()> {
    let node = config.node.clone().ok_or_else(|| {
        Error::usage("`node` is missing in the configuration")
            .with_hint("`portkeep fleet join` sets it")
    })?;
    let directory = run_directory();
    fs::create_dir_all(&directory)?;
    let _lock = lock(&directory.join("fleet.lock"))?;
    let socket = local::path();
    // With the lock, what is there is of an agent that is gone.
    let listener = crate::socket::listen(&socket).map_err(|error| {
        Error::refused(format!("cannot listen at {}: {error}", socket.display()))
    })?;
    let mut driver = driver::Driver::new(config, node, boot()?);
    driver.run(listener).await;
    let _ = fs::remove_file(&socket);
    Ok(())
}

/// One agent on a machine. The kernel lets go of it with the process.
fn lock(path: &Path) -> Result<Flock<File>> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => Error::refused("another agent runs on this machine"),
        errno => errno.into(),
    })
}

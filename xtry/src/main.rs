//! What `./try` runs: `portkeep run`, as root with a kernel part that is enabled for this one command.
//!
//! ```text
//! xtry PORTKEEP [ARGUMENT OF `portkeep run`]…
//! ```
//!
//! That kernel part keeps everybody on the machine out of the command's ports, but only the command and
//! what it starts can reserve any: to all others Portkeep is not enabled. Where Portkeep is enabled
//! already, the command uses that, and nothing of it is touched. Where the kernel part cannot be had,
//! bound sockets keep the ports.

mod cgroup;
mod directory;
mod scene;
mod sentinel;
mod signals;
mod supervise;

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use nix::unistd::geteuid;
use portkeep_host::mounts;

use crate::scene::Scene;
use crate::signals::Signals;

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let portkeep = PathBuf::from(
        arguments
            .next()
            .context("usage: xtry PORTKEEP [ARGUMENT]…")?,
    );
    let mut run = Command::new(&portkeep);
    run.arg("run").args(arguments.collect::<Vec<OsString>>());
    let signals = Signals::block()?;
    if geteuid().is_root() {
        scene::sweep(&portkeep);
    }
    if portkeep::version().is_ok() {
        say("Portkeep is enabled on this machine already; the command uses that");
        signals.restore()?;
        return Err(run.exec().into());
    }
    let reason = match why_not() {
        Some(reason) => reason.to_owned(),
        None => match Scene::set_up(&portkeep, &signals) {
            Ok(scene) => {
                say("the kernel part keeps the ports; it is enabled for this command only");
                return supervise::run(scene, run, signals);
            }
            Err(error) => format!("{error:#}"),
        },
    };
    say(&format!(
        "bound sockets keep the ports, not the kernel part: {reason}"
    ));
    signals.restore()?;
    Err(run.exec().into())
}

/// Why a kernel part of our own is not even tried.
fn why_not() -> Option<&'static str> {
    if !geteuid().is_root() {
        return Some("that takes root");
    }
    // It does not know of what ours keeps, nor ours of what it keeps.
    let mounts = mounts::read().unwrap_or_default();
    let mut bpffs = mounts.iter().filter(|mount| mount.kind == "bpf");
    bpffs
        .any(|mount| mount.target.join("portkeep").exists())
        .then_some("Portkeep is enabled on this machine, but does not serve this cgroup")
}

fn say(words: &str) {
    eprintln!("try: {words}");
}

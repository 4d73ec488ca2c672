//! The command line: its commands and the options that all of them share.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use portkeep_kernel::Location;

use crate::commands;

/// Reserve TCP and UDP ports: nobody else on the machine can take them
#[derive(Debug, Parser)]
#[command(name = "portkeep", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub locations: Locations,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str =
    "Exit status: 0 done, 1 refused (the reason is on standard error), 2 wrong usage.";

/// Where the kernel part and the store are; the defaults are the machine's.
#[derive(Debug, Args)]
#[command(next_help_heading = "Locations")]
pub struct Locations {
    /// The cgroup that the kernel part is attached to [default: the cgroup v2 root]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "PORTKEEP_CGROUP",
        hide_env_values = true
    )]
    pub cgroup: Option<PathBuf>,
    /// The BPF file system that the kernel part is pinned in [default: the first one mounted]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "PORTKEEP_BPFFS",
        hide_env_values = true
    )]
    pub bpffs: Option<PathBuf>,
    /// Kept for persistent reservations; this version stores nothing
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "PORTKEEP_STATE_DIR",
        hide_env_values = true
    )]
    pub state_dir: Option<PathBuf>,
}

impl Locations {
    /// Where the kernel part is.
    pub fn kernel_part(&self) -> Location {
        Location {
            cgroup: self.cgroup.clone(),
            bpffs: self.bpffs.clone(),
        }
    }

    /// Puts the locations into the environment, where the library, and the
    /// Portkeep users among the commands that are run, look for them.
    pub fn export(&self) {
        for (name, value) in [
            ("PORTKEEP_CGROUP", &self.cgroup),
            ("PORTKEEP_BPFFS", &self.bpffs),
            ("PORTKEEP_STATE_DIR", &self.state_dir),
        ] {
            if let Some(value) = value {
                // SAFETY: the process has one thread; nothing reads the environment meanwhile.
                unsafe { std::env::set_var(name, value) };
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Enable(commands::enable::Enable),
    Disable(commands::disable::Disable),
    Status(commands::status::Status),
    Run(commands::run::Run),
    Hold(commands::hold::Hold),
    Ls(commands::ls::Ls),
    Why(commands::why::Why),
}

impl Cli {
    pub fn execute(&self) -> anyhow::Result<ExitCode> {
        match &self.command {
            Command::Enable(command) => command.execute(&self.locations),
            Command::Disable(command) => command.execute(&self.locations),
            Command::Status(command) => command.execute(&self.locations),
            Command::Run(command) => command.execute(),
            Command::Hold(command) => command.execute(),
            Command::Ls(command) => command.execute(),
            Command::Why(command) => command.execute(),
        }
    }
}

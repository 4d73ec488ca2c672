//! `portkeep enable`: install the kernel part.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use portkeep_kernel::{InstallOptions, install};

use crate::cli::Locations;
use crate::port_state::Settings;

/// Install the kernel part, or upgrade it in place
///
/// Once a boot, as root; afterwards nobody needs a privilege to reserve ports. First the programs
/// prove on this kernel that they see every kind of bound socket, and nothing is changed if they
/// do not. If Portkeep is enabled already, its programs are replaced and every reservation stays.
#[derive(Debug, Args)]
pub struct Enable {
    /// The ports to serve requests from that name no port
    #[arg(long, value_name = "A-B", default_value = "61000-65535")]
    pool: Pool,
    /// A cgroup whose processes can reserve ports; may be given several times [default: all]
    ///
    /// Reservations are enforced on everybody all the same. In a control cgroup each getsockopt and
    /// setsockopt call takes some tenths of a microsecond longer, elsewhere nothing.
    #[arg(long, value_name = "CGROUP")]
    control: Vec<PathBuf>,
}

/// Inclusive, as Docker writes ranges.
#[derive(Clone, Copy, Debug)]
struct Pool(u16, u16);

impl FromStr for Pool {
    type Err = String;

    fn from_str(text: &str) -> Result<Pool, String> {
        let ports = text
            .split_once('-')
            .and_then(|(start, end)| Some(Pool(start.parse().ok()?, end.parse().ok()?)));
        match ports {
            Some(Pool(start, end)) if 0 < start && start <= end => Ok(Pool(start, end)),
            _ => Err("expected two ports as in 61000-65535".to_owned()),
        }
    }
}

impl Enable {
    pub fn execute(&self, locations: &Locations) -> anyhow::Result<ExitCode> {
        let installed = install(&InstallOptions {
            location: locations.kernel_part(),
            pool: (self.pool.0, self.pool.1),
            control: self.control.clone(),
        })?;
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "Portkeep is {}: attached to {}, pinned in {}",
            if installed.upgraded {
                "upgraded"
            } else {
                "enabled"
            },
            installed.cgroup.display(),
            installed.layout.root().display(),
        )?;
        self.warn_about_the_pool();
        Ok(ExitCode::SUCCESS)
    }

    /// A pool inside the automatic range serves nothing: it could not be protected.
    fn warn_about_the_pool(&self) {
        let Ok(settings) = Settings::read() else {
            return;
        };
        if (self.pool.0..=self.pool.1)
            .any(|port| settings.is_automatic(port) && !settings.is_protected(port))
        {
            let _ = writeln!(
                io::stderr(),
                "portkeep: the pool overlaps the automatic range {}-{}, from which any connect() \
                 may take a port; those ports are not given out\n\
                 Hint: choose another pool, or keep the ports out of the range with \
                 net.ipv4.ip_local_reserved_ports",
                settings.automatic.start(),
                settings.automatic.end(),
            );
        }
    }
}

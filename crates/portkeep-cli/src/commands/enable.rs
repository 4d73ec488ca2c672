//! `portkeep enable`: install the kernel part, and make it agree with the store.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use portkeep_admin::{InstallOptions, Installation, install_with};

use crate::control_cgroup::InControlCgroup;
use crate::error::{Error, Kind, Result};
use crate::kept_options::{Given, to_be_noted};
use crate::output::{escaped, text_of, warn};
use crate::port_state::Settings;
use crate::sockets::InUse;
use crate::words::counted;

/// Install the kernel part, or upgrade it in place
///
/// Once a boot, as root; afterwards nobody needs a privilege to reserve ports. First the programs
/// prove on this kernel that they see every kind of bound socket, and nothing is changed if they
/// do not. If Portkeep is enabled already, its programs are replaced and every reservation stays.
/// Then the persistent reservations and exclusions of the store are restored: the kernel part and
/// net.ipv4.ip_local_reserved_ports are made to agree with it, and what differed is told. Options
/// that are not given stay as they are; they are kept over upgrades, `disable` and reboots.
#[derive(Debug, Args)]
pub struct Enable {
    /// The ports to serve requests from that name no port [default: as it is, at first 61000-65535]
    #[arg(long, value_name = "A-B")]
    pool: Option<Pool>,
    /// How many ports an unprivileged user may hold; 0: none [default: as it is, at first 4096]
    #[arg(long, value_name = "PORTS")]
    quota: Option<u32>,
    /// A cgroup whose processes can reserve ports; may be given several times; `all` for every
    /// process [default: as it is, at first all]
    ///
    /// Reservations are enforced on everybody all the same. In a control cgroup each getsockopt and
    /// setsockopt call takes some tenths of a microsecond longer, elsewhere nothing. A cgroup that
    /// was named before and is missing now, as after a reboot, is made.
    #[arg(long, value_name = "CGROUP")]
    control: Vec<PathBuf>,
}

/// Stands for every process instead of a cgroup; one of that name is `./all`.
const ALL: &str = "all";

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
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        let (all, control): (Vec<_>, Vec<_>) = self
            .control
            .iter()
            .cloned()
            .partition(|path| path.as_os_str() == ALL);
        if !all.is_empty() && !control.is_empty() {
            return Err(Error::usage(
                "--control all has every cgroup: name no other",
            ));
        }
        let given = Given {
            pool: self.pool.map(|Pool(start, end)| (start, end)),
            quota: self.quota,
            control: (!self.control.is_empty()).then_some(control),
        };
        let noted = installation.keeper().settings()?;
        let mut chosen = InstallOptions::default();
        let installed = install_with(installation, |running| -> Result<_> {
            chosen = given.choose(installation, running, &noted)?;
            Ok(chosen.clone())
        })?;
        installation.keeper().set_settings(&to_be_noted(&chosen))?;
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "Portkeep is {}: attached to {}, pinned in {}",
            if installed.upgraded {
                "upgraded"
            } else {
                "enabled"
            },
            escaped(&text_of(&installed.cgroup)),
            escaped(&text_of(installed.layout.root())),
        )?;
        drop(out);
        warn_about_the_pool(chosen.pool);
        restore(installation, installed.upgraded)
    }
}

/// A pool inside the automatic range serves nothing: it could not be protected.
fn warn_about_the_pool(pool: (u16, u16)) {
    let Ok(settings) = Settings::read() else {
        return;
    };
    if (pool.0..=pool.1).any(|port| settings.is_automatic(port) && !settings.is_protected(port)) {
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

/// Nothing was there before the programs were installed, so only of an upgrade differences are told.
fn restore(installation: &Installation, upgraded: bool) -> Result<ExitCode> {
    let keeper = installation.keeper();
    let _control = InControlCgroup::enter(installation);
    let report = keeper.restore(Some(&InUse))?;
    let mut out = io::stdout().lock();
    if report.reservations + report.exclusions > 0 {
        writeln!(
            out,
            "Persistent: {} and {}, from {}",
            counted(report.reservations, "reservation"),
            counted(report.exclusions, "exclusion"),
            escaped(&text_of(keeper.file())),
        )?;
    }
    for difference in report.differences.iter().filter(|_| upgraded) {
        writeln!(out, "Repaired: {}", escaped(&difference.to_string()))?;
    }
    warn(&report.warnings);
    let failed = !report.failures.is_empty();
    for failure in report.failures {
        Error::from(failure).print();
    }
    Ok(if failed {
        Kind::Refused.into()
    } else {
        ExitCode::SUCCESS
    })
}

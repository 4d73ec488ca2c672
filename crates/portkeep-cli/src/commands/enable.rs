//! `portkeep enable`: install the kernel part, and make it agree with the store.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use portkeep_admin::{InstallOptions, Installation, Keeper, Report, install_with};

use crate::commands::apply::apply_default;
use crate::control_cgroup::InControlCgroup;
use crate::error::{Error, Kind, Result};
use crate::kept_options::{Given, to_be_noted};
use crate::output::{after_printing, escaped, text_of, warn};
use crate::port_state::Settings;
use crate::words::counted;
use portkeep_admin::sockets::InUse;

/// Install the kernel part, or upgrade it in place
///
/// Run it as root, once per boot. Afterwards any user can reserve ports at run time, up to the quota. The
/// programs first prove on this kernel that they see every kind of bound socket; if they do not, nothing
/// changes. If Portkeep is already enabled, its programs are replaced and every reservation stays.
/// Then the persistent reservations and exclusions in the store are restored: the kernel part and
/// net.ipv4.ip_local_reserved_ports are made to agree with the store, and differences are printed. At last
/// the declarations in /etc/portkeep/reservations.d are applied, as by `portkeep apply`.
/// Options that are not given keep their values across upgrades, `disable` and reboots.
#[derive(Debug, Args)]
pub struct Enable {
    /// Range for requests that name no port [default: unchanged; 61000-65535 at first]
    #[arg(long, value_name = "A-B")]
    pool: Option<Pool>,
    /// How many ports an unprivileged user may hold; 0 means none [default: unchanged; 4096 at first]
    #[arg(long, value_name = "PORTS")]
    quota: Option<u32>,
    /// A cgroup whose processes can reserve ports; can be repeated; `all` means every process
    /// [default: unchanged; all at first]
    ///
    /// Reservations are enforced on everybody regardless. In a control cgroup each getsockopt and
    /// setsockopt call takes some tenths of a microsecond longer. A cgroup that was given before and
    /// is missing now, as after a reboot, is created.
    #[arg(long, value_name = "CGROUP")]
    control: Vec<PathBuf>,
}

/// Means every process instead of a cgroup. A cgroup of that name is written `./all`.
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
                "--control all includes every cgroup; do not name others",
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
        let printed = writeln!(
            io::stdout().lock(),
            "Portkeep is {}: attached to {}, pinned in {}",
            if installed.upgraded {
                "upgraded"
            } else {
                "enabled"
            },
            escaped(&text_of(&installed.cgroup)),
            escaped(&text_of(installed.layout.root())),
        );
        warn_about_the_pool(chosen.pool);
        // Whether or not anybody reads what it prints.
        restore(
            installation,
            installed.upgraded,
            printed.map_err(Error::from),
        )
    }
}

/// Ports of the pool that are automatic are not given out: they cannot be protected.
fn warn_about_the_pool(pool: (u16, u16)) {
    let Ok(settings) = Settings::read() else {
        return;
    };
    if (pool.0..=pool.1).any(|port| settings.is_automatic(port) && !settings.is_protected(port)) {
        let _ = writeln!(
            io::stderr(),
            "portkeep: the pool overlaps the automatic range {}-{}, from which any connect() \
                 may take a port; Portkeep does not give out those ports\n\
                 Hint: choose another pool, or add the ports to net.ipv4.ip_local_reserved_ports",
            settings.automatic.start(),
            settings.automatic.end(),
        );
    }
}

fn restore(installation: &Installation, upgraded: bool, printed: Result<()>) -> Result<ExitCode> {
    let keeper = installation.keeper();
    let _control = InControlCgroup::enter(installation);
    let report = keeper.restore(Some(&InUse))?;
    let printed = printed.and_then(|()| print(&keeper, &report, upgraded));
    warn(&report.warnings);
    let failed = !report.failures.is_empty();
    for failure in report.failures {
        Error::from(failure).print();
    }
    let applied = apply_default(installation)?;
    let code = if failed || applied.failed {
        Kind::Refused.into()
    } else {
        ExitCode::SUCCESS
    };
    after_printing(printed.and(applied.printed), code)
}

/// Prints differences only after an upgrade: a new installation differs in everything.
fn print(keeper: &Keeper, report: &Report, upgraded: bool) -> Result<()> {
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
    Ok(())
}

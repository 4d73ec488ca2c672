//! `portkeep apply`: make the machine have what files declare.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use portkeep_admin::{Applied, Declared, Installation, UnknownNames};

use crate::control_cgroup::InControlCgroup;
use crate::declared_changes::{print_diff, print_document, summary};
use crate::error::{Error, Kind, Result};
use crate::locations::declarations;
use crate::output::{after_printing, warn};
use portkeep_admin::sockets::InUse;

/// The exit status of `--check` where something differs.
const DIFFERS: u8 = 3;

/// Make the machine have the reservations and exclusions that files declare
///
/// The files have the format of the store: tables [[reservation]] and [[exclusion]] after `version = 1`.
/// What they declare is added or changed in place; what the same files declared before and no longer do
/// is removed; what others made stays. All or nothing: if ports overlap, or sockets are in the way,
/// nothing changes. Repeating it changes nothing. Changes need root; --check and --dry-run do not.
#[derive(Debug, Args)]
#[command(after_help = DEFAULT)]
pub struct Apply {
    /// Files, and directories of which each *.toml counts [default: /etc/portkeep/reservations.d]
    #[arg(value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// Change nothing; print what differs, and exit with 3 if anything does
    #[arg(long)]
    check: bool,
    /// Change nothing; print what would change
    #[arg(long, conflicts_with = "check")]
    dry_run: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

const DEFAULT: &str = "\
`portkeep enable` applies the default directory, too. With --state-dir DIR that is DIR/reservations.d.";

impl Apply {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        let declared = if self.paths.is_empty() {
            Declared::read_default(&declarations(installation))?
        } else {
            Declared::read(&self.paths)?
        };
        let keeper = installation.keeper();
        let only_look = self.check || self.dry_run;
        let applied = if only_look {
            keeper.compare(&declared, UnknownNames::Refuse)?
        } else {
            let _control = InControlCgroup::enter(installation);
            keeper.apply(&declared, UnknownNames::Refuse, Some(&InUse))?
        };
        let printed = self.print(&applied, &declared);
        let differs = !applied.is_unchanged();
        let failed = print_failures(applied);
        let printed = printed.map_err(|error| match only_look {
            true => error,
            false => error.with_hint("what is declared is applied all the same"),
        });
        let code = if failed {
            Kind::Refused.into()
        } else if self.check && differs {
            ExitCode::from(DIFFERS)
        } else {
            ExitCode::SUCCESS
        };
        after_printing(printed, code)
    }

    fn print(&self, applied: &Applied, declared: &Declared) -> Result<()> {
        if self.json {
            return print_document(applied, declared.files(), declared.len());
        }
        warn(&applied.warnings);
        print_diff(applied)?;
        if !self.check && !self.dry_run {
            let summary = summary(applied, declared.len());
            writeln!(io::stdout().lock(), "{summary}")?;
        }
        Ok(())
    }
}

/// Whether there are any.
fn print_failures(applied: Applied) -> bool {
    let failed = !applied.failures.is_empty();
    for failure in applied.failures {
        Error::from(failure).print();
    }
    failed
}

/// What became of the default directory.
#[derive(Debug)]
pub struct AppliedDefault {
    pub failed: bool,
    pub printed: Result<()>,
}

/// What `enable` does with the default directory. What is wrong there leaves everything that was restored
/// as it is.
pub fn apply_default(installation: &Installation) -> Result<AppliedDefault> {
    let directory = declarations(installation);
    let keeper = installation.keeper();
    let none_applied = || -> Result<bool> {
        let contents = keeper.contents()?;
        let mut records = contents.records();
        Ok(!records.any(|(_, record)| record.source.is_some()))
    };
    if !directory.exists() && none_applied()? {
        return Ok(AppliedDefault {
            failed: false,
            printed: Ok(()),
        });
    }
    let done = Declared::read_default(&directory)
        .and_then(|declared| keeper.apply(&declared, UnknownNames::Accept, Some(&InUse)));
    Ok(match done {
        Ok(applied) => {
            let printed = print_diff(&applied);
            warn(&applied.warnings);
            AppliedDefault {
                failed: print_failures(applied),
                printed,
            }
        }
        Err(error) => {
            Error::from(error).print();
            AppliedDefault {
                failed: true,
                printed: Ok(()),
            }
        }
    })
}

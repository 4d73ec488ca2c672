//! Changes on a disk that fails: at each step once, as where something else has just filled it, and at
//! each step and all after it, as where it stays full. The command says that it failed; what it says about
//! the state is so, no port that stays reserved is free, and once there is room all is well.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use portkeep_admin::{Error, Files, Keeper, RealFiles};
use portkeep_tests::{Sandbox, libc};

use crate::state::State;
use crate::{Change, Prepare, boot, installation, keeper, undisturbed, untouched};

/// The real files, of which a step fails.
#[derive(Debug)]
struct Failing {
    step: AtomicUsize,
    fails_at: usize,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Once,
    FromThenOn,
}

impl Failing {
    fn step(&self, errno: i32) -> io::Result<()> {
        let step = self.step.fetch_add(1, Ordering::Relaxed);
        match step == self.fails_at || (self.how == How::FromThenOn && step > self.fails_at) {
            true => Err(io::Error::from_raw_os_error(errno)),
            false => Ok(()),
        }
    }
}

impl Files for Failing {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.step(libc::ENOSPC)?;
        RealFiles.create(path)
    }

    /// As much as there was room for.
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.step(libc::ENOSPC) {
            file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        RealFiles.write(file, bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.step(libc::EIO)?;
        RealFiles.sync(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(libc::ENOSPC)?;
        RealFiles.rename(from, to)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.step(libc::EIO)?;
        RealFiles.sync_directory(directory)
    }

    fn write_setting(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.step(libc::ENOMEM)?;
        RealFiles.write_setting(file, bytes, offset)
    }
}

/// As the command prints it.
pub fn in_words(error: &Error) -> String {
    format!("{error}; hint: {}", error.hint().unwrap_or("none"))
}

/// Fails at each step in turn.
pub fn fail(sandbox: &Sandbox, before: Prepare, change: Change) {
    let old = undisturbed(sandbox, "old", before, untouched, None);
    let new = undisturbed(sandbox, "new", before, untouched, Some(change));
    let mut refused = 0;
    for how in [How::Once, How::FromThenOn] {
        for step in 0.. {
            let name = format!("fails-{how:?}-{step}");
            let directory = sandbox.state_dir().join(&name);
            boot(sandbox);
            let whole = keeper(sandbox, &directory);
            before(&whole).expect("prepare");
            let disk = Failing {
                step: AtomicUsize::new(0),
                fails_at: step,
                how,
            };
            let failing = Keeper::with_files(installation(sandbox, &directory), Box::new(disk));
            let done = change(&failing);
            let state = State::of(&whole);
            let said = match &done {
                Ok(outcome) => outcome.warnings.join("\n"),
                Err(error) => in_words(error),
            };
            println!("{name}: {said}");
            let differences = whole.differences().expect("compare");
            if done.is_err() {
                refused += 1;
            }
            if done.is_ok() && said.is_empty() {
                assert_eq!(state, new, "{name}");
                assert_eq!(differences, [], "{name}");
            } else if said.contains("nothing is changed") {
                assert!(done.is_err(), "{name}: {said}");
                assert!(state.is_kept(&old), "{name}: {said}: {state:?}, {old:?}");
            } else {
                assert!(said.contains("portkeep enable"), "{name}: {said}");
            }
            let report = whole.restore(None).expect("restore");
            assert!(report.failures.is_empty(), "{name}: {report:?}");
            let state = State::of(&whole);
            assert_eq!(whole.differences().expect("compare"), [], "{name}");
            assert!(state == old || state == new, "{name}: {state:?}");
            if done.is_ok() {
                assert_eq!(state, new, "{name}");
            }
            change(&whole).unwrap_or_else(|error| panic!("{name}, again: {error}"));
            assert_eq!(State::of(&whole), new, "{name}, again");
            if done.is_ok() && said.is_empty() {
                break;
            }
        }
    }
    assert!(refused > 0, "nothing failed");
}

//! Root trials that cannot show anything on this kernel.

use std::any::Any;
use std::fs;
use std::io;
use std::panic;
use std::path::{Path, PathBuf};

use crate::Sandbox;

/// What [`skip`] unwinds with.
struct Skipped(String);

/// Ends the body of a root trial, which is reported as ignored for this reason: a feature that the
/// kernel lacks, found out by trying it. Not for children.
pub fn skip(reason: &str) -> ! {
    // Unlike panic_any, this does not call the hook that reports a failure.
    panic::resume_unwind(Box::new(Skipped(reason.into())))
}

/// Leaves the reason for the supervisor, if the body has unwound for [`skip`].
pub(crate) fn leave_reason(
    payload: &(dyn Any + Send),
    sandbox: &Sandbox,
) -> Option<io::Result<()>> {
    let Skipped(reason) = payload.downcast_ref()?;
    let directory = sandbox.state_dir().parent()?;
    Some(fs::write(path(directory), reason))
}

/// The reason that [`leave_reason`] left in the directory of a sandbox.
pub(crate) fn read_reason(directory: &Path) -> io::Result<String> {
    fs::read_to_string(path(directory))
}

fn path(directory: &Path) -> PathBuf {
    directory.join("skipped")
}

//! Where the kernel part's files are, and whether they are the kernel part's.
//!
//! The kernel part pins its objects in the folder `portkeep` of a bpf file system. One of them is
//! the list of reservations, a text that everybody may read.
//!
//! The root of a bpf file system has the mode 1777 unless the mounter says otherwise, so anybody may
//! have been there before root, with directories and symbolic links. Nothing there is believed,
//! followed or changed but what root alone can have made: see [`Directory`].

mod directory;
mod open_error;

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

pub use directory::{Directory, is_mounted};
pub use open_error::{Distrust, OpenError, UNTRUSTED_HINT};

use crate::environment;
use crate::mounts;

/// The environment variable that names the bpf file system, where it is not the first mounted one.
pub const VARIABLE: &str = "PORTKEEP_BPFFS";

/// The folder of the kernel part.
pub const FOLDER: &str = "portkeep";

/// The list of reservations, in the folder.
pub const LIST: &str = "reservations";

/// More than twice as long as a list with every reservation that the kernel part has room for.
const LIST_MAX: u64 = 32 << 20;

/// The bpf file system: `$PORTKEEP_BPFFS` if it is set and not empty, else the first one in
/// `/proc/self/mounts`; `None` if this mount namespace has none.
///
/// A program with more rights than its caller does not heed the variable.
pub fn mount_point() -> Option<PathBuf> {
    match environment::variable(VARIABLE) {
        Some(path) => Some(path.into()),
        None => mounts::first("bpf").ok().flatten(),
    }
}

/// The text of the list, from the bpf file system that is mounted at `mount`.
///
/// # Errors
///
/// [`OpenError`]
pub fn read_list(mount: &Path) -> Result<Vec<u8>, OpenError> {
    let mut file = Directory::open(mount)?.directory(FOLDER)?.file(LIST)?;
    let failed = |error| OpenError::System(mount.join(FOLDER).join(LIST), error);
    let mut text = Vec::new();
    let length = file.by_ref().take(LIST_MAX).read_to_end(&mut text);
    match length.map_err(failed)? as u64 {
        LIST_MAX => Err(failed(io::Error::from_raw_os_error(libc::EFBIG))),
        _ => Ok(text),
    }
}

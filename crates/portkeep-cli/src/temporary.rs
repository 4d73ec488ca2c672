//! Directories of this process alone.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// Makes one of mode 0700 in the first of these places where it can be, under a name that nobody has.
pub fn make_directory(places: impl IntoIterator<Item = PathBuf>) -> io::Result<PathBuf> {
    let mut made = Err(io::ErrorKind::NotFound.into());
    for place in places {
        made = make_directory_in(&place);
        if made.is_ok() {
            break;
        }
    }
    made
}

/// The directory of the user's session. The variable may be another user's still, as after su(1).
pub fn runtime_directory() -> Option<PathBuf> {
    std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)
}

fn make_directory_in(place: &Path) -> io::Result<PathBuf> {
    let mut template = place.join("portkeep-XXXXXX").into_os_string().into_vec();
    template.push(0);
    // SAFETY: the template ends with a zero byte and is changed in place. The directory has mode 0700.
    match unsafe { libc::mkdtemp(template.as_mut_ptr().cast()) }.is_null() {
        true => Err(io::Error::last_os_error()),
        false => {
            template.pop();
            Ok(OsString::from_vec(template).into())
        }
    }
}

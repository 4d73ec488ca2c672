//! The library's file.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};

use crate::temporary::{self, runtime_directory};

// `cargo xtask preload` builds them.
#[cfg(target_arch = "x86_64")]
const IMAGE: &[u8] = include_bytes!("bind.x86_64.so");
#[cfg(target_arch = "aarch64")]
const IMAGE: &[u8] = include_bytes!("bind.aarch64.so");
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const IMAGE: &[u8] = &[];

const VARIABLE: &str = "LD_PRELOAD";

/// A copy for the programs of one run, which goes with this value.
#[derive(Debug)]
pub struct Library {
    directory: PathBuf,
    file: PathBuf,
}

impl Library {
    /// Writes it where programs of all users can load it.
    pub fn write() -> io::Result<Self> {
        if IMAGE.is_empty() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let places = [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()];
        let places = places.into_iter().chain(runtime_directory());
        let directory =
            temporary::make_directory(places.filter(|place| can_be_loaded_from(place)))?;
        let library = Self {
            file: directory.join("bind.so"),
            directory,
        };
        fs::write(&library.file, IMAGE)?;
        fs::set_permissions(&library.file, Permissions::from_mode(0o555))?;
        fs::set_permissions(&library.directory, Permissions::from_mode(0o755))?;
        Ok(library)
    }

    /// The variable that has programs load it, before what they are told to load already.
    pub fn variable(&self) -> (&'static str, OsString) {
        let mut value = self.file.clone().into_os_string();
        if let Some(others) = std::env::var_os(VARIABLE).filter(|others| !others.is_empty()) {
            value.push(":");
            value.push(others);
        }
        (VARIABLE, value)
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
        let _ = fs::remove_dir(&self.directory);
    }
}

/// A file system that is mounted noexec gives no code, and the variable is separated by these.
fn can_be_loaded_from(place: &Path) -> bool {
    let is_a_separator = |byte: &u8| matches!(byte, b':' | b' ');
    let executes = || statvfs(place).is_ok_and(|it| !it.flags().contains(FsFlags::ST_NOEXEC));
    place.is_absolute() && !place.as_os_str().as_bytes().iter().any(is_a_separator) && executes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_goes_with_its_value() {
        let library = Library::write().expect("write");
        let (directory, file) = (library.directory.clone(), library.file.clone());
        assert_eq!(fs::read(&file).expect("read"), IMAGE);
        drop(library);
        assert!(!directory.exists());
    }

    #[test]
    fn places_that_cannot_be() {
        for place in ["tmp", "/tmp/a b", "/tmp/a:b", "/none"] {
            assert!(!can_be_loaded_from(Path::new(place)), "{place}");
        }
    }
}

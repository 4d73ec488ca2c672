//! Environment variables, which a program with more rights than its caller does not heed.

use std::env;
use std::ffi::OsString;

/// The value of a variable, `None` if it is not set or empty.
///
/// Always `None` in a program that runs with more rights than the process that started it, by a
/// set-user-ID bit or file capabilities (`AT_SECURE`, see `secure_getenv(3)`): there the environment
/// is the choice of somebody with fewer rights.
pub fn variable(name: &str) -> Option<OsString> {
    // SAFETY: getauxval(3) takes no pointers. The kernel always provides AT_SECURE.
    if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        return None;
    }
    env::var_os(name).filter(|value| !value.is_empty())
}

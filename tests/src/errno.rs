//! Errno values by name, so that a failed assertion reads without a table.

use std::fmt::Debug;
use std::io;

use nix::errno::Errno;

/// What carries an errno: the number itself, as the helpers of this crate return it, or an error.
pub trait HasErrno: Debug {
    /// The errno, if the error has one.
    fn errno(&self) -> Option<i32>;
}

impl HasErrno for i32 {
    fn errno(&self) -> Option<i32> {
        Some(*self)
    }
}

impl HasErrno for Errno {
    fn errno(&self) -> Option<i32> {
        Some(*self as i32)
    }
}

impl HasErrno for io::Error {
    fn errno(&self) -> Option<i32> {
        self.raw_os_error()
    }
}

impl HasErrno for portkeep::Error {
    fn errno(&self) -> Option<i32> {
        self.errno()
    }
}

/// The name and number of an errno, such as `EADDRINUSE (98)`.
#[must_use]
pub fn errno_name(errno: i32) -> String {
    match Errno::from_raw(errno) {
        Errno::UnknownErrno => format!("unknown errno {errno}"),
        known => format!("{known:?} ({errno})"),
    }
}

fn describe(error: &impl HasErrno) -> String {
    error
        .errno()
        .map_or_else(|| format!("{error:?}, which has no errno"), errno_name)
}

/// Panics unless `result` is an error with the errno `expected`; see [`assert_errno!`](crate::assert_errno).
#[track_caller]
pub fn expect_errno<T: Debug, E: HasErrno>(result: Result<T, E>, expected: i32, call: &str) {
    match result {
        Err(error) if error.errno() == Some(expected) => {}
        Err(error) => {
            panic!(
                "{call}: expected {}, got {}",
                errno_name(expected),
                describe(&error)
            )
        }
        Ok(value) => panic!(
            "{call}: expected {}, got Ok({value:?})",
            errno_name(expected)
        ),
    }
}

/// The value of `result`; panics with the errno's name if there is none; see [`assert_ok!`](crate::assert_ok).
#[track_caller]
pub fn expect_ok<T, E: HasErrno>(result: Result<T, E>, call: &str) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{call}: expected Ok, got {}", describe(&error)),
    }
}

/// Asserts that an expression is `Err` with the given errno, written as its name:
/// `assert_errno!(sock::bind_any(&socket, 80), EACCES)`. The message names both.
#[macro_export]
macro_rules! assert_errno {
    ($result:expr, $errno:ident $(,)?) => {
        $crate::expect_errno($result, $crate::libc::$errno, stringify!($result))
    };
}

/// Asserts that an expression is `Ok` and gives its value. The message names the errno.
#[macro_export]
macro_rules! assert_ok {
    ($result:expr $(,)?) => {
        $crate::expect_ok($result, stringify!($result))
    };
}

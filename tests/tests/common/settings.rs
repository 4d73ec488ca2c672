//! Numbers that whoever runs a test may set.

use std::env;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// The number in an environment variable. Panics if there is something else in it.
pub(crate) fn number<T: FromStr>(variable: &str) -> Option<T> {
    let value = env::var(variable).ok()?;
    let number = value.parse().ok();
    Some(number.unwrap_or_else(|| panic!("{variable}={value} is not a number")))
}

/// The seed in an environment variable, or else another one every time.
pub(crate) fn seed(variable: &str) -> u64 {
    number(variable).unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.expect("a clock").as_nanos() as u64
    })
}

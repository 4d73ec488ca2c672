//! Filters of what `ls` and `watch` show.

use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::arguments::ports::port;
use crate::error::{Error, Result};

/// A port, or several.
#[derive(Debug, Clone)]
pub struct PortFilter(RangeInclusive<u16>);

impl PortFilter {
    /// Whether one of the ports from `start` to `end` is meant.
    pub fn takes(&self, start: u16, end: u16) -> bool {
        start <= *self.0.end() && *self.0.start() <= end
    }
}

impl FromStr for PortFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix(':').unwrap_or(text);
        let (start, end) = text.split_once('-').unwrap_or((text, text));
        match (port(start)?, port(end)?) {
            (start, end) if start <= end => Ok(Self(start..=end)),
            (start, end) => Err(format!("the range ends at {end}, before its start {start}")),
        }
    }
}

/// The numbers of users that are given as for `reserve`: by name, or by number.
pub fn user_ids(users: &[String]) -> Result<Vec<u32>> {
    let number = |name: &String| {
        portkeep_admin::user_id(name)?.ok_or_else(|| {
            Error::refused(format!("there is no user '{name}'"))
                .with_hint("name another one, or give the number")
        })
    };
    users.iter().map(number).collect()
}

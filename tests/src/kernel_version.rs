//! Which Linux runs.

use std::fs;

use crate::skip;

/// Whether this is Linux `since`, such as 6.3, or later.
pub fn is_linux(since: &str) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("read the release");
    parse(&release) >= parse(since)
}

/// Skips the trial where the kernel is older than the feature it lacks. A kernel that should have the
/// feature, and does not, is a failure: the trial would else stop to run anywhere, and nobody notice.
#[track_caller]
pub fn skip_before(since: &str, reason: &str) -> ! {
    assert!(!is_linux(since), "{reason}, which Linux {since} has");
    skip(reason)
}

/// Major and minor number.
fn parse(version: &str) -> (u32, u32) {
    let mut numbers = version
        .split(|character: char| !character.is_ascii_digit())
        .map(|digits| digits.parse().expect("a number"));
    let mut next = || numbers.next().expect("two numbers");
    (next(), next())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn versions_are_ordered_as_numbers() {
        assert_eq!(parse("6.18.44-fc-v769\n"), (6, 18));
        assert_eq!(parse("7.0-rc1"), (7, 0));
        assert!(parse("6.12.9+deb12") > parse("6.2"));
    }
}

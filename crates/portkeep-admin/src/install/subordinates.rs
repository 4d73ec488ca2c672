//! The ranges of subordinate user ids, for the quota: a user can run programs as each of his.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::mem::offset_of;
use std::path::Path;

use libbpf_rs::{MapCore, MapFlags};
use nix::unistd::User;

use crate::error::Error;
use crate::install::skeleton::types;

/// Where newuidmap(1) and useradd(8) have them (subuid(5)).
const FILE: &str = "/etc/subuid";

/// How many ranges the map takes.
const MAX: usize = types::portkeep_layout::SUBORDINATES_MAX.0 as usize;

/// Far above what 4096 lines take; a file that never ends is not read to its end.
const FILE_MAX: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: u32,
    last: u32,
    owner: u32,
}

/// Writes the ranges of the machine, and gives their number. Without the file there are none.
pub fn write(map: &impl MapCore) -> Result<u32, Error> {
    let ranges = read(Path::new(FILE))?;
    let mut index = 0u32;
    for range in &ranges {
        map.update(&index.to_ne_bytes(), &range.to_bytes(), MapFlags::ANY)
            .map_err(|error| Error::bpf("writing the subordinate user ids", error))?;
        index += 1;
    }
    Ok(index)
}

fn read(path: &Path) -> Result<Vec<Range>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::path("reading", path, error)),
    };
    let mut owners = BTreeMap::new();
    let mut ranges = Vec::new();
    for line in BufReader::new(file.take(FILE_MAX)).split(b'\n') {
        let line = line.map_err(|error| Error::path("reading", path, error))?;
        let line = String::from_utf8_lossy(&line);
        let owner_of = |name: &str| {
            *owners
                .entry(name.to_owned())
                .or_insert_with(|| user_id(name))
        };
        ranges.extend(parse(&line, owner_of));
    }
    Ok(ordered(ranges))
}

fn user_id(name: &str) -> Option<u32> {
    let by_number = || name.parse().ok();
    let by_name = User::from_name(name).ok().flatten();
    by_name.map(|user| user.uid.as_raw()).or_else(by_number)
}

/// One line, `OWNER:FIRST:COUNT`. newuidmap passes over lines that it cannot read, too. What root
/// has is for containers, whose ids count by themselves.
fn parse(line: &str, mut owner_of: impl FnMut(&str) -> Option<u32>) -> Option<Range> {
    let mut fields = line.trim().split(':');
    let owner = fields.next()?;
    let first: u32 = fields.next()?.parse().ok()?;
    let count: u32 = fields.next()?.parse().ok()?;
    let last = first.checked_add(count.checked_sub(1)?)?;
    let owner = owner_of(owner)?;
    (owner != 0 && first != 0).then_some(Range { first, last, owner })
}

/// In ascending order and without overlaps: what two users have is the first one's.
fn ordered(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_by_key(|range| (range.first, range.last));
    let mut next_free = 0u64;
    ranges.retain_mut(|range| {
        range.first = range.first.max(next_free.try_into().unwrap_or(u32::MAX));
        let stays = u64::from(range.last) >= next_free;
        if stays {
            next_free = u64::from(range.last) + 1;
        }
        stays
    });
    ranges.truncate(MAX);
    ranges
}

const SIZE: usize = size_of::<types::subordinates>();

impl Range {
    fn to_bytes(self) -> [u8; SIZE] {
        use types::subordinates as layout;
        let mut bytes = [0; SIZE];
        for (offset, field) in [
            (offset_of!(layout, first), self.first),
            (offset_of!(layout, last), self.last),
            (offset_of!(layout, owner), self.owner),
        ] {
            bytes[offset..offset + 4].copy_from_slice(&field.to_ne_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u32, last: u32, owner: u32) -> Range {
        Range { first, last, owner }
    }

    #[test]
    fn lines() {
        let users = |name: &str| match name {
            "root" => Some(0),
            "alice" => Some(1000),
            other => other.parse().ok(),
        };
        for (line, expected) in [
            ("alice:100000:65536", Some(range(100_000, 165_535, 1000))),
            ("1001:165536:1", Some(range(165_536, 165_536, 1001))),
            (" alice:1:2 ", Some(range(1, 2, 1000))),
            ("root:1000000:1000000000", None),
            ("nobody-here:100000:65536", None),
            ("alice:4294967295:2", None),
            ("alice:100000:0", None),
            ("alice:0:10", None),
            ("alice:100000", None),
            ("# comment", None),
            ("", None),
        ] {
            assert_eq!(parse(line, users), expected, "{line}");
        }
    }

    #[test]
    fn order_and_overlaps() {
        assert_eq!(
            ordered(vec![
                range(300, 400, 3),
                range(100, 200, 1),
                range(150, 250, 2),
                range(160, 170, 4),
                range(4_294_967_290, u32::MAX, 5),
                range(u32::MAX, u32::MAX, 6),
            ]),
            [
                range(100, 200, 1),
                range(201, 250, 2),
                range(300, 400, 3),
                range(4_294_967_290, u32::MAX, 5),
            ]
        );
    }
}

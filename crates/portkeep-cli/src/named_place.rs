//! Where the ports of a name are.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use portkeep_admin::DEFAULT_POOL;

/// So many places are tried before any other will do.
const PLACES: u64 = 16;

/// The places of a name in the working directory, where blocks of `count` ports may start. The same
/// arguments give the same places on every machine and in every version.
pub fn starts(name: &str, position: usize, count: u16) -> impl Iterator<Item = u16> {
    let directory = std::env::current_dir().unwrap_or_default();
    places(name, directory.as_os_str(), position, count)
}

fn places(
    name: &str,
    directory: &OsStr,
    position: usize,
    count: u16,
) -> impl Iterator<Item = u16> + use<> {
    let (first, last) = DEFAULT_POOL;
    let room = (u64::from(last - first) + 2).saturating_sub(count.into());
    let position = position.to_string();
    // No name of a file has a zero byte in it.
    let key = [name.as_bytes(), directory.as_bytes(), position.as_bytes()].join(&0);
    (0..PLACES)
        .map(move |number| mixed(hash(&key).wrapping_add(number)))
        .filter_map(move |hash| hash.checked_rem(room))
        .map(move |place| first + place as u16)
}

/// FNV-1a. It need not withstand anybody: a place that is taken costs a try.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The output function of SplitMix64, by which neighbors come to lie far apart.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(name: &str, directory: &str, position: usize, count: u16) -> Vec<u16> {
        super::places(name, OsStr::new(directory), position, count).collect()
    }

    #[test]
    fn the_same_for_the_same() {
        // They may not change between versions.
        assert_eq!(places("web", "/srv/a", 0, 1)[..3], FIRST);
        let web = places("web", "/srv/a", 0, 1);
        for other in [
            places("db", "/srv/a", 0, 1),
            places("web", "/srv/b", 0, 1),
            places("web", "/srv/a", 1, 1),
        ] {
            assert_ne!(web[0], other[0]);
        }
    }

    const FIRST: [u16; 3] = [61866, 65269, 64092];

    #[test]
    fn inside_the_pool() {
        for count in [1, 2, 100, 4535, 4536] {
            for number in 0..100 {
                for start in places(&number.to_string(), "/", 0, count) {
                    assert!(
                        start >= 61000 && 65535 - start >= count - 1,
                        "{start} {count}"
                    );
                }
            }
        }
        for count in [4537, u16::MAX] {
            assert!(places("web", "/", 0, count).is_empty());
        }
    }
}

//! Any sequence of files ends as declared, and no port is free in between that is reserved before and
//! afterwards: strangers try all the time.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use portkeep::Consumer;
use portkeep_admin::{Declared, Installation, UnknownNames};
use portkeep_tests::{Protocol, Sandbox, enable};

use crate::scene::{declare, directory};
use crate::strangers::{Shared, strangers};

const ROUNDS: usize = 40;
const FIRST: u16 = 20_000;
/// Over three words of the kernel part's bitmaps.
const PORTS: u16 = 140;

/// A random number below a limit (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// An entry as `scene::declare` takes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    protocol: Protocol,
    start: u16,
    end: u16,
    /// `None`: excluded; no user: reserved for nobody.
    reserved: Option<Option<&'static str>>,
}

impl Entry {
    fn words(&self) -> String {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        let ports = match self.end - self.start {
            0 => format!("{}/{protocol}", self.start),
            _ => format!("{}-{}/{protocol}", self.start, self.end),
        };
        match self.reserved {
            None => format!("exclude {ports}"),
            Some(None) => format!("reserve {ports}"),
            Some(Some(user)) => format!("reserve {ports} {user}"),
        }
    }
}

/// Blocks of any lengths, many of which touch.
fn entries(random: &mut Random) -> Vec<Entry> {
    let mut entries = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let mut port = FIRST;
        loop {
            port += match random.below(3) {
                0 => random.below(20) as u16,
                _ => 0,
            };
            let end = port + random.below(40) as u16;
            if end >= FIRST + PORTS {
                break;
            }
            let reserved = match random.below(6) {
                0 => None,
                1 => Some(None),
                2 | 3 => Some(Some("65534")),
                _ => Some(Some("root")),
            };
            entries.push(Entry {
                protocol,
                start: port,
                end,
                reserved,
            });
            port = end + 1;
        }
    }
    entries
}

/// Over a few files, in any order; what was declared in one may be in another next time.
fn write(sandbox: &Sandbox, entries: &[Entry], random: &mut Random) {
    for file in fs::read_dir(directory(sandbox)).expect("read the directory") {
        fs::remove_file(file.expect("an entry").path()).expect("remove");
    }
    let files = 1 + random.below(3);
    let mut of_files = vec![Vec::new(); files as usize];
    for entry in entries {
        of_files[random.below(files) as usize].push(entry.words());
    }
    for (index, words) in of_files.iter().enumerate() {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        declare(sandbox, &format!("{index}.toml"), &words);
    }
}

fn reserved(entries: &[Entry]) -> BTreeSet<(Protocol, u16)> {
    let reserved = entries.iter().filter(|entry| entry.reserved.is_some());
    reserved
        .flat_map(|entry| (entry.start..=entry.end).map(|port| (entry.protocol, port)))
        .collect()
}

/// What the kernel part has, in the words of the entries.
fn in_the_kernel(bpffs: &Path) -> BTreeSet<String> {
    let listed = portkeep::list_at(bpffs).expect("list");
    let words = listed.into_iter().map(|entry| {
        let reserved = match entry.named.as_slice() {
            [] => Some(None),
            [Consumer::EVERYBODY] => None,
            [Consumer::User(0)] => Some(Some("root")),
            [Consumer::User(65_534)] => Some(Some("65534")),
            other => panic!("{other:?}"),
        };
        let protocol = match entry.range.protocol() {
            portkeep::Protocol::Tcp => Protocol::Tcp,
            portkeep::Protocol::Udp => Protocol::Udp,
        };
        let (start, end) = (entry.range.start(), entry.range.end());
        Entry {
            protocol,
            start,
            end,
            reserved,
        }
        .words()
    });
    words.collect()
}

pub fn any_sequence_of_files_ends_as_declared(sandbox: &Sandbox) {
    let installation: Installation = enable::installation(sandbox);
    enable::enable(sandbox);
    let keeper = installation.keeper();
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let mut before: Vec<Entry> = Vec::new();
    let mut tried = 0;
    for round in 0..ROUNDS {
        let after = entries(&mut random);
        let kept = &reserved(&before) & &reserved(&after);
        let shared = Shared::new();
        let trying = [false, true].map(|acquires| strangers(&kept, &shared, acquires));
        // Each has begun before the change does.
        while !kept.is_empty() && shared.rounds().load(Ordering::Relaxed) < 2 {
            std::thread::yield_now();
        }
        write(sandbox, &after, &mut random);
        let declared = Declared::read([directory(sandbox)]).expect("declarations");
        let applied = keeper
            .apply(&declared, UnknownNames::Refuse, None)
            .unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert!(applied.failures.is_empty(), "round {round}: {applied:?}");
        shared.stop().store(1, Ordering::Relaxed);
        tried += shared.rounds().load(Ordering::Relaxed) as usize * kept.len();
        for stranger in trying {
            assert_eq!(stranger.code(), 0, "round {round}");
        }
        let wanted: BTreeSet<String> = after.iter().map(Entry::words).collect();
        assert_eq!(in_the_kernel(sandbox.bpffs()), wanted, "round {round}");
        assert_eq!(keeper.differences().expect("compare"), [], "round {round}");
        let again = keeper.compare(&declared, UnknownNames::Refuse);
        assert!(again.expect("compare").is_unchanged(), "round {round}");
        before = after;
    }
    println!("{tried} binds and acquires were refused during {ROUNDS} changes");
}

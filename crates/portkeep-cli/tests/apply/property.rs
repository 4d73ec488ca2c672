//! Any sequence of files ends as declared, and no port is free in between that is reserved before and
//! afterwards: strangers try all the time.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use portkeep::Consumer;
use portkeep_admin::sockets::InUse;
use portkeep_admin::{Applied, Declared, Error, Installation, Keeper, Kind, UnknownNames};
use portkeep_tests::{Protocol, Sandbox, assert_ok, enable, raw, sock};

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

/// How the files of a round are applied.
type Apply = fn(&Round<'_>) -> Result<Applied, Error>;

struct Round<'r> {
    keeper: &'r Keeper,
    declared: &'r Declared,
    strangers: &'r Shared,
}

fn apply(round: &Round<'_>) -> Result<Applied, Error> {
    let sockets = Some(&InUse as _);
    round
        .keeper
        .apply(round.declared, UnknownNames::Refuse, sockets)
}

/// Changes random files so many times. Gives how often strangers were refused meanwhile, or what went wrong.
fn check(sandbox: &Sandbox, rounds: usize, seed: u64, apply: Apply) -> Result<usize, String> {
    let installation: Installation = enable::installation(sandbox);
    enable::enable(sandbox);
    let keeper = installation.keeper();
    let mut random = Random(seed);
    let mut before: Vec<Entry> = Vec::new();
    let mut tried = 0;
    for round in 0..rounds {
        let after = entries(&mut random);
        let kept = &reserved(&before) & &reserved(&after);
        let shared = Shared::new();
        let trying = [false, true].map(|acquires| strangers(&kept, &shared, acquires));
        // Each has begun before the change does.
        shared.wait_for_rounds(&kept);
        write(sandbox, &after, &mut random);
        let declared = Declared::read([directory(sandbox)]).expect("declarations");
        let applied = apply(&Round {
            keeper: &keeper,
            declared: &declared,
            strangers: &shared,
        });
        shared.stop().store(1, Ordering::Relaxed);
        tried += shared.rounds().load(Ordering::Relaxed) as usize * kept.len();
        let codes = trying.map(|stranger| stranger.code());
        if codes != [0, 0] {
            return Err(format!("round {round}: a port was free: {codes:?}"));
        }
        let applied = applied.map_err(|error| format!("round {round}: {error}"))?;
        if !applied.failures.is_empty() {
            return Err(format!("round {round}: {applied:?}"));
        }
        let wanted: BTreeSet<String> = after.iter().map(Entry::words).collect();
        let has = in_the_kernel(sandbox.bpffs());
        if has != wanted {
            return Err(format!("round {round}: {has:?} instead of {wanted:?}"));
        }
        let differences = keeper.differences().expect("compare");
        if !differences.is_empty() {
            return Err(format!("round {round}: {differences:?}"));
        }
        let again = keeper.compare(&declared, UnknownNames::Refuse);
        let again = again.expect("compare");
        if !again.is_unchanged() {
            return Err(format!("round {round}: {again:?}"));
        }
        before = after;
    }
    Ok(tried)
}

const SEED: u64 = 0x2545_F491_4F6C_DD1D;

pub fn any_sequence_of_files_ends_as_declared(sandbox: &Sandbox) {
    let tried = check(sandbox, ROUNDS, SEED, apply);
    let tried = tried.unwrap_or_else(|wrong| panic!("{wrong}"));
    println!("{tried} binds and acquires were refused during {ROUNDS} changes");
}

/// Everything goes, and then comes what is declared.
fn anew(round: &Round<'_>) -> Result<Applied, Error> {
    for entry in portkeep::list().expect("list") {
        let (range, entries) = (entry.range, Kind::Reservation);
        let kind = match entry.named.as_slice() {
            [Consumer::EVERYBODY] => Kind::Exclusion,
            _ => entries,
        };
        round.keeper.remove(kind, &[range], None)?;
    }
    // For an instant in which each stranger has its turn.
    round.strangers.wait_for_another_round();
    apply(round)
}

/// One entry is lost.
fn all_but_one(round: &Round<'_>) -> Result<Applied, Error> {
    let applied = apply(round)?;
    if let Some(entry) = portkeep::list().expect("list").first() {
        let kinds = [Kind::Reservation, Kind::Exclusion];
        for kind in kinds {
            let _ = round.keeper.remove(kind, &[entry.range], None);
        }
    }
    Ok(applied)
}

/// The kernel part loses a port that the store has.
fn a_part_missing(round: &Round<'_>) -> Result<Applied, Error> {
    let applied = apply(round)?;
    if let Some(entry) = portkeep::list().expect("list").last() {
        let protocol = match entry.range.protocol() {
            portkeep::Protocol::Tcp => sock::tcp4(),
            portkeep::Protocol::Udp => sock::udp4(),
        };
        assert_ok!(raw::delete(protocol, entry.range.end(), 1, raw::PART));
    }
    Ok(applied)
}

/// Nothing is done where something is there already.
fn only_the_first(round: &Round<'_>) -> Result<Applied, Error> {
    match portkeep::list().expect("list").is_empty() {
        true => apply(round),
        false => Ok(Applied::default()),
    }
}

/// That the property can fail: each of these is noticed, and for what it is.
pub fn wrong_ways_to_apply_are_noticed(sandbox: &Sandbox) {
    for (name, apply, noticed) in [
        ("anew", anew as Apply, "was free"),
        ("all but one", all_but_one, "instead of"),
        ("a part missing", a_part_missing, "instead of"),
        ("only the first", only_the_first, "instead of"),
    ] {
        let done = check(sandbox, 5, SEED, apply);
        let wrong = done.expect_err(name);
        assert!(wrong.contains(noticed), "{name}: {wrong}");
        // Back to nothing.
        declare(sandbox, "0.toml", &[]);
        for file in ["1.toml", "2.toml"] {
            declare(sandbox, file, &[]);
        }
        let declared = Declared::read([directory(sandbox)]).expect("declarations");
        let keeper = enable::installation(sandbox).keeper();
        let applied = keeper.apply(&declared, UnknownNames::Refuse, None);
        applied.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(portkeep::list().expect("list").len(), 0, "{name}");
    }
}

//! Calls with random arguments.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

use portkeep_tests::enable::enable;
use portkeep_tests::libc::{
    EACCES, EADDRINUSE, EADDRNOTAVAIL, EDQUOT, EINVAL, ENOENT, ENOPROTOOPT, EOPNOTSUPP,
};
use portkeep_tests::ports::map;
use portkeep_tests::raw::{
    ACQUIRE, ASSOCIATE, CLAIM, CONFLICT, CREATE, DELETE, LOOKUP, RELEASE, SOL_PORTKEEP, VERSION,
    WATCH,
};
use portkeep_tests::{Protocol, Sandbox, assert_ok, errno_name, proc, raw, sock};

use crate::bytes::sockets;
use crate::ledger::{QUOTA, USER, assert_empty, sorted};

const CALLS: u32 = 50_000;

/// Gives the seed of a run that failed to the next one.
const SEED: &str = "PORTKEEP_TEST_SEED";

/// SplitMix64, of Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators".
struct Random(u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }

    fn of<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[self.below(choice.len())]
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.number() as u8).collect()
    }

    /// Portkeep's level mostly, else one that no kernel knows.
    fn level(&mut self) -> i32 {
        let unknown = self.number() as i32 | 1 << 20;
        self.of(&[
            SOL_PORTKEEP,
            SOL_PORTKEEP,
            SOL_PORTKEEP,
            SOL_PORTKEEP,
            unknown,
        ])
    }

    fn option(&mut self) -> i32 {
        let unknown = self.number() as i32;
        self.of(&[
            ACQUIRE, ACQUIRE, ACQUIRE, RELEASE, ASSOCIATE, CLAIM, VERSION, CONFLICT, CREATE,
            DELETE, LOOKUP, WATCH, unknown,
        ])
    }

    /// One that means something, or nearly does, or nothing at all.
    fn value(&mut self, tokens: &[u64]) -> Vec<u8> {
        let mut value = match self.below(4) {
            0 => self.bytes(24),
            1 => tokens
                .get(self.below(tokens.len() + 1))
                .unwrap_or(&0)
                .to_ne_bytes()
                .to_vec(),
            _ => {
                let start =
                    self.of(&[0_u16, 10000, 10064, 24000, 61000, 65533]) + self.below(3) as u16;
                let count = self.of(&[1_u16, 1, 2, 8, 64, 500, 65535]);
                let mut value = [start.to_be_bytes(), count.to_ne_bytes()].concat();
                value.extend((self.below(6) as u32).to_ne_bytes());
                value.extend(self.of(&[0_u16, 0, 1, 2, 3, 64]).to_ne_bytes());
                value.extend([0; 6]);
                value
            }
        };
        let len = self.of(&[4, 8, 16, 16, 24, 64, 80]);
        value.resize(
            if self.below(8) == 0 {
                self.below(81)
            } else {
                len
            },
            0,
        );
        if self.below(8) == 0 && !value.is_empty() {
            let at = self.below(value.len());
            value[at] ^= 1 << self.below(8);
        }
        value
    }
}

fn seed() -> u64 {
    let given = env::var(SEED)
        .ok()
        .map(|seed| seed.parse().expect("a number as the seed"));
    given.unwrap_or_else(|| {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock after 1970");
        now.as_nanos() as u64
    })
}

pub(crate) fn calls_of_a_user(sandbox: &Sandbox) {
    enable(sandbox);
    let seed = seed();
    println!("{SEED}={seed}");
    let checked = proc::as_uid(USER, USER, || {
        call_at_random(sandbox, &mut Random(seed));
        0
    });
    assert_eq!(checked, 0);
    assert_empty(sandbox, USER);
}

fn call_at_random(sandbox: &Sandbox, random: &mut Random) {
    let mut sockets = sockets();
    let mut tokens = Vec::new();
    for call in 0..CALLS {
        let which = random.below(sockets.len());
        let (level, option) = (random.level(), random.option());
        let result = if random.below(4) == 0 {
            let len = random.below(81);
            raw::get_bytes(&sockets[which], level, option, len).map(drop)
        } else {
            raw::set_bytes(&sockets[which], level, option, &random.value(&tokens))
        };
        assert_expected(level, option, result);
        if level == SOL_PORTKEEP && option == ACQUIRE && result.is_ok() {
            tokens.push(assert_ok!(raw::instance(&sockets[which])).token);
        }
        match random.below(200) {
            0 => sockets[which] = one_more(which),
            1 => drop(sock::bind_any(
                &sockets[which],
                random.number() as u16 | 1 << 13,
            )),
            2..12 => assert_in_order(sandbox),
            _ => {}
        }
        // Only the newest are worth a call.
        if call % 64 == 0 {
            tokens.drain(..tokens.len().saturating_sub(64));
        }
    }
    assert_in_order(sandbox);
    drop(sockets);
    assert_eq!(sorted(sandbox), []);
}

fn one_more(which: usize) -> portkeep_tests::socket2::Socket {
    let [tcp4, tcp6, udp4, udp6] = sockets();
    [tcp4, tcp6, udp4, udp6]
        .into_iter()
        .nth(which)
        .expect("one of four")
}

#[track_caller]
fn assert_expected(level: i32, option: i32, result: Result<(), i32>) {
    let Err(errno) = result else {
        assert_eq!(level, SOL_PORTKEEP, "no other level is answered");
        assert!(
            [VERSION, CONFLICT, CLAIM, CREATE, LOOKUP, WATCH].contains(&option)
                || (ACQUIRE..=ASSOCIATE).contains(&option),
            "{option}"
        );
        return;
    };
    let expected: &[i32] = match option {
        // Which of the two is the socket's family's choice.
        _ if level != SOL_PORTKEEP => &[ENOPROTOOPT, EOPNOTSUPP],
        ACQUIRE => &[EINVAL, EACCES, EADDRINUSE, EADDRNOTAVAIL, EDQUOT],
        RELEASE | CLAIM => &[EINVAL, EACCES, ENOPROTOOPT],
        ASSOCIATE => &[EINVAL, EACCES],
        VERSION | CONFLICT => &[EINVAL, ENOPROTOOPT],
        CREATE => &[EINVAL, EACCES],
        DELETE => &[EINVAL, EACCES, ENOPROTOOPT],
        LOOKUP | WATCH => &[EINVAL, ENOENT],
        _ => &[ENOPROTOOPT],
    };
    assert!(
        expected.contains(&errno),
        "option {option:#x}: {}",
        errno_name(errno)
    );
}

/// What is listed has no overlaps and is no more than the user may have.
fn assert_in_order(sandbox: &Sandbox) {
    let map = map(sandbox);
    let held: usize = [Protocol::Tcp, Protocol::Udp]
        .map(|one| map.ports(one).len())
        .iter()
        .sum();
    assert!(held <= usize::from(QUOTA), "{held} ports in {map:?}");
    for reservation in sorted(sandbox) {
        assert_eq!(
            (reservation.pid, reservation.uid),
            (std::process::id(), USER)
        );
    }
}

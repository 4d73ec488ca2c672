use std::os::fd::OwnedFd;

use portkeep_admin::InstallOptions;
use portkeep_tests::proc::Child;
use portkeep_tests::{
    Protocol, Sandbox, enable, errno_name, expect_ok, libc, ports, proc, raw, sock,
};

use crate::ledger::Ledger;

/// Few ports, so that everybody meets everybody; two words of the bitmaps and parts of two more.
const FIRST: u16 = 61020;
const LAST: u16 = 61219;

const ACQUIRERS: u32 = 4;
const ACQUIRES: u32 = 1_000_000;
const BINDERS: u32 = 2;
const BINDS: u32 = 400_000;

/// A pseudo-random sequence (xorshift64*), the same in every run.
struct Random(u64);

impl Random {
    fn new(who: u32) -> Random {
        Random(u64::from(who).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32) % bound
    }
}

fn socket(random: &mut Random, protocol: Protocol) -> OwnedFd {
    match (protocol, random.below(2)) {
        (Protocol::Tcp, 0) => sock::tcp4(),
        (Protocol::Tcp, _) => sock::tcp6(),
        (Protocol::Udp, 0) => sock::udp4(),
        (Protocol::Udp, _) => sock::udp6(),
    }
    .into()
}

fn protocol(random: &mut Random) -> Protocol {
    [Protocol::Tcp, Protocol::Udp][random.below(2) as usize]
}

#[derive(Clone, Copy)]
struct Ledgers {
    tcp: Ledger,
    udp: Ledger,
}

impl Ledgers {
    fn of(&self, protocol: Protocol) -> Ledger {
        match protocol {
            Protocol::Tcp => self.tcp,
            Protocol::Udp => self.udp,
        }
    }
}

/// Binds a socket of the owner inside its block, to the port of the kernel part's choice.
fn bind_associated(random: &mut Random, protocol: Protocol, block: &raw::Instance) {
    let own = socket(random, protocol);
    expect_ok(
        raw::associate(&own, block.token),
        "associate with an own block",
    );
    expect_ok(sock::bind_any(&own, 0), "bind(0) in an own, unused block");
    let port = sock::local_port(&own);
    let end = block.start + (block.count - 1);
    assert!(
        (block.start..=end).contains(&port),
        "{port} is not in {block:?}"
    );
}

fn acquirer(who: u32, ledgers: Ledgers) -> i32 {
    let mut random = Random::new(who);
    let mut granted = 0u32;
    for _ in 0..ACQUIRES / ACQUIRERS {
        let protocol = protocol(&mut random);
        let ledger = ledgers.of(protocol);
        let count = 1 + random.below(40) as u16;
        let start = match random.below(2) {
            0 => 0,
            _ => FIRST + random.below(u32::from(LAST - FIRST + 1 - count) + 1) as u16,
        };
        let holder = socket(&mut random, protocol);
        match raw::acquire4(&holder, start, count) {
            Ok(()) => {}
            Err(libc::EADDRINUSE) => continue,
            Err(errno) => panic!("acquire {start}+{count}: {}", errno_name(errno)),
        }
        granted += 1;
        let block = expect_ok(raw::instance(&holder), "read the token");
        assert!(
            start == 0 || block.start == start,
            "asked for {start}, got {block:?}"
        );
        assert!(
            block.start >= FIRST && block.start + (block.count - 1) <= LAST,
            "{block:?}"
        );
        assert_eq!(block.count, count);
        let ports = block.start..=block.start + (count - 1);
        ledger.acquired(who, ports.clone());
        if random.below(4) == 0 {
            bind_associated(&mut random, protocol, &block);
        }
        ledger.releasing(who, ports);
        if random.below(2) == 0 {
            expect_ok(raw::release(&holder, block.token), "release an own block");
        }
    }
    // Something must have been granted, or nothing was tested.
    i32::from(granted < ACQUIRES / ACQUIRERS / 20)
}

fn binder(who: u32, ledgers: Ledgers) -> i32 {
    let mut random = Random::new(who);
    let mut bound = 0u32;
    for _ in 0..BINDS / BINDERS {
        let protocol = protocol(&mut random);
        let ledger = ledgers.of(protocol);
        let port = FIRST + random.below(u32::from(LAST - FIRST + 1)) as u16;
        let stranger = socket(&mut random, protocol);
        match sock::bind_any(&stranger, port) {
            Ok(()) => {}
            Err(libc::EADDRINUSE) => continue,
            Err(errno) => panic!("bind to {port}: {}", errno_name(errno)),
        }
        bound += 1;
        ledger.bound(who, port);
        ledger.closing(who, port);
    }
    i32::from(bound < BINDS / BINDERS / 20)
}

pub fn a_million_acquires(sandbox: &Sandbox) {
    enable::enable_with(&InstallOptions {
        pool: (FIRST, LAST),
        ..enable::options(sandbox)
    });
    let before = ports::map(sandbox);
    let ledgers = Ledgers {
        tcp: Ledger::new(),
        udp: Ledger::new(),
    };
    let acquirers = (1..=ACQUIRERS).map(|who| proc::fork_child(move || acquirer(who, ledgers)));
    let binders = (ACQUIRERS + 1..=ACQUIRERS + BINDERS)
        .map(|who| proc::fork_child(move || binder(who, ledgers)));
    let everybody: Vec<Child> = acquirers.chain(binders).collect();
    for child in everybody {
        assert_eq!(
            child.code(),
            0,
            "a process of the storm failed; its message is above"
        );
    }

    assert!(ledgers.tcp.is_empty() && ledgers.udp.is_empty());
    assert_eq!(ports::map(sandbox), before, "a port is lost");
    for (protocol, holder) in [(Protocol::Tcp, sock::tcp4()), (Protocol::Udp, sock::udp4())] {
        assert_eq!(
            ports::probe_free(protocol, FIRST..=LAST),
            [],
            "a port is lost"
        );
        let all = LAST - FIRST + 1;
        expect_ok(
            raw::acquire4(&holder, FIRST, all),
            "acquire every port after the storm",
        );
    }
}

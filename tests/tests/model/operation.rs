//! What happens in a history. Processes, sockets, tokens and reservations are meant by number, of
//! those that there are at that moment: so a history from which something is cut still is one.

use proptest::prelude::*;

/// Where wildcards are served from: on both sides of a bound between two words of the bitmaps.
pub(crate) const POOL: (u16, u16) = (61434, 61447);
/// The pool and its neighbours, few enough for everybody to meet everybody.
const ARENA: (u16, u16) = (61432, 61449);
/// `ip_local_port_range`, of which the first half is in `ip_local_reserved_ports`.
pub(crate) const AUTOMATIC: (u16, u16) = (61500, 61563);
/// What is in `ip_local_reserved_ports`.
pub(crate) const KEPT: (u16, u16) = (61500, 61531);
/// Automatic ports that are excluded now and then.
pub(crate) const EXCLUDABLE: std::ops::Range<u16> = 61540..61544;
/// Below it a bind takes a privilege, as on a machine fresh from installation.
pub(crate) const UNPRIVILEGED: u16 = 1024;

/// One thing that happens. `who` does it.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) who: u8,
    pub(crate) socket: u8,
    /// Whether a socket, token or port is taken with which the call has a chance.
    pub(crate) aimed: bool,
    pub(crate) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Person {
    Root,
    Alice,
    Bob,
    /// Root of a user namespace of Alice's, with a network namespace of its own.
    Container,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Start(Person),
    Fork,
    Exit,
    Kill,
    Socket {
        udp: bool,
        v6: bool,
    },
    Dup,
    Close,
    /// Hands a copy of the descriptor to another process.
    Give {
        to: u8,
    },
    Acquire {
        start: u16,
        count: u16,
        flags: u32,
        align: u16,
    },
    Associate {
        token: Token,
    },
    Release {
        token: Token,
    },
    Claim {
        token: Token,
    },
    Bind {
        loopback: bool,
        port: u16,
    },
    Listen,
    /// To a listening socket that is within reach.
    Connect {
        to: u8,
    },
    /// From whatever it is connected to, if it is.
    Disconnect,
    /// To an address, with the port left to connect(2).
    BindAddress {
        loopback: bool,
    },
    Create {
        start: u16,
        count: u16,
        adopt: bool,
        consumers: Vec<Consumer>,
    },
    Delete {
        range: Range,
        part: bool,
    },
    LookUp {
        range: Range,
    },
    /// By an administrator, of both protocols or one.
    Exclude(Exclude),
    Include(Exclude),
    EnableAgain,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Exclude {
    pub(crate) tcp: bool,
    pub(crate) udp: bool,
    pub(crate) start: u16,
    pub(crate) count: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consumer {
    Alice,
    BobsGroup,
    /// By the cgroup that every process is in: an exclusion.
    Everybody,
    /// Root, as the caller knows it: of the container, in the container.
    Root,
}

/// A token by its number, or as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Token {
    Number(u8),
    This(u64),
}

/// The ports of a reservation that is there, without some at either end, or any others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Range {
    Of {
        reservation: u8,
        skip: u16,
        cut: u16,
    },
    Ports {
        start: u16,
        count: u16,
    },
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![
        24 => ARENA.0..=ARENA.1,
        2 => AUTOMATIC.0 - 2..=AUTOMATIC.0 + 2,
        2 => KEPT.1 - 2..=KEPT.1 + 2,
        1 => UNPRIVILEGED - 2..=UNPRIVILEGED + 1,
        1 => Just(65535_u16),
    ]
}

/// First port and count. Now and then as many as use up a quota.
fn block(wildcard: bool, excludable: bool) -> impl Strategy<Value = (u16, u16)> {
    prop_oneof![
        if wildcard { 8 } else { 0 } => (Just(0), 1..=5_u16),
        if wildcard { 1 } else { 0 } => (Just(0), 10..=20_u16),
        16 => (port(), 1..=5_u16),
        if excludable { 3 } else { 0 } => (EXCLUDABLE, Just(1_u16)),
        4 => ((20_u16..26).prop_map(|start| start * 1000), 1500..=4097_u16),
        1 => (port(), Just(0)),
    ]
}

fn exclude() -> impl Strategy<Value = Exclude> {
    (any::<[bool; 2]>(), EXCLUDABLE, 1..=3_u16).prop_map(|([tcp, udp], start, count)| Exclude {
        tcp: tcp || !udp,
        udp,
        start,
        count: count.min(EXCLUDABLE.end - start),
    })
}

fn range() -> impl Strategy<Value = Range> {
    prop_oneof![
        5 => (any::<u8>(), 0..3_u16, 0..3_u16)
            .prop_map(|(reservation, skip, cut)| Range::Of { reservation, skip, cut }),
        1 => block(false, false).prop_map(|(start, count)| Range::Ports { start, count }),
    ]
}

fn consumer() -> impl Strategy<Value = Consumer> {
    use Consumer::{Alice, BobsGroup, Everybody, Root};
    prop::sample::select(vec![Alice, BobsGroup, Everybody, Root])
}

fn person() -> impl Strategy<Value = Person> {
    // A network namespace takes the kernel as long as a hundred calls.
    use Person::{Alice, Bob, Container, Root};
    prop_oneof![3 => Just(Root), 3 => Just(Alice), 3 => Just(Bob), 1 => Just(Container)]
}

/// 0 often, any unknown flag seldom.
fn flags() -> impl Strategy<Value = u32> {
    prop_oneof![12 => 0..=3_u32, 4 => 16..=19_u32, 1 => Just(4_u32)]
}

fn align() -> impl Strategy<Value = u16> {
    prop_oneof![
        6 => Just(0_u16),
        4 => prop::sample::select(vec![1_u16, 2, 4]),
        1 => Just(3_u16),
    ]
}

fn what() -> impl Strategy<Value = What> {
    let tokens = || any::<u8>().prop_map(Token::Number);
    prop_oneof![
        5 => person().prop_map(What::Start),
        5 => Just(What::Fork),
        1 => Just(What::Exit),
        1 => Just(What::Kill),
        24 => any::<(bool, bool)>().prop_map(|(udp, v6)| What::Socket { udp, v6 }),
        2 => Just(What::Dup),
        7 => Just(What::Close),
        5 => any::<u8>().prop_map(|to| What::Give { to }),
        24 => (block(true, true), flags(), align()).prop_map(|((start, count), flags, align)| {
            What::Acquire { start, count, flags, align }
        }),
        14 => tokens().prop_map(|token| What::Associate { token }),
        6 => tokens().prop_map(|token| What::Release { token }),
        5 => tokens().prop_map(|token| What::Claim { token }),
        28 => (any::<bool>(), prop_oneof![1 => Just(0), 3 => port()])
            .prop_map(|(loopback, port)| What::Bind { loopback, port }),
        6 => Just(What::Listen),
        10 => any::<u8>().prop_map(|to| What::Connect { to }),
        4 => Just(What::Disconnect),
        3 => any::<bool>().prop_map(|loopback| What::BindAddress { loopback }),
        12 => (block(true, false), any::<bool>(), prop::collection::vec(consumer(), 0..3)).prop_map(
            |((start, count), adopt, consumers)| What::Create { start, count, adopt, consumers }
        ),
        8 => (range(), any::<bool>()).prop_map(|(range, part)| What::Delete { range, part }),
        3 => range().prop_map(|range| What::LookUp { range }),
        2 => exclude().prop_map(What::Exclude),
        2 => exclude().prop_map(What::Include),
    ]
}

/// A history, and for some also an upgrade in the middle of it.
pub(crate) fn history() -> impl Strategy<Value = Vec<Operation>> {
    let aimed = prop::bool::weighted(0.75);
    let operation =
        (any::<u8>(), any::<u8>(), aimed, what()).prop_map(|(who, socket, aimed, what)| {
            Operation {
                who,
                socket,
                aimed,
                what,
            }
        });
    let upgrade = Just(Operation {
        who: 0,
        socket: 0,
        aimed: false,
        what: What::EnableAgain,
    });
    let operations = prop::collection::vec(operation, 1..120);
    let upgrades = prop::option::weighted(0.05, (any::<prop::sample::Index>(), upgrade));
    (operations, upgrades).prop_map(|(mut operations, upgrade)| {
        if let Some((place, upgrade)) = upgrade {
            operations.insert(place.index(operations.len()), upgrade);
        }
        operations
    })
}

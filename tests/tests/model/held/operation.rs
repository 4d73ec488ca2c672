//! What happens in a history of held ports.

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::operation::{AUTOMATIC, Person, UNPRIVILEGED};

/// One thing that happens. `who` does it, with the reservation or the socket of that number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) who: u8,
    pub(crate) number: u8,
    pub(crate) what: What,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Start(Person),
    Fork,
    End {
        killed: bool,
    },
    Acquire {
        tcp: bool,
        udp: bool,
        start: u16,
        count: u16,
        align: u16,
    },
    Own(Where),
    /// By bind(2), where the port is held with these flags.
    Bind {
        place: Where,
        flags: Flags,
    },
    /// Of this process's copy of the reservation.
    Drop,
    Close,
}

/// Where a socket is to be bound. `port` 0 is any.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Where {
    pub(crate) udp: bool,
    pub(crate) v6: bool,
    pub(crate) loopback: bool,
    pub(crate) port: u16,
}

/// With which a socket shares a port that others let it have.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Flags {
    pub(crate) reuseaddr: bool,
    pub(crate) reuseport: bool,
}

/// The start of the pool, where wildcards are served from, and a bit more than they get.
const ARENA: (u16, u16) = (61000, 61011);

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![
        12 => ARENA.0..=ARENA.1,
        2 => AUTOMATIC.0..=AUTOMATIC.0 + 3,
        1 => UNPRIVILEGED - 2..=UNPRIVILEGED + 1,
    ]
}

fn place() -> impl Strategy<Value = Where> {
    let port = prop_oneof![1 => Just(0), 3 => port()];
    (any::<[bool; 3]>(), port).prop_map(|([udp, v6, loopback], port)| Where {
        udp,
        v6,
        loopback,
        port,
    })
}

fn what() -> impl Strategy<Value = What> {
    let person = prop::sample::select(vec![Person::Root, Person::Alice, Person::Bob]);
    let acquire = (
        any::<[bool; 2]>(),
        prop_oneof![1 => Just(0), 2 => port()],
        prop_oneof![1 => Just(0_u16), 15 => 1..=4_u16],
        prop::sample::select(vec![0_u16, 1, 1, 1, 2, 4, 3]),
    );
    prop_oneof![
        3 => person.prop_map(What::Start),
        3 => Just(What::Fork),
        2 => any::<bool>().prop_map(|killed| What::End { killed }),
        10 => acquire.prop_map(|([tcp, udp], start, count, align)| What::Acquire {
            // The library takes TCP if nothing is asked for.
            tcp: tcp || !udp,
            udp,
            start,
            count,
            align,
        }),
        14 => place().prop_map(What::Own),
        10 => (place(), any::<[bool; 2]>()).prop_map(|(place, [reuseaddr, reuseport])| What::Bind {
            place,
            flags: Flags { reuseaddr, reuseport },
        }),
        4 => Just(What::Drop),
        4 => Just(What::Close),
    ]
}

/// A history.
pub(crate) fn history() -> impl Strategy<Value = Vec<Operation>> {
    let operation = (any::<u8>(), any::<u8>(), what()).prop_map(|(who, number, what)| Operation {
        who,
        number,
        what,
    });
    prop::collection::vec(operation, 1..80)
}

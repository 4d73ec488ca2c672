//! Short histories that once showed something, tried before those at random. The first processes are
//! root's, 0, and Alice's, 1.

use super::operation::What::{Acquire, Bind, Fork, Own};
use super::operation::{Flags, Operation, What, Where};

const PORT: u16 = 61000;

fn by(who: u8, what: What) -> Operation {
    Operation {
        who,
        number: 0,
        what,
    }
}

fn acquire(tcp: bool) -> What {
    Acquire {
        tcp,
        udp: !tcp,
        start: PORT,
        count: 2,
        align: 1,
    }
}

fn at(v6: bool, loopback: bool, port: u16) -> Where {
    Where {
        udp: false,
        v6,
        loopback,
        port,
    }
}

pub(crate) fn histories() -> Vec<Vec<Operation>> {
    // In either order each pair of addresses, by somebody who can take no device from a TCP socket.
    let addresses = [(false, false), (false, true), (true, false), (true, true)];
    let pairs = addresses
        .into_iter()
        .flat_map(|one| addresses.map(|other| [one, other]));
    let beside = pairs.map(|pair| {
        let own = pair.map(|(v6, loopback)| by(1, Own(at(v6, loopback, PORT))));
        let flags = Flags {
            reuseaddr: true,
            reuseport: true,
        };
        let bind = addresses.map(|(v6, loopback)| {
            let place = at(v6, loopback, PORT);
            by(1, Bind { place, flags })
        });
        [
            vec![by(1, acquire(true))],
            own.into(),
            vec![by(1, Fork)],
            bind.into(),
        ]
        .concat()
    });
    beside.collect()
}

//! UDP: a socket stays in its slot of the table that is walked, whatever else connect changes.

use portkeep_tests::{Protocol, Sandbox, assert_ok, enable, sock};

use crate::hunt::{Hunt, PORT};
use crate::stage::{Family, disconnect};

const ACQUIRES: u32 = 8000;

/// Where datagrams go that nobody reads.
const TARGET: u16 = 7;

pub(crate) fn connects_and_disconnects(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for family in Family::ALL {
        for movers in [1, 3] {
            let hunt = Hunt::new(Protocol::Udp, ACQUIRES).movers(movers);
            hunt.run(&format!("{family:?}, {movers} processes"), || {
                let socket = family.bound(Protocol::Udp);
                move |_| {
                    assert_ok!(sock::connect(&socket, family.target(), TARGET));
                    disconnect(&socket);
                }
            });
        }
    }
}

/// Neighbours in the same bucket come and go, at every port that could be one.
pub(crate) fn in_a_crowded_bucket(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for family in [Family::V4, Family::DualStack] {
        let hunt = Hunt::new(Protocol::Udp, ACQUIRES).movers(2);
        hunt.run(&format!("{family:?}, crowded"), || {
            let neighbour = |index: u16| {
                let socket = family.socket(Protocol::Udp);
                // Tables of the kernel have 2^k slots, and 16384 is what most machines have.
                let port = PORT + [16384, 32768, 49152][usize::from(index) % 3];
                assert_ok!(sock::bind(&socket, family.any(), port));
                socket
            };
            let mut neighbours: Vec<_> = (0..60).map(neighbour).collect();
            let socket = family.bound(Protocol::Udp);
            let mut turn = 0;
            move |mover| {
                if mover == 0 {
                    turn = (turn + 1) % neighbours.len();
                    neighbours[turn] = neighbour(turn as u16);
                }
                assert_ok!(sock::connect(&socket, family.target(), TARGET));
                disconnect(&socket);
            }
        });
    }
}

//! Short histories that once showed something, tried before those at random. The first processes are
//! root's, 0, and Alice's, 1.

use crate::operation::What::{
    Acquire, Associate, Bind, BindAddress, Claim, Connect, Create, Delete, Disconnect, Exclude,
    Fork, Give, Include, Listen, Release, Socket,
};
use crate::operation::{self, Consumer, Operation, Range, Token, What};

fn by(who: u8, socket: u8, what: What) -> Operation {
    Operation {
        who,
        socket,
        aimed: false,
        what,
    }
}

const TCP4: What = Socket {
    udp: false,
    v6: false,
};
const TCP6: What = Socket {
    udp: false,
    v6: true,
};
const UDP4: What = Socket {
    udp: true,
    v6: false,
};
const THE_FIRST: Token = Token::Number(0);

fn acquire(start: u16, count: u16, flags: u32) -> What {
    Acquire {
        start,
        count,
        flags,
        align: 0,
    }
}

fn bind(port: u16) -> What {
    Bind {
        loopback: false,
        port,
    }
}

pub(crate) fn histories() -> Vec<Vec<Operation>> {
    let tcp = operation::Exclude {
        tcp: true,
        udp: false,
        start: 61540,
        count: 1,
    };
    vec![
        // What is excluded for TCP is protected for UDP, and has to stay so while it is reserved.
        vec![
            by(1, 0, UDP4),
            by(0, 0, Exclude(tcp)),
            by(1, 0, acquire(61540, 1, 0)),
            by(0, 0, Include(tcp)),
            by(1, 0, Release { token: THE_FIRST }),
            by(0, 0, Exclude(tcp)),
            by(0, 0, Include(tcp)),
        ],
        // A dual-stack socket that has connected over IPv6 is still in the way over IPv4.
        vec![
            by(0, 0, TCP6),
            by(0, 0, bind(61440)),
            by(0, 0, TCP6),
            by(0, 1, Listen),
            by(0, 0, Connect { to: 0 }),
            by(0, 0, TCP4),
            by(0, 3, bind(61440)),
        ],
        // An associated socket is bound when it connects, as long as there is room in the block, and
        // stays bound when it is taken apart again.
        vec![
            by(0, 0, TCP4),
            by(0, 0, bind(61445)),
            by(0, 0, Listen),
            by(1, 0, TCP4),
            by(1, 0, acquire(61439, 1, 0)),
            by(1, 0, TCP4),
            by(1, 1, Associate { token: THE_FIRST }),
            by(1, 1, Connect { to: 0 }),
            by(1, 1, Disconnect),
            by(1, 1, Connect { to: 0 }),
            by(1, 0, TCP4),
            by(1, 2, Associate { token: THE_FIRST }),
            by(1, 2, Connect { to: 0 }),
            by(1, 2, Release { token: THE_FIRST }),
            by(1, 2, Connect { to: 0 }),
            by(0, 0, acquire(61439, 1, 0)),
        ],
        // The same at an address that it was bound to before.
        vec![
            by(1, 0, UDP4),
            by(1, 0, acquire(61439, 2, 0)),
            by(1, 0, UDP4),
            by(1, 1, BindAddress { loopback: true }),
            by(1, 1, Associate { token: THE_FIRST }),
            by(1, 1, Connect { to: 0 }),
            by(1, 0, UDP4),
            by(1, 2, Associate { token: THE_FIRST }),
            by(1, 2, BindAddress { loopback: false }),
            by(1, 2, Connect { to: 0 }),
            by(1, 1, Disconnect),
            by(1, 1, Connect { to: 0 }),
        ],
        // The block of an associated socket that connects is others' now.
        vec![
            by(1, 0, UDP4),
            by(1, 0, acquire(61439, 2, 0)),
            by(1, 0, UDP4),
            by(1, 1, Associate { token: THE_FIRST }),
            by(1, 0, Release { token: THE_FIRST }),
            by(0, 0, UDP4),
            by(0, 0, acquire(61438, 2, 0)),
            by(1, 1, Connect { to: 0 }),
        ],
        // One that listened cannot listen again at once: a connection is in the way.
        vec![
            by(0, 0, TCP4),
            by(0, 0, bind(61445)),
            by(0, 0, Listen),
            by(1, 0, TCP4),
            by(1, 0, Connect { to: 0 }),
            by(0, 0, Disconnect),
            by(0, 0, Listen),
        ],
        // An associated socket outside its block, and when that has ended.
        vec![
            by(1, 0, TCP4),
            by(1, 0, acquire(61439, 2, 0)),
            by(1, 0, TCP4),
            by(1, 1, Associate { token: THE_FIRST }),
            by(1, 1, bind(61441)),
            by(1, 1, Release { token: THE_FIRST }),
            by(1, 1, bind(61440)),
            by(1, 1, bind(0)),
            by(0, 0, TCP4),
            by(0, 0, acquire(61439, 2, 0)),
        ],
        // Each port of a block is chosen once.
        vec![
            by(1, 0, UDP4),
            by(1, 0, acquire(61439, 2, 0)),
            by(1, 0, UDP4),
            by(1, 1, Associate { token: THE_FIRST }),
            by(1, 1, bind(0)),
            by(1, 0, UDP4),
            by(1, 2, Associate { token: THE_FIRST }),
            by(1, 2, bind(0)),
            by(1, 0, UDP4),
            by(1, 3, Associate { token: THE_FIRST }),
            by(1, 3, bind(0)),
        ],
        // A child: TREE lets it in, PROCESS does not, until it claims.
        vec![
            by(1, 0, TCP4),
            by(1, 0, acquire(61439, 1, 2)),
            by(1, 0, acquire(61440, 1, 1)),
            by(1, 0, Fork),
            by(2, 0, TCP4),
            by(2, 1, bind(61440)),
            by(2, 1, bind(61439)),
            by(
                2,
                0,
                Claim {
                    token: Token::Number(1),
                },
            ),
            by(2, 0, TCP4),
            by(2, 2, bind(61440)),
        ],
        // What is behind a cut keeps its consumers.
        vec![
            by(0, 0, TCP4),
            by(
                0,
                0,
                Create {
                    start: 61436,
                    count: 3,
                    adopt: false,
                    consumers: vec![Consumer::Alice],
                },
            ),
            by(
                0,
                0,
                Delete {
                    range: Range::Ports {
                        start: 61437,
                        count: 1,
                    },
                    part: true,
                },
            ),
            by(1, 0, TCP4),
            by(1, 0, bind(61438)),
            by(0, 0, bind(61436)),
            by(0, 0, bind(61437)),
        ],
        // A quota is given back by a release, and taken over by a claim.
        vec![
            by(1, 0, UDP4),
            by(1, 0, acquire(20000, 4096, 0)),
            by(1, 0, acquire(61440, 1, 0)),
            by(1, 0, Give { to: 0 }),
            by(0, 0, Claim { token: THE_FIRST }),
            by(1, 0, acquire(24096, 4096, 0)),
            by(
                1,
                0,
                Release {
                    token: Token::Number(1),
                },
            ),
            by(1, 0, acquire(24096, 4096, 0)),
        ],
    ]
}

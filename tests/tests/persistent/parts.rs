//! Deleting a part of a block: the rest stays reserved, at every instant.

use portkeep_tests::enable::enable;
use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::ports::{PortMap, map, probe_free};
use portkeep_tests::raw::{self, PART, user};
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, proc, sock};

use crate::ledger::{USER, assert_empty};

const ROUNDS: u32 = 3000;

/// About as long as the cutting takes.
const STRANGERS_ROUNDS: u32 = 6000;

pub(crate) fn cut_off(sandbox: &Sandbox) {
    enable(sandbox);
    // Within one word of the bitmap, at its bounds, and over several.
    for (start, count) in [(10060_u16, 9_u16), (10048, 64), (10100, 500)] {
        let end = start + count - 1;
        for (first, last) in [
            (start, start),
            (end, end),
            (start + 3, start + 5),
            (start, end - 1),
            (start + 1, end),
            (start + 1, end - 1),
            (start, end),
        ] {
            let socket = sock::udp4();
            let whole = assert_ok!(raw::create(&socket, start, count, 0, &[user(USER)]));
            assert_errno!(
                raw::delete(&socket, first, last - first + 2 + count, PART),
                ENOENT
            );
            assert_ok!(raw::delete(&socket, first, last - first + 1, PART));
            let rest: Vec<_> = [start..=first - 1, last + 1..=end]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect();
            let parts = rest.iter().map(|part| (Protocol::Udp, part.clone()));
            assert_eq!(map(sandbox), PortMap::new(parts));
            assert_eq!(probe_free(Protocol::Udp, first..=last), []);
            for part in &rest {
                let count = part.end() - part.start() + 1;
                let refused: Vec<_> = part.clone().map(|port| (port, EADDRINUSE)).collect();
                assert_eq!(probe_free(Protocol::Udp, part.clone()), refused);
                let consumer = proc::as_uid(USER, USER, || {
                    i32::from(!probe_free(Protocol::Udp, part.clone()).is_empty())
                });
                assert_eq!(consumer, 0, "the consumer's {part:?}");
                let found = assert_ok!(raw::look_up(&socket, *part.start(), count));
                assert_eq!(found.token == whole.token, *part.start() == start);
                assert_ok!(raw::delete(&socket, *part.start(), count, 0));
            }
            assert_errno!(raw::delete(&socket, first, 1, PART), ENOENT);
            assert_eq!(probe_free(Protocol::Udp, start..=end), []);
        }
    }
    assert_empty(sandbox, USER);
}

/// One process cuts a block and makes it whole again, others try to get at what stays reserved.
pub(crate) fn cut_beside_strangers(sandbox: &Sandbox) {
    enable(sandbox);
    let socket = sock::tcp4();
    assert_ok!(raw::create(&socket, 10100, 100, 0, &[]));
    let strangers: Vec<_> = (0..2)
        .map(|which| {
            proc::fork_child(|| {
                for _ in 0..STRANGERS_ROUNDS {
                    for port in [10100, 10109, 10130, 10163, 10199] {
                        if which == 0 {
                            assert_errno!(sock::bind_any(sock::tcp6(), port), EADDRINUSE);
                        } else {
                            assert_errno!(raw::acquire4(sock::tcp4(), port, 1), EADDRINUSE);
                        }
                    }
                }
                0
            })
        })
        .collect();
    for _ in 0..ROUNDS {
        assert_ok!(raw::delete(&socket, 10110, 20, PART));
        assert_ok!(raw::create(&socket, 10110, 20, 0, &[]));
        assert_ok!(raw::delete(&socket, 10131, 32, PART));
        assert_ok!(raw::create(&socket, 10131, 32, 0, &[]));
        assert_ok!(raw::delete(&socket, 10110, 20, 0));
        assert_ok!(raw::delete(&socket, 10131, 32, 0));
        assert_ok!(raw::create(&socket, 10110, 20, 0, &[]));
        assert_ok!(raw::create(&socket, 10131, 32, 0, &[]));
    }
    for stranger in strangers {
        assert_eq!(stranger.code(), 0);
    }
    assert_eq!(map(sandbox), PortMap::new([(Protocol::Tcp, 10100..=10199)]));
    for (start, count) in [
        (10100, 10),
        (10110, 20),
        (10130, 1),
        (10131, 32),
        (10163, 37),
    ] {
        assert_ok!(raw::delete(&socket, start, count, 0));
    }
    assert_eq!(probe_free(Protocol::Tcp, 10100..=10199), []);
    assert_empty(sandbox, USER);
}

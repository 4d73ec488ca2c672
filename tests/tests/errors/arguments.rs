//! Acquires that make no sense, and values that are none.

use portkeep::{Consumers, ErrorKind};
use portkeep_tests::enable::enable;
use portkeep_tests::libc::EINVAL;
use portkeep_tests::raw::{ACQUIRE, ASSOCIATE, CLAIM, CONFLICT, RELEASE, SOL_PORTKEEP, VERSION};
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, raw, sock};

use crate::ledger::{USER, assert_charged, unchanged};
use crate::refusal::{NONE, Request};

#[track_caller]
fn assert_senseless(sandbox: &Sandbox, start: u16, count: u16, align: u16) {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let request = Request::new(protocol, start, count).align(align);
        let conflict = request.refused(sandbox, EINVAL, ErrorKind::InvalidInput);
        assert_eq!(conflict, NONE, "{request:?}");
    }
}

pub(crate) fn the_range_must_be_possible(sandbox: &Sandbox) {
    enable(sandbox);
    for start in [0, 1, 80, 10000, 40000, u16::MAX] {
        assert_senseless(sandbox, start, 0, 0);
    }
    for (start, count) in [
        (u16::MAX, 2),
        (65000, 537),
        (2, u16::MAX),
        (u16::MAX, u16::MAX),
    ] {
        assert_senseless(sandbox, start, count, 0);
    }
    assert_ok!(raw::acquire4(sock::tcp4(), u16::MAX, 1));
    assert_ok!(raw::acquire4(sock::udp4(), 65000, 536));
    assert_charged(USER, 0);
}

pub(crate) fn the_alignment_must_be_a_power_of_two(sandbox: &Sandbox) {
    enable(sandbox);
    for align in [3, 6, 7, 12, 100, 0x8001, u16::MAX] {
        assert_senseless(sandbox, 0, 1, align);
        assert_senseless(sandbox, 12600, 1, align);
    }
    for (start, align) in [(10001, 2), (10002, 4), (10100, 8), (24576, 1 << 14)] {
        assert_senseless(sandbox, start, 1, align);
        assert_ok!(raw::acquire16(sock::tcp4(), start, 1, 0, align / 2));
    }
}

const KNOWN: u32 = raw::PROCESS | raw::TREE | raw::USER;

fn combinations() -> impl Iterator<Item = u32> {
    (0..=KNOWN).filter(|flags| flags & !KNOWN == 0)
}

pub(crate) fn flags_must_be_known(sandbox: &Sandbox) {
    enable(sandbox);
    let socket = sock::udp4();
    let earlier = assert_ok!(raw::acquire(&socket, 20000, 1));
    unchanged(sandbox, || {
        let unknown = (0..32).map(|bit| 1 << bit).filter(|bit| bit & KNOWN == 0);
        for bit in unknown {
            for known in combinations() {
                let flags = bit | known;
                assert_errno!(raw::acquire16(&socket, 10100, 1, flags, 0), EINVAL);
                assert_errno!(raw::acquire16(&socket, 0, 1, flags, 0), EINVAL);
                assert_eq!(Consumers::from_bits(flags), None);
            }
        }
    });
    assert_eq!(
        (raw::conflict(&socket), raw::instance(&socket)),
        (Ok(NONE), Ok(earlier))
    );
    for known in combinations() {
        assert_ok!(raw::acquire16(&socket, 10100 + known as u16, 1, known, 0));
    }
}

pub(crate) fn values_must_be_long_enough(sandbox: &Sandbox) {
    enable(sandbox);
    let socket = sock::tcp4();
    let earlier = assert_ok!(raw::acquire(&socket, 20000, 1));
    let acquire = [10100_u16.to_be_bytes(), 8_u16.to_ne_bytes()].concat();
    let token = earlier.token.to_ne_bytes();
    unchanged(sandbox, || {
        for len in 0..4 {
            let value = &acquire[..len];
            assert_errno!(
                raw::set_bytes(&socket, SOL_PORTKEEP, ACQUIRE, value),
                EINVAL
            );
        }
        for option in [RELEASE, ASSOCIATE, CLAIM] {
            for len in 0..8 {
                let value = &token[..len];
                assert_errno!(raw::set_bytes(&socket, SOL_PORTKEEP, option, value), EINVAL);
            }
        }
        for (option, size) in [(ACQUIRE, 16), (ASSOCIATE, 8), (VERSION, 4), (CONFLICT, 24)] {
            for len in 0..size {
                assert_errno!(raw::get_bytes(&socket, SOL_PORTKEEP, option, len), EINVAL);
            }
        }
    });
    assert_eq!(
        (raw::conflict(&socket), raw::instance(&socket)),
        (Ok(NONE), Ok(earlier))
    );
    assert_eq!(raw::associated(&socket), Ok(0));
}

pub(crate) fn addresses_must_be_readable(sandbox: &Sandbox) {
    enable(sandbox);
    for socket in [sock::tcp4(), sock::udp6()] {
        let earlier = assert_ok!(raw::acquire(&socket, 20000, 1));
        unchanged(sandbox, || {
            for option in [ACQUIRE, RELEASE, ASSOCIATE, CLAIM] {
                for len in [1, 4, 8, 16, 64, 4096] {
                    let result = raw::set_unreadable(&socket, SOL_PORTKEEP, option, len);
                    assert_errno!(result, EFAULT);
                }
            }
            for (option, size) in [(ACQUIRE, 16), (ASSOCIATE, 8), (VERSION, 4), (CONFLICT, 24)] {
                for len in [size, 64, 4096] {
                    let result = raw::get_unwritable(&socket, SOL_PORTKEEP, option, len);
                    assert_errno!(result, EFAULT);
                }
            }
        });
        assert_eq!(
            (raw::conflict(&socket), raw::instance(&socket)),
            (Ok(NONE), Ok(earlier))
        );
        assert_eq!(raw::associated(&socket), Ok(0));
    }
}

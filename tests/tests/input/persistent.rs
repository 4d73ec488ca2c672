//! Values of the calls for persistent reservations, from an administrator and from a user: what is
//! wrong with the value is told before what is wrong with the caller.

use portkeep_tests::enable::enable;
use portkeep_tests::libc::{EACCES, EINVAL, ENOENT};
use portkeep_tests::raw::{CREATE, DELETE, LOOKUP, PART, SOL_PORTKEEP, UID};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Sandbox, assert_ok, errno_name, proc, raw};

use crate::bytes::{LONGEST, lengths, range, resized, sockets};
use crate::ledger::{USER, assert_empty, unchanged};

const CONSUMERS_MAX: usize = 8;

fn set(socket: &Socket, option: i32, value: &[u8]) -> Result<(), i32> {
    raw::set_bytes(socket, SOL_PORTKEEP, option, value)
}

#[track_caller]
fn expect(result: Result<(), i32>, expected: Result<(), i32>, call: &str) {
    let (result, expected) = (result.map_err(errno_name), expected.map_err(errno_name));
    assert_eq!(result, expected, "{call}");
}

/// Runs the calls as root and as a user; they are told what a valid value comes to.
fn as_both(sandbox: &Sandbox, calls: impl Fn(Result<(), i32>)) {
    enable(sandbox);
    calls(Ok(()));
    let checked = proc::as_uid(USER, USER, || {
        calls(Err(EACCES));
        0
    });
    assert_eq!(checked, 0);
    assert_empty(sandbox, USER);
}

pub(crate) fn creates_of_every_length(sandbox: &Sandbox) {
    let valid = raw::create_value(10100, 8, 0, &[(UID, 0); CONSUMERS_MAX + 1]);
    as_both(sandbox, |permitted| {
        for socket in sockets() {
            for len in lengths().chain(67..=valid.len()) {
                let value = resized(&valid, len);
                let whole = len >= 16 && len % 16 == 0 && len <= 16 + 16 * CONSUMERS_MAX;
                let expected = if whole { permitted } else { Err(EINVAL) };
                let call = format!("create with {len} bytes");
                expect(set(&socket, CREATE, &value), expected, &call);
                if expected.is_ok() {
                    assert_ok!(raw::lookup(&socket, 10100, 8));
                    assert_ok!(raw::delete(&socket, 10100, 8, 0));
                }
            }
        }
    });
}

/// The reserved bytes of the request and of its consumer, and the flags of other calls.
pub(crate) fn creates_with_a_byte_set(sandbox: &Sandbox) {
    let valid = raw::create_value(10100, 8, 0, &[(UID, 0)]);
    as_both(sandbox, |_| {
        for socket in sockets() {
            unchanged(sandbox, || {
                for at in (10..16).chain(20..24) {
                    for bit in 0..8 {
                        let mut value = valid.clone();
                        value[at] = 1 << bit;
                        let call = format!("create, bit {bit} of byte {at}");
                        expect(set(&socket, CREATE, &value), Err(EINVAL), &call);
                    }
                }
                for flag in (0..32).filter(|flag| ![2, 16].contains(flag)) {
                    let value = raw::create_value(10100, 8, 1 << flag, &[]);
                    let call = format!("create, flag {flag}");
                    expect(set(&socket, CREATE, &value), Err(EINVAL), &call);
                }
                for consumer in [(0, 0), (4, 0), (UID, u64::from(u32::MAX)), (raw::CGROUP, 0)] {
                    let value = raw::create_value(10100, 8, 0, &[consumer]);
                    let call = format!("create for {consumer:?}");
                    expect(set(&socket, CREATE, &value), Err(EINVAL), &call);
                }
            });
        }
    });
}

pub(crate) fn ranges_of_every_length(sandbox: &Sandbox) {
    as_both(sandbox, |permitted| {
        // There is nothing to delete, nor to look up.
        let delete = permitted.and(Err(ENOENT));
        for socket in sockets() {
            for (option, valid) in [(DELETE, delete), (LOOKUP, Err(ENOENT))] {
                for len in lengths() {
                    let mut value = resized(&range(10100, 8), len);
                    let fits = len == 4 || (8..=LONGEST).contains(&len);
                    let expected = if fits { valid } else { Err(EINVAL) };
                    let call = format!("{option} with {len} bytes");
                    expect(set(&socket, option, &value), expected, &call);
                    // A flag of another call, and what a later version may put behind the flags.
                    for at in 4..len.min(LONGEST) {
                        value[at] = 0x80;
                        let call = format!("{option} with {len} bytes, byte {at} set");
                        expect(set(&socket, option, &value), Err(EINVAL), &call);
                        value[at] = 0;
                    }
                }
            }
            let mut part = resized(&range(10100, 8), 8);
            part[4..].copy_from_slice(&PART.to_ne_bytes());
            expect(set(&socket, DELETE, &part), delete, "delete of a part");
            expect(
                set(&socket, LOOKUP, &part),
                Err(EINVAL),
                "look up of a part",
            );
        }
    });
}

pub(crate) fn impossible_ranges(sandbox: &Sandbox) {
    as_both(sandbox, |_| {
        for socket in sockets() {
            unchanged(sandbox, || {
                for (start, count) in [(0, 8), (10100, 0), (65530, 7), (65535, 2)] {
                    for option in [DELETE, LOOKUP] {
                        let call = format!("{option} of {count} ports from {start}");
                        expect(
                            set(&socket, option, &range(start, count)),
                            Err(EINVAL),
                            &call,
                        );
                    }
                }
                for (start, count) in [(10100, 0), (0, 0), (65530, 7), (65535, 2)] {
                    let value = raw::create_value(start, count, 0, &[]);
                    let call = format!("create of {count} ports from {start}");
                    expect(set(&socket, CREATE, &value), Err(EINVAL), &call);
                }
            });
        }
    });
}

//! Values to set.

use portkeep_tests::enable::{POOL_START, enable};
use portkeep_tests::libc::{EACCES, EINVAL, ENOENT};
use portkeep_tests::ports::{PortMap, map};
use portkeep_tests::raw::{
    ACQUIRE, ASSOCIATE, CLAIM, CONFLICT, CREATE, DELETE, LOOKUP, RELEASE, SOL_PORTKEEP, VERSION,
};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Sandbox, assert_errno, assert_ok, errno_name, expect_errno, proc, raw, sock};

use crate::bytes::{LONGEST, acquire, lengths, range, resized, sockets};
use crate::ledger::{USER, assert_charged, assert_empty, unchanged};

fn set(socket: &Socket, option: i32, value: &[u8]) -> Result<(), i32> {
    raw::set_bytes(socket, SOL_PORTKEEP, option, value)
}

/// The range alone, or all of the structure: nothing between the two.
pub(crate) fn acquires_of_every_length(sandbox: &Sandbox) {
    enable(sandbox);
    for socket in sockets() {
        for len in lengths() {
            for value in [
                acquire(10100, 8, 0, 0),
                acquire(10100, 8, 3, 4),
                range(0, 8),
            ] {
                let value = resized(&value, len);
                if len == 4 || (16..=LONGEST).contains(&len) {
                    assert_ok!(set(&socket, ACQUIRE, &value));
                    let block = assert_ok!(raw::instance(&socket));
                    let start = if value[..2] == [0; 2] {
                        POOL_START.max(block.start)
                    } else {
                        10100
                    };
                    assert_eq!((block.start, block.count), (start, 8));
                    assert_ok!(raw::release(&socket, block.token));
                } else {
                    let result = unchanged(sandbox, || set(&socket, ACQUIRE, &value));
                    expect_errno(result, EINVAL, &format!("acquire with {len} bytes"));
                }
            }
        }
    }
    assert_empty(sandbox, USER);
}

pub(crate) fn tokens_of_every_length(sandbox: &Sandbox) {
    enable(sandbox);
    for socket in sockets() {
        for len in lengths() {
            for option in [ASSOCIATE, CLAIM, RELEASE] {
                let block = assert_ok!(raw::acquire(&socket, 10100, 8));
                let value = resized(&block.token.to_ne_bytes(), len);
                let result = set(&socket, option, &value);
                if (8..=LONGEST).contains(&len) {
                    assert_eq!(
                        result.map_err(errno_name),
                        Ok(()),
                        "{option:#x}, {len} bytes"
                    );
                } else {
                    expect_errno(result, EINVAL, &format!("{option:#x} with {len} bytes"));
                    assert!(map(sandbox) != PortMap::default());
                }
                let released = option == RELEASE && (8..=LONGEST).contains(&len);
                let again = raw::release(&socket, block.token);
                assert_eq!(again, if released { Err(EINVAL) } else { Ok(()) });
            }
        }
    }
    assert_empty(sandbox, USER);
}

/// Whoever writes a later version's fields must not be taken for someone who left them out.
pub(crate) fn tails_must_be_zero(sandbox: &Sandbox) {
    enable(sandbox);
    for socket in sockets() {
        let token = assert_ok!(raw::acquire(&socket, 10100, 8))
            .token
            .to_ne_bytes();
        let acquire = acquire(10200, 8, 0, 0);
        unchanged(sandbox, || {
            for (option, value) in [
                (ACQUIRE, acquire.as_slice()),
                (RELEASE, &token),
                (ASSOCIATE, &token),
                (CLAIM, &token),
            ] {
                for len in lengths().filter(|&len| len > value.len()) {
                    for at in (value.len()..len.min(LONGEST)).chain([len - 1]) {
                        for content in [1, 0x80, 0xff] {
                            let mut value = resized(value, len);
                            value[at] = content;
                            let call = format!("{option:#x} with {len} bytes, {content} at {at}");
                            expect_errno(set(&socket, option, &value), EINVAL, &call);
                        }
                    }
                }
            }
        });
        assert_eq!(raw::associated(&socket), Ok(0));
    }
    assert_empty(sandbox, USER);
}

pub(crate) fn reserved_bytes_must_be_zero(sandbox: &Sandbox) {
    enable(sandbox);
    for socket in sockets() {
        unchanged(sandbox, || {
            for len in [16, 17, 32, LONGEST] {
                for at in 10..16 {
                    for bit in 0..8 {
                        let mut value = resized(&acquire(10100, 8, 0, 0), len);
                        value[at] = 1 << bit;
                        let call = format!("acquire with {len} bytes, bit {bit} of {at}");
                        expect_errno(set(&socket, ACQUIRE, &value), EINVAL, &call);
                    }
                }
            }
        });
        // What is asked for comes whole: no field of the structure overlaps another.
        for flags in 0..4 {
            assert_ok!(set(&socket, ACQUIRE, &acquire(0, 3, flags, 256)));
            let block = assert_ok!(raw::instance(&socket));
            assert_eq!((block.start % 256, block.count, block.reserved), (0, 3, 0));
        }
    }
    assert_empty(sandbox, USER);
}

/// An invalid value is reported before the missing privilege.
pub(crate) fn persistent_calls_of_every_length(sandbox: &Sandbox) {
    enable(sandbox);
    let checked = proc::as_uid(USER, USER, || {
        persistent_calls(sandbox);
        0
    });
    assert_eq!(checked, 0);
    assert_empty(sandbox, USER);
}

fn persistent_calls(sandbox: &Sandbox) {
    for socket in sockets() {
        unchanged(sandbox, || {
            for len in lengths() {
                let value = resized(&acquire(10100, 8, 0, 0), len);
                let call = format!("create with {len} bytes");
                // Zeros behind the first 16 bytes are consumers of no kind.
                let errno = if len == 16 { EACCES } else { EINVAL };
                expect_errno(set(&socket, CREATE, &value), errno, &call);
                let value = resized(&range(10100, 8), len);
                let whole = len == 4 || (8..=LONGEST).contains(&len);
                let call = format!("delete with {len} bytes");
                let errno = if whole { EACCES } else { EINVAL };
                expect_errno(set(&socket, DELETE, &value), errno, &call);
                let call = format!("look up with {len} bytes");
                let errno = if whole { ENOENT } else { EINVAL };
                expect_errno(set(&socket, LOOKUP, &value), errno, &call);
            }
            for (start, count) in [(0, 8), (10100, 0), (65535, 2)] {
                for option in [DELETE, LOOKUP] {
                    assert_errno!(set(&socket, option, &range(start, count)), EINVAL);
                }
            }
            for at in 10..16 {
                let mut value = acquire(10100, 8, 0, 0);
                value[at] = 1;
                assert_errno!(set(&socket, CREATE, &value), EINVAL);
            }
            for flags in [1, 2, 8, 16, 1 << 31] {
                let value = acquire(10100, 8, flags, 0);
                assert_errno!(set(&socket, CREATE, &value), EINVAL);
            }
        });
    }
}

pub(crate) fn what_is_only_read_is_not_set(sandbox: &Sandbox) {
    enable(sandbox);
    for socket in sockets() {
        assert_ok!(raw::acquire4(&socket, 10100, 8));
        unchanged(sandbox, || {
            for option in [VERSION, CONFLICT, 0, 9, -1, i32::MIN, i32::MAX] {
                for len in lengths() {
                    let value = resized(&range(10200, 8), len);
                    assert_errno!(set(&socket, option, &value), ENOPROTOOPT);
                }
            }
        });
    }
    assert_ok!(raw::acquire4(sock::tcp4(), 10100, 8));
    assert_charged(USER, 0);
}

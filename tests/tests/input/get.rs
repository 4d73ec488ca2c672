//! Values to read.

use portkeep_tests::enable::enable;
use portkeep_tests::libc::{EINVAL, ENOPROTOOPT, EOPNOTSUPP};
use portkeep_tests::raw::{
    ACQUIRE, ASSOCIATE, CLAIM, CONFLICT, CREATE, DELETE, LOOKUP, RELEASE, SOL_PORTKEEP, VERSION,
};
use portkeep_tests::{Sandbox, assert_errno, assert_ok, expect_errno, raw, sock};

use crate::bytes::{acquire, get_into, lengths, sockets};
use crate::ledger::{USER, assert_empty, unchanged};

const UNTOUCHED: u8 = 0xa5;

/// The whole value whatever the length, if it fits, and not a byte more.
pub(crate) fn answers_of_every_length(sandbox: &Sandbox) {
    enable(sandbox);
    let occupied = sockets();
    for socket in &occupied {
        let domain = socket.domain().expect("read SO_DOMAIN");
        let protocol = socket.protocol().expect("read SO_PROTOCOL");
        let kind = socket.r#type().expect("read SO_TYPE");
        let new = || portkeep_tests::socket2::Socket::new(domain, kind, protocol).expect("socket");
        let (fresh, used) = (new(), new());
        let block = assert_ok!(raw::acquire(&used, 10100, 8));
        assert_ok!(raw::associate(&used, block.token));
        assert_errno!(raw::acquire4(&used, 10105, 1), EADDRINUSE);
        assert_ok!(raw::create(&used, 10300, 8, 0, &[]));
        assert_ok!(raw::lookup(&used, 10300, 8));
        unchanged(sandbox, || {
            for socket in [&fresh, &used] {
                for (option, size) in [
                    (ACQUIRE, 16),
                    (CREATE, 16),
                    (LOOKUP, 16),
                    (ASSOCIATE, 8),
                    (VERSION, 4),
                    (CONFLICT, 24),
                ] {
                    let mut whole = vec![0; size];
                    assert_eq!(get_into(socket, option, &mut whole), Ok(size));
                    for len in lengths() {
                        let mut buffer = vec![UNTOUCHED; len];
                        let result = get_into(socket, option, &mut buffer);
                        let written = if len < size {
                            expect_errno(result, EINVAL, &format!("{option:#x}, {len} bytes"));
                            0
                        } else {
                            assert_eq!(result, Ok(size), "{option:#x} into {len} bytes");
                            size
                        };
                        assert_eq!(buffer[..written], whole[..written]);
                        assert!(buffer[written..].iter().all(|&byte| byte == UNTOUCHED));
                    }
                }
            }
        });
        for option in [ACQUIRE, CREATE, LOOKUP, ASSOCIATE, CONFLICT] {
            let none = assert_ok!(raw::get_bytes(&fresh, SOL_PORTKEEP, option, 64));
            let some = assert_ok!(raw::get_bytes(&used, SOL_PORTKEEP, option, 64));
            assert!(none.iter().all(|&byte| byte == 0) && some.iter().any(|&byte| byte != 0));
        }
        assert_eq!(assert_ok!(raw::instance(&used)).reserved, 0);
        assert_ok!(raw::delete(&used, 10300, 8, 0));
        assert_eq!(assert_ok!(raw::conflict(&used)).reserved, 0);
    }
    drop(occupied);
    assert_empty(sandbox, USER);
}

pub(crate) fn what_is_only_set_is_not_read(sandbox: &Sandbox) {
    enable(sandbox);
    for socket in sockets() {
        for option in [RELEASE, CLAIM, DELETE, 0, 7, -1, i32::MIN, i32::MAX] {
            for len in lengths() {
                let mut buffer = vec![UNTOUCHED; len];
                let result = get_into(&socket, option, &mut buffer);
                expect_errno(
                    result,
                    ENOPROTOOPT,
                    &format!("get {option:#x} of {socket:?}"),
                );
                assert!(buffer.iter().all(|&byte| byte == UNTOUCHED));
            }
        }
    }
    assert_empty(sandbox, USER);
}

/// Another level's options are not Portkeep's, whatever their numbers.
pub(crate) fn other_levels_are_left_alone(sandbox: &Sandbox) {
    enable(sandbox);
    let level = SOL_PORTKEEP;
    let others = [
        level + 1,
        level - 1,
        level.swap_bytes(),
        level | 1 << 16,
        -level,
        i32::MAX,
        -1,
    ];
    for (index, socket) in sockets().iter().enumerate() {
        unchanged(sandbox, || {
            for level in others {
                let value = acquire(10100, 8, 0, 0);
                assert_errno!(raw::set_bytes(socket, level, ACQUIRE, &value), ENOPROTOOPT);
                // do_ip_getsockopt() of net/ipv4/ip_sockglue.c has its own errno for this.
                let errno = if index % 2 == 0 {
                    EOPNOTSUPP
                } else {
                    ENOPROTOOPT
                };
                for option in [ACQUIRE, VERSION] {
                    let result = raw::get_bytes(socket, level, option, 64);
                    expect_errno(result, errno, "get at another level");
                }
            }
        });
    }
    assert_eq!(raw::version(sock::tcp4()), Ok(1));
    assert_empty(sandbox, USER);
}

//! The events, read with room for less, more, or nothing, by somebody who may not see most of them.

use std::os::fd::AsRawFd as _;
use std::ptr;

use portkeep_tests::enable::enable;
use portkeep_tests::libc::{self, EFAULT, EINVAL, ENOENT};
use portkeep_tests::raw::{self, SOL_PORTKEEP, WATCH};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Sandbox, assert_errno, assert_ok, expect_errno, proc, sock};

use crate::bytes::{LONGEST, get_into, lengths, resized, sockets};
use crate::ledger::{USER, assert_empty, unchanged};

const UNTOUCHED: u8 = 0xa5;
/// `struct portkeep_events` and `struct portkeep_event`.
const HEAD: usize = 24;
const EVENT: usize = 96;
/// As many events as a page has room for.
const AT_ONCE: usize = 42;

fn watch(socket: &Socket, value: &[u8]) -> Result<(), i32> {
    raw::set_bytes(socket, SOL_PORTKEEP, WATCH, value)
}

/// The number of events in an answer, and whether there are more.
fn read(socket: &Socket, length: usize) -> (usize, bool) {
    let mut buffer = vec![UNTOUCHED; length];
    let written = assert_ok!(get_into(socket, WATCH, &mut buffer));
    let number = u32::from_ne_bytes(buffer[16..20].try_into().expect("4 bytes")) as usize;
    assert_eq!(written, HEAD + number * EVENT, "of {length} bytes");
    assert!(buffer[written..].iter().all(|&byte| byte == UNTOUCHED));
    for event in buffer[HEAD..written].chunks(EVENT) {
        let uid = u32::from_ne_bytes(event[36..40].try_into().expect("4 bytes"));
        assert_eq!(uid, USER, "another user's event: {event:?}");
    }
    (number, buffer[20] != 0)
}

/// A length that holds no whole event leaves it for the next call; none is told twice or lost.
pub(crate) fn events_of_every_length(sandbox: &Sandbox) {
    enable(sandbox);
    let held = sock::tcp4();
    assert_ok!(raw::acquire4(&held, 10100, 1));
    let told = proc::as_uid(USER, USER, || {
        for socket in sockets() {
            for length in lengths() {
                let mut buffer = vec![UNTOUCHED; length];
                let refused = get_into(&socket, WATCH, &mut buffer);
                expect_errno(refused, ENOENT, "of one that does not watch");
                assert!(buffer.iter().all(|&byte| byte == UNTOUCHED));
            }
            assert_ok!(watch(&socket, &[0; 8]));
            for length in lengths() {
                let events = length % 5;
                for _ in 0..events {
                    let refused = sock::bind_any(sock::tcp4(), 10100);
                    assert_errno!(refused, EADDRINUSE);
                }
                if length < HEAD {
                    let mut buffer = vec![UNTOUCHED; length];
                    let refused = get_into(&socket, WATCH, &mut buffer);
                    expect_errno(refused, EINVAL, "without room for the head");
                    assert!(buffer.iter().all(|&byte| byte == UNTOUCHED));
                } else {
                    let room = ((length - HEAD) / EVENT).min(AT_ONCE);
                    let (number, more) = read(&socket, length);
                    assert!(number <= room && (number == room || !more), "{length}");
                }
            }
            while read(&socket, 4096).1 {}
            assert_eq!(read(&socket, 4096), (0, false));
        }
        0
    });
    assert_eq!(told, 0);
    drop(held);
    assert_empty(sandbox, USER);
}

/// What cannot be asked for changes nothing of what is.
pub(crate) fn requests_of_every_length(sandbox: &Sandbox) {
    enable(sandbox);
    let held = sock::tcp4();
    assert_ok!(raw::acquire4(&held, 10100, 1));
    unchanged(sandbox, || {
        for socket in sockets() {
            for length in lengths() {
                for kinds in [0_u64, 1 << 1, !0] {
                    let value = resized(&kinds.to_ne_bytes(), length);
                    let result = watch(&socket, &value);
                    match (8..=LONGEST).contains(&length) {
                        true => assert_eq!(result, Ok(()), "{length}"),
                        false => expect_errno(result, EINVAL, &format!("{length} bytes")),
                    }
                }
            }
            let mut value = [0_u8; 16];
            value[15] = 1;
            assert_errno!(watch(&socket, &value), EINVAL);
            // No memory there.
            let (fd, nowhere) = (socket.as_raw_fd(), ptr::without_provenance_mut(8));
            let mut length = 4096 as libc::socklen_t;
            // SAFETY: the kernel is given an address that nothing is at.
            let result =
                unsafe { libc::getsockopt(fd, SOL_PORTKEEP, WATCH, nowhere, &raw mut length) };
            let errno = std::io::Error::last_os_error().raw_os_error();
            assert_eq!((result, errno), (-1, Some(EFAULT)));
            // SAFETY: as above.
            let result = unsafe { libc::setsockopt(fd, SOL_PORTKEEP, WATCH, nowhere, 8) };
            let errno = std::io::Error::last_os_error().raw_os_error();
            assert_eq!((result, errno), (-1, Some(EFAULT)));
            // A length that is none.
            length = libc::socklen_t::MAX;
            let mut head = [0_u8; HEAD];
            // SAFETY: the kernel refuses a length that is negative to it.
            let result = unsafe {
                let buffer = head.as_mut_ptr().cast();
                libc::getsockopt(fd, SOL_PORTKEEP, WATCH, buffer, &raw mut length)
            };
            assert_eq!(result, -1);
            assert!(head.iter().all(|&byte| byte == 0));
        }
    });
    drop(held);
    assert_empty(sandbox, USER);
}

/// None of them reads anything, and all of them see the same.
pub(crate) fn hundreds_of_watchers(sandbox: &Sandbox) {
    enable(sandbox);
    let held = sock::tcp4();
    assert_ok!(raw::acquire4(&held, 10100, 1));
    let told = proc::as_uid(USER, USER, || {
        let watchers: Vec<_> = (0..900).map(|_| sock::udp4()).collect();
        for watcher in &watchers {
            assert_ok!(watch(watcher, &[0; 8]));
        }
        for _ in 0..3000 {
            assert_errno!(sock::bind_any(sock::tcp4(), 10100), EADDRINUSE);
        }
        for watcher in &watchers {
            let mut buffer = [0_u8; 4096];
            assert_ok!(get_into(watcher, WATCH, &mut buffer));
            let lost = u64::from_ne_bytes(buffer[..8].try_into().expect("8 bytes"));
            // The ring has room for 2048; other trials may have written to it, too.
            assert!(lost >= 3000 - 2048, "{lost}");
            assert_eq!(buffer[20], 1, "there are more");
        }
        0
    });
    assert_eq!(told, 0);
    drop(held);
    assert_empty(sandbox, USER);
}

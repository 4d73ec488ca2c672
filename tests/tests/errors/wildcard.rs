//! Wildcards that find nothing.

use portkeep::ErrorKind;
use portkeep_tests::enable::{enable_with, options};
use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, raw, sock};

use crate::holder::{Holder, socket};
use crate::ledger::{USER, assert_charged};
use crate::refusal::{Request, of};

const START: u16 = 61024;
const END: u16 = 61087;

fn enable_small(sandbox: &Sandbox) {
    enable_with(&portkeep_admin::InstallOptions {
        pool: (START, END),
        ..options(sandbox)
    });
}

#[track_caller]
fn assert_no_run(sandbox: &Sandbox, request: Request) {
    let conflict = request.refused(sandbox, EADDRINUSE, ErrorKind::NoFreeBlock);
    assert_eq!(
        conflict,
        of(raw::CONFLICT_RESERVED, request.protocol, 0),
        "{request:?}"
    );
}

pub(crate) fn a_full_pool_is_refused(sandbox: &Sandbox) {
    enable_small(sandbox);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        assert_no_run(sandbox, Request::new(protocol, 0, END - START + 2));
        assert_no_run(sandbox, Request::new(protocol, 0, u16::MAX));
        let whole = socket(protocol);
        let block = assert_ok!(raw::acquire(&whole, 0, END - START + 1));
        assert_eq!(block.start, START);
        assert_no_run(sandbox, Request::new(protocol, 0, 1));
        assert_ok!(raw::release(&whole, block.token));

        let holder = Holder::start(USER, protocol, START, END - START);
        let last = socket(protocol);
        assert_eq!(assert_ok!(raw::acquire(&last, 0, 1)).start, END);
        assert_no_run(sandbox, Request::new(protocol, 0, 1));
        assert_charged(USER, END - START);
        drop(holder);
        assert_eq!(assert_ok!(raw::acquire(&last, 0, END - START)).start, START);
    }
    assert_charged(USER, 0);
}

pub(crate) fn no_run_is_long_enough(sandbox: &Sandbox) {
    enable_small(sandbox);
    let socket = sock::tcp4();
    let bound = sock::tcp4();
    assert_ok!(sock::bind_any(&bound, START + 20));
    assert_ok!(raw::acquire4(&socket, START + 41, 2));
    // Free: 20 ports, then 20, then 21.
    assert_no_run(sandbox, Request::new(Protocol::Tcp, 0, 22));
    assert_eq!(assert_ok!(raw::acquire(&socket, 0, 21)).start, START + 43);
    assert_no_run(sandbox, Request::new(Protocol::Tcp, 0, 21));
    assert_ok!(raw::acquire4(&socket, 0, 20));
    assert_ok!(raw::acquire4(&socket, 0, 20));
    assert_no_run(sandbox, Request::new(Protocol::Tcp, 0, 1));
    assert_ok!(raw::acquire4(sock::udp4(), 0, END - START + 1));
}

pub(crate) fn no_run_is_aligned(sandbox: &Sandbox) {
    enable_small(sandbox);
    let socket = sock::udp4();
    // 61056 is divisible by 128, and no other port of the pool.
    assert_no_run(sandbox, Request::new(Protocol::Udp, 0, 1).align(256));
    assert_no_run(sandbox, Request::new(Protocol::Udp, 0, 1).align(1 << 15));
    assert_ok!(raw::acquire4(&socket, 61056, 1));
    assert_no_run(sandbox, Request::new(Protocol::Udp, 0, 1).align(128));
    assert_no_run(sandbox, Request::new(Protocol::Udp, 0, 1).align(64));
    assert_ok!(raw::acquire16(&socket, 0, 1, 0, 32));
    assert_eq!(assert_ok!(raw::instance(&socket)).start, START);
    assert_no_run(sandbox, Request::new(Protocol::Udp, 0, 17).align(16));
    assert_ok!(raw::acquire16(&socket, 0, 16, 0, 16));
    assert_errno!(raw::acquire16(&socket, 0, 16, 0, 32), EADDRINUSE);
}

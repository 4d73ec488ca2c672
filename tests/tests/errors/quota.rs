//! The quota of a user.

use portkeep::ErrorKind;
use portkeep_tests::enable::enable;
use portkeep_tests::libc::EDQUOT;
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, ports, proc, raw, sock};

use crate::holder::socket;
use crate::ledger::{QUOTA, USER, assert_charged, assert_empty, unchanged};
use crate::refusal::{Request, of};

pub(crate) fn more_than_is_left_is_refused(sandbox: &Sandbox) {
    enable(sandbox);
    let checked = proc::as_uid(USER, USER, || {
        let refused = |protocol, start, count| {
            let request = Request::new(protocol, start, count);
            let conflict = request.refused(sandbox, EDQUOT, ErrorKind::Quota);
            assert_eq!(
                conflict,
                of(raw::CONFLICT_QUOTA, protocol, 0),
                "{request:?}"
            );
        };
        // Each is refused on a socket that holds one port already.
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            refused(protocol, 0, QUOTA);
            refused(protocol, 24000, QUOTA);
            refused(protocol, 24000, 8000);
            refused(protocol, 0, u16::MAX);
            assert_ok!(raw::acquire4(socket(protocol), 24000, QUOTA));
        }
        let (tcp, udp) = (sock::tcp4(), sock::udp4());
        assert_ok!(raw::acquire4(&tcp, 24000, 2000));
        assert_ok!(raw::acquire4(&udp, 24000, 2000));
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            refused(protocol, 27000, 96);
            assert_ok!(raw::acquire4(socket(protocol), 27000, 96));
        }
        drop(udp);
        assert_ok!(raw::acquire4(&tcp, 27000, 2096));
        0
    });
    assert_eq!(checked, 0);
    assert_empty(sandbox, USER);
    assert_ok!(raw::acquire4(sock::tcp4(), 24000, 8000));
}

pub(crate) fn a_refused_acquire_is_not_charged(sandbox: &Sandbox) {
    enable(sandbox);
    let reserved = sock::tcp4();
    assert_ok!(raw::acquire4(&reserved, 10100, 1));
    let bound = sock::tcp4();
    assert_ok!(sock::bind_any(&bound, 10200));
    let checked = proc::as_uid(USER, USER, || {
        let held = sock::tcp4();
        assert_ok!(raw::acquire4(&held, 11000, QUOTA - 64));
        unchanged(sandbox, || {
            for _ in 0..100 {
                let socket = sock::tcp4();
                assert_errno!(raw::acquire4(&socket, 10064, 64), EADDRINUSE);
                assert_errno!(raw::acquire4(&socket, 10190, 64), EADDRINUSE);
                assert_errno!(raw::acquire4(&socket, 40000, 64), EADDRNOTAVAIL);
                assert_errno!(raw::acquire4(&socket, 1000, 64), EACCES);
                assert_errno!(raw::acquire4(&socket, 65500, 64), EINVAL);
                assert_errno!(raw::acquire4(&socket, 0, 65), EDQUOT);
                assert_errno!(raw::acquire16(&socket, 0, 64, 0, 1 << 15), EADDRINUSE);
            }
        });
        assert_ok!(raw::acquire4(&held, 0, 64));
        0
    });
    assert_eq!(checked, 0);
    let mapped = ports::map(sandbox);
    assert_eq!(
        mapped,
        ports::PortMap::new([(Protocol::Tcp, 10100..=10100)])
    );
    assert_charged(USER, 0);
}

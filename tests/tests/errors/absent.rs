//! Calls where the kernel part is not.

use portkeep::{Acquire, Backend, Consumers, Error, ErrorKind, Reservation, Token, sockopt};
use portkeep_tests::enable::{enable, installation};
use portkeep_tests::libc::{ENOPROTOOPT, EOPNOTSUPP};
use portkeep_tests::raw::{ACQUIRE, ASSOCIATE, CLAIM, CONFLICT, RELEASE, SOL_PORTKEEP, VERSION};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{
    Protocol, Sandbox, assert_errno, assert_ok, expect_errno, ports, proc, raw, sock,
};

use crate::holder::Holder;
use crate::ledger::USER;

#[track_caller]
fn assert_absent(socket: &Socket, token: u64, is_ipv4: bool) {
    let acquire = [10100_u16.to_be_bytes(), 8_u16.to_ne_bytes()].concat();
    for (option, value) in [
        (ACQUIRE, acquire.as_slice()),
        (RELEASE, &token.to_ne_bytes()),
        (ASSOCIATE, &token.to_ne_bytes()),
        (CLAIM, &token.to_ne_bytes()),
    ] {
        let result = raw::set_bytes(socket, SOL_PORTKEEP, option, value);
        expect_errno(result, ENOPROTOOPT, "set without the kernel part");
    }
    // do_ip_getsockopt() of net/ipv4/ip_sockglue.c answers an unknown level in its own way.
    let errno = if is_ipv4 { EOPNOTSUPP } else { ENOPROTOOPT };
    for option in [ACQUIRE, ASSOCIATE, VERSION, CONFLICT] {
        let result = raw::get_bytes(socket, SOL_PORTKEEP, option, 64);
        expect_errno(result, errno, "get without the kernel part");
    }
    let token = Token::from_raw(token).expect("not 0");
    for error in [
        sockopt::acquire(socket, 10100, 8, Consumers::ASSOCIATED, 0).map(drop),
        sockopt::release(socket, token),
        sockopt::associate(socket, token),
        sockopt::claim(socket, token),
        sockopt::associated(socket).map(drop),
        sockopt::version(socket).map(drop),
        portkeep::version().map(drop),
        kernel().tcp().udp().acquire().map(drop),
        kernel().udp().port(10100).acquire().map(drop),
    ]
    .map(|result: Result<(), Error>| result.expect_err("without the kernel part"))
    {
        let absent = (ErrorKind::NotEnabled, Some(ENOPROTOOPT));
        assert_eq!((error.kind(), error.errno()), absent, "{error}");
        assert!(
            error
                .hint()
                .is_some_and(|hint| hint.contains("portkeep enable"))
        );
    }
    assert_eq!(sockopt::conflict(socket), None);
}

fn kernel() -> Acquire {
    Reservation::builder().backend(Backend::Kernel)
}

#[track_caller]
fn assert_absent_everywhere(token: u64) {
    assert_absent(&sock::tcp4(), token, true);
    assert_absent(&sock::tcp6(), token, false);
    assert_absent(&sock::udp4(), token, true);
    assert_absent(&sock::udp6(), token, false);
}

pub(crate) fn nothing_answers_before_enable(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    assert_absent_everywhere(1);
    assert_eq!(
        proc::as_uid(USER, USER, || {
            assert_absent_everywhere(1);
            0
        }),
        0
    );
    let early = sock::tcp4();
    enable(sandbox);
    // A socket that is older than the kernel part is served like any other.
    assert_eq!(raw::version(&early), Ok(1));
    assert_ok!(raw::acquire4(&early, 10100, 8));
}

pub(crate) fn nothing_answers_after_remove(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    enable(sandbox);
    let own = sock::tcp4();
    let token = assert_ok!(raw::acquire(&own, 10100, 8)).token;
    let holder = Holder::start(USER, Protocol::Udp, 10100, 8);
    let associated = sock::tcp4();
    assert_ok!(raw::associate(&associated, token));
    assert_errno!(sock::bind_any(sock::tcp4(), 10100), EADDRINUSE);
    let removed = portkeep_admin::remove(&installation(sandbox)).expect("remove the kernel part");
    assert!(removed);
    assert_absent_everywhere(token);
    assert_absent(&own, token, true);
    assert_eq!(
        ports::probe_free(portkeep_tests::Protocol::Tcp, 10100..=10107),
        []
    );
    assert_eq!(
        ports::probe_free(portkeep_tests::Protocol::Udp, 10100..=10107),
        []
    );
    assert_ok!(sock::bind_any(&associated, 10200));

    enable(sandbox);
    assert_eq!(ports::map(sandbox), ports::PortMap::default());
    assert_errno!(raw::release(&own, token), EINVAL);
    drop((own, holder));
    assert_ok!(raw::acquire4(sock::tcp4(), 10100, 8));
}

pub(crate) fn nothing_answers_outside_the_cgroup(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    enable(sandbox);
    let own = sock::tcp4();
    let token = assert_ok!(raw::acquire(&own, 10100, 8)).token;
    let checked = proc::in_cgroup(&sandbox.outside_cgroup(), || {
        assert_absent_everywhere(token);
        // A socket stays in the cgroup where it was made.
        assert_eq!(raw::version(&own), Ok(1));
        0
    });
    assert_eq!(checked, 0);
    assert_eq!(
        ports::map(sandbox),
        ports::PortMap::new([(Protocol::Tcp, 10100..=10107)])
    );
}

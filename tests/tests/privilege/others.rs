//! Other people's reservations.

use std::process::Command;

use portkeep_tests::enable::enable;
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, libc, proc, raw, sock};

use crate::holder::{Holder, socket};
use crate::ledger::{USER, assert_charged, sorted, unchanged};

const OTHER_USER: u32 = 65533;

pub(crate) fn reservations_are_out_of_reach(sandbox: &Sandbox) {
    enable(sandbox);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for owner in [0, OTHER_USER, USER] {
            let holder = Holder::start(owner, protocol, 10100, 8);
            unchanged(sandbox, || {
                let checked = proc::as_uid(USER, USER, || {
                    // A token is no secret.
                    let token = sorted(sandbox)[0].token;
                    assert_eq!(token, holder.token);
                    assert_in_vain(protocol, token);
                    0
                });
                assert_eq!(checked, 0);
            });
            assert_charged(USER, if owner == USER { 8 } else { 0 });
        }
        assert_ok!(raw::acquire4(socket(protocol), 10100, 8));
    }
}

fn assert_in_vain(protocol: Protocol, token: u64) {
    for any in [sock::tcp4(), sock::tcp6(), sock::udp4(), sock::udp6()] {
        assert_errno!(raw::release(&any, token), EACCES);
        assert_errno!(raw::claim(&any, token), EACCES);
    }
    let socket = socket(protocol);
    assert_errno!(raw::associate(&socket, token), EACCES);
    assert_eq!(raw::associated(&socket), Ok(0));
    assert_errno!(sock::bind_any(&socket, 10100), EADDRINUSE);
    assert_errno!(raw::acquire4(&socket, 10100, 8), EADDRINUSE);
    // Not even a socket that may be associated helps: it has a reservation of its own.
    assert_ok!(raw::acquire4(&socket, 10200, 8));
    let own = assert_ok!(raw::instance(&socket)).token;
    assert_ok!(raw::associate(&socket, own));
    assert_errno!(raw::associate(&socket, token), EACCES);
    assert_eq!(raw::associated(&socket), Ok(own));
    assert_errno!(sock::bind_any(&socket, 10100), EADDRNOTAVAIL);
}

pub(crate) fn everybody_reads_the_list(sandbox: &Sandbox) {
    enable(sandbox);
    let _of_root = Holder::start(0, Protocol::Tcp, 10100, 8);
    let _of_other = Holder::start(OTHER_USER, Protocol::Udp, 10200, 8);
    let path = sandbox.bpffs().join("portkeep/reservations");
    let cat = |path| Command::new("cat").arg(path).output().expect("run cat");
    let of_root = cat(&path);
    let lines = String::from_utf8(of_root.stdout.clone()).expect("text");
    assert!(
        lines.contains("tcp 10100-10107 ") && lines.contains("udp 10200-10207 "),
        "{lines}"
    );
    let checked = proc::as_uid(USER, USER, || {
        assert_eq!(cat(&path), of_root);
        assert_eq!(
            portkeep::list().map(|list| list.len()).map_err(|_| ()),
            Ok(2)
        );
        let opened = std::fs::File::options().write(true).open(&path);
        assert_errno!(opened, EACCES);
        0
    });
    assert_eq!(checked, 0);
    assert_eq!(of_root.status.code(), Some(libc::EXIT_SUCCESS));
}

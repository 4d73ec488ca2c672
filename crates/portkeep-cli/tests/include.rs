//! `portkeep include`: the end of an exclusion, or of a part of one.

mod common;

use portkeep_tests::{Protocol, Sandbox, assert_ok, raw, sock, trials};

use common::kernel_part::{assert_nothing_reserved, reserved};
use common::persistent::{assert_agreed, enable, protected, reserve_for_fleet, stored_ports};
use common::{done, hint, misused, portkeep, portkeep_as_user, refused};

trials! {
    root:
        a_whole_block,
        a_part_of_a_block_splits_it,
        twice_is_success,
        a_reservation_is_refused,
        a_fleets_is_refused_unless_forced,
        an_ordinary_user_is_refused;
    plain:
        wrong_usage;
}

fn a_whole_block(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep(["exclude", "40000-40003/both"]));
    let said = done(&mut portkeep(["include", "40000-40003/both"]));
    assert_eq!(
        said,
        "40000-40003/tcp and 40000-40003/udp no longer excluded\n"
    );
    assert_nothing_reserved(sandbox);
    assert_eq!(
        (protected(), stored_ports(sandbox)),
        (String::new(), vec![])
    );
}

fn a_part_of_a_block_splits_it(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep(["exclude", "20000-20009/tcp"]));
    done(&mut portkeep(["include", "20004-20005/tcp"]));
    let expected = [
        (Protocol::Tcp, 20000..=20003),
        (Protocol::Tcp, 20006..=20009),
    ];
    assert_eq!(reserved(sandbox), expected);
    let held = sock::tcp4();
    assert_ok!(raw::acquire4(&held, 20004, 2));
    assert_agreed();
}

fn twice_is_success(_sandbox: &Sandbox) {
    enable();
    done(&mut portkeep(["exclude", "20000/tcp"]));
    done(&mut portkeep(["include", "20000/tcp"]));
    let said = done(&mut portkeep(["include", "20000/tcp"]));
    assert_eq!(said, "20000/tcp not excluded\n");
}

fn a_reservation_is_refused(_sandbox: &Sandbox) {
    enable();
    done(&mut portkeep(["reserve", "20000-20003/tcp"]));
    let reason = refused(&mut portkeep(["include", "20000/tcp"]));
    assert_eq!(
        reason,
        "20000-20003/tcp is reserved for associated sockets of administrators"
    );
    assert!(hint(&mut portkeep(["include", "20000/tcp"])).contains("portkeep unreserve"));
}

fn an_ordinary_user_is_refused(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep(["exclude", "20000/tcp"]));
    refused(&mut portkeep_as_user(["include", "20000/tcp"]));
    assert_eq!(reserved(sandbox), [(Protocol::Tcp, 20000..=20000)]);
}

fn wrong_usage() {
    misused(&["include"]);
    misused(&["include", "80"]);
    misused(&["include", "80/tcp", "--comment", "x"]);
}

fn a_fleets_is_refused_unless_forced(sandbox: &Sandbox) {
    enable();
    reserve_for_fleet(sandbox, "nodes", false, "30000-30009/tcp", &["everybody"]);
    let reason = refused(&mut portkeep(["include", "30000-30009/tcp"]));
    assert_eq!(
        reason,
        "30000-30009/tcp is excluded by fleet prod, policy nodes"
    );
    done(&mut portkeep(["include", "--force", "30000-30009/tcp"]));
    assert_nothing_reserved(sandbox);
    assert_agreed();
}

//! `portkeep unreserve`: the end of a persistent reservation, or of a part of one.

mod common;

use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::{Protocol, Sandbox, trials};

use common::kernel_part::{acquire, assert_free, assert_kept, assert_nothing_reserved, reserved};
use common::persistent::{
    assert_agreed, bind, bind_as, enable, listed, protected, reserve_for_fleet, stored,
    stored_ports,
};
use common::{USER, done, hint, misused, portkeep, portkeep_as_user, refused};

trials! {
    root:
        a_whole_block,
        a_part_of_a_block_splits_it,
        both_protocols,
        twice_is_success,
        more_than_a_block_is_refused,
        an_exclusion_is_refused,
        a_runtime_reservation_is_refused,
        one_that_only_the_kernel_part_has,
        a_fleets_is_refused_unless_forced,
        protected_ports_are_given_back_exactly,
        an_ordinary_user_is_refused,
        without_the_kernel_part_it_is_refused;
    plain:
        wrong_usage;
}

fn a_whole_block(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep([
        "reserve",
        "20000-20003/tcp",
        "--user",
        "root",
    ]));
    let said = done(&mut portkeep(["unreserve", "20000-20003/tcp"]));
    assert_eq!(said, "20000-20003/tcp no longer reserved\n");
    assert_nothing_reserved(sandbox);
    assert_free(Protocol::Tcp, 20000..=20003);
    assert_eq!(stored_ports(sandbox), [] as [&str; 0]);
    assert_agreed();
}

fn a_part_of_a_block_splits_it(sandbox: &Sandbox) {
    enable();
    let user = USER.to_string();
    done(&mut portkeep([
        "reserve",
        "20000-20099/udp",
        "--user",
        &user,
        "--comment",
        "RTP",
    ]));
    done(&mut portkeep(["unreserve", "20010-20019/udp"]));
    let expected = [
        (Protocol::Udp, 20000..=20009),
        (Protocol::Udp, 20020..=20099),
    ];
    assert_eq!(reserved(sandbox), expected);
    assert_eq!(
        stored_ports(sandbox),
        ["20000-20009/udp", "20020-20099/udp"]
    );
    assert_free(Protocol::Udp, 20010..=20019);
    for port in [20000, 20009, 20020, 20099] {
        assert_eq!(bind_as(USER, USER, Protocol::Udp, port), 0, "{port}");
        assert_eq!(bind(Protocol::Udp, port), EADDRINUSE, "{port}");
    }
    let text = done(&mut portkeep(["ls"]));
    assert_eq!(text.matches("RTP").count(), 2, "{text}");
    // From the start, from the end, and all of what is left of one.
    done(&mut portkeep(["unreserve", "20000/udp"]));
    done(&mut portkeep(["unreserve", "20090-20099/udp"]));
    done(&mut portkeep(["unreserve", "20001-20009/udp"]));
    assert_eq!(reserved(sandbox), [(Protocol::Udp, 20020..=20089)]);
    assert_agreed();
    // A reboot brings back what is left.
    done(&mut portkeep(["disable"]));
    enable();
    assert_eq!(reserved(sandbox), [(Protocol::Udp, 20020..=20089)]);
}

fn both_protocols(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep(["reserve", "20000-20003/both"]));
    done(&mut portkeep(["unreserve", "20001/both"]));
    assert_free(Protocol::Tcp, 20001..=20001);
    assert_free(Protocol::Udp, 20001..=20001);
    assert_eq!(reserved(sandbox).len(), 4);
    // TCP alone is there too.
    done(&mut portkeep(["unreserve", "20002-20003/tcp"]));
    done(&mut portkeep(["unreserve", "20002-20003/both"]));
    assert_eq!(
        reserved(sandbox),
        [
            (Protocol::Tcp, 20000..=20000),
            (Protocol::Udp, 20000..=20000)
        ]
    );
    assert_agreed();
}

fn twice_is_success(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep(["reserve", "20000-20003/tcp"]));
    done(&mut portkeep(["unreserve", "20000-20003/tcp"]));
    let before = stored(sandbox);
    let said = done(&mut portkeep(["unreserve", "20000-20003/tcp"]));
    assert_eq!(said, "20000-20003/tcp not reserved\n");
    assert_eq!(stored(sandbox), before);
}

fn more_than_a_block_is_refused(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep([
        "reserve",
        "20000-20003/tcp",
        "--comment",
        "old",
    ]));
    done(&mut portkeep(["reserve", "20004-20007/tcp"]));
    let before = (stored(sandbox), reserved(sandbox));
    for ports in [
        "20000-20004/tcp",
        "19999-20003/tcp",
        "20003-20008/tcp",
        "1-65535/tcp",
    ] {
        let reason = refused(&mut portkeep(["unreserve", ports]));
        assert!(
            reason.starts_with(&format!("{ports} is not within one block: 2000")),
            "{reason}"
        );
        assert!(hint(&mut portkeep(["unreserve", ports])).contains("portkeep ls"));
    }
    assert_eq!((stored(sandbox), reserved(sandbox)), before);
}

fn an_exclusion_is_refused(_sandbox: &Sandbox) {
    enable();
    done(&mut portkeep(["exclude", "20000-20003/tcp"]));
    let reason = refused(&mut portkeep(["unreserve", "20000-20003/tcp"]));
    assert_eq!(reason, "20000-20003/tcp is excluded");
    assert!(hint(&mut portkeep(["unreserve", "20000/tcp"])).contains("portkeep include"));
    assert_eq!(listed(), ["20000-20003/tcp exclusion everybody"]);
}

fn a_runtime_reservation_is_refused(sandbox: &Sandbox) {
    enable();
    let _held = acquire(Protocol::Tcp, 20000..=20003);
    let reason = refused(&mut portkeep(["unreserve", "20000-20003/tcp"]));
    let pid = std::process::id();
    assert!(
        reason.starts_with(&format!("20000-20003/tcp is reserved by process {pid} (")),
        "{reason}"
    );
    assert_eq!(reserved(sandbox).len(), 1);
}

/// As another program makes it with the bare call.
fn one_that_only_the_kernel_part_has(sandbox: &Sandbox) {
    enable();
    let socket = portkeep_tests::sock::tcp4();
    portkeep::sockopt::create(&socket, 20000, 4, 1, Default::default(), &[]).expect("create");
    done(&mut portkeep(["unreserve", "20001/tcp"]));
    assert_free(Protocol::Tcp, 20001..=20001);
    assert_kept(Protocol::Tcp, 20002..=20003);
    done(&mut portkeep(["unreserve", "20000/tcp"]));
    done(&mut portkeep(["unreserve", "20002-20003/tcp"]));
    assert_nothing_reserved(sandbox);
}

fn protected_ports_are_given_back_exactly(_sandbox: &Sandbox) {
    enable();
    common::persistent::protect("40002,50000");
    done(&mut portkeep(["reserve", "40000-40009/tcp"]));
    done(&mut portkeep(["unreserve", "40000-40004/tcp"]));
    assert_eq!(protected(), "40002,40005-40009,50000");
    done(&mut portkeep(["unreserve", "40005-40009/tcp"]));
    assert_eq!(protected(), "40002,50000");
    assert_agreed();
}

fn an_ordinary_user_is_refused(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep(["reserve", "20000-20003/tcp"]));
    let words = ["unreserve", "20000-20003/tcp"];
    refused(&mut portkeep_as_user(words));
    assert_eq!(hint(&mut portkeep_as_user(words)), "run this as root");
    assert_kept(Protocol::Tcp, 20000..=20003);
    assert_eq!(stored_ports(sandbox), ["20000-20003/tcp"]);
}

fn without_the_kernel_part_it_is_refused(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    enable();
    done(&mut portkeep(["reserve", "20000-20003/tcp"]));
    done(&mut portkeep(["disable"]));
    let reason = refused(&mut portkeep(["unreserve", "20000-20003/tcp"]));
    assert_eq!(reason, "Portkeep is not enabled here");
    assert_eq!(stored_ports(sandbox), ["20000-20003/tcp"]);
}

fn wrong_usage() {
    for words in [
        &["unreserve"][..],
        &["unreserve", "80"],
        &["unreserve", "tcp"],
        &["unreserve", "9-8/tcp"],
        &["unreserve", "80-81/tcp", "81/tcp"],
    ] {
        misused(words);
    }
}

fn a_fleets_is_refused_unless_forced(sandbox: &Sandbox) {
    enable();
    reserve_for_fleet(sandbox, "rtp", false, "20000-20003/tcp", &[]);
    reserve_for_fleet(sandbox, "g7f3a2", true, "61040-61041/tcp", &[]);
    for (ports, owner, ends) in [
        (
            "20000-20003/tcp",
            "fleet prod, policy rtp",
            "`portkeep fleet unreserve rtp`",
        ),
        (
            "61040-61041/tcp",
            "fleet prod, grant g7f3a2",
            "`portkeep fleet release g7f3a2`",
        ),
    ] {
        let reason = refused(&mut portkeep(["unreserve", ports]));
        assert_eq!(reason, format!("{ports} is reserved by {owner}"));
        let hint = hint(&mut portkeep(["unreserve", ports]));
        assert!(
            hint.starts_with(ends) && hint.contains("`--force`"),
            "{hint}"
        );
    }
    assert_kept(Protocol::Tcp, 20000..=20003);
    for ports in ["20000-20003/tcp", "61040-61041/tcp"] {
        let said = done(&mut portkeep(["unreserve", "--force", ports]));
        assert_eq!(said, format!("{ports} no longer reserved\n"));
    }
    assert_nothing_reserved(sandbox);
    assert_agreed();
    // Not put back before an operator says so.
    enable();
    assert_nothing_reserved(sandbox);
}

//! What changes nothing at all.

use portkeep_tests::{Protocol, Sandbox, assert_ok, raw, sock};

use crate::common::kernel_part::{acquire, assert_free, assert_removed};
use crate::common::persistent::{assert_agreed, enable, listed, protect, protected, stored};
use crate::common::{done, hint, misused, outcome, portkeep, portkeep_as_user};
use crate::scene::{apply, check, declare, directory, refuse};

pub fn overlaps_are_all_named(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep([
        "reserve",
        "20000-20003/tcp",
        "--comment",
        "by hand",
    ]));
    let before = stored(sandbox);
    declare(
        sandbox,
        "a.toml",
        &[
            "reserve 20003-20005/tcp root",
            "reserve 20010/udp",
            "exclude 20020-20029/udp",
        ],
    );
    declare(
        sandbox,
        "b.toml",
        &[
            "reserve 20010/udp",
            "reserve 20025-20035/udp",
            "reserve 30000/tcp",
        ],
    );
    let said = refuse();
    let (a, b) = (
        directory(sandbox).join("a.toml"),
        directory(sandbox).join("b.toml"),
    );
    let (a, b) = (a.display(), b.display());
    let store = sandbox.state_dir().join("reservations.toml");
    for line in [
        format!(
            "{a}:6 (20010/udp, reserved for associated sockets of administrators) overlaps {b}:3 "
        ),
        format!("{a}:8 (20020-20029/udp, excluded) overlaps {b}:5 (20025-20035/udp, "),
        format!(
            "{a}:3 (20003-20005/tcp, reserved for user root) overlaps {}:7 ",
            store.display()
        ),
    ] {
        assert!(said.contains(&line), "{line} is not in {said}");
    }
    assert_eq!(said.lines().count(), 5, "{said}");
    assert_eq!(stored(sandbox), before);
    assert_free(Protocol::Tcp, 30000..=30000);
    assert_agreed();
}

pub fn sockets_are_all_named(sandbox: &Sandbox) {
    enable();
    protect("50000");
    let (one, other) = (sock::tcp4(), sock::udp6());
    assert_ok!(sock::bind_any(&one, 40001));
    assert_ok!(sock::bind_any(&other, 40002));
    declare(
        sandbox,
        "a.toml",
        &[
            "reserve 40000-40001/tcp 65534",
            "reserve 40002/udp 65534",
            "reserve 40004/udp 65534",
        ],
    );
    let said = refuse();
    assert!(
        said.contains("40001/tcp: ") && said.contains("40002/udp: "),
        "{said}"
    );
    assert_eq!((listed().len(), protected()), (0, "50000".to_owned()));
    assert_agreed();
    drop((one, other));
    apply();
    assert_eq!(listed().len(), 3);
}

pub fn what_processes_acquired_is_named(sandbox: &Sandbox) {
    enable();
    let held = acquire(Protocol::Tcp, 20000..=20003);
    declare(
        sandbox,
        "a.toml",
        &["reserve 20003/tcp root", "reserve 20004/tcp root"],
    );
    let said = refuse();
    assert!(
        said.contains("overlaps 20000-20003/tcp, which is reserved by process "),
        "{said}"
    );
    drop(held);
    // So is what another program made and the store has not.
    assert_ok!(raw::create(sock::tcp4(), 20002, 2, 0, &[]));
    let said = refuse();
    assert!(said.contains("not in the store"), "{said}");
    assert_eq!(stored(sandbox), None);
    assert_ok!(raw::delete(sock::tcp4(), 20002, 2, 0));
    apply();
}

pub fn unknown_users(sandbox: &Sandbox) {
    enable();
    let path = declare(
        sandbox,
        "a.toml",
        &["reserve 20000/tcp root", "reserve 20001/tcp nobody-such"],
    );
    let said = refuse();
    assert!(
        said.contains(&format!(
            "{}:6: there is no user nobody-such",
            path.display()
        )),
        "{said}"
    );
    assert_eq!(listed(), [] as [&str; 0]);
}

pub fn without_the_kernel_part(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    declare(sandbox, "a.toml", &["reserve 20000/tcp root"]);
    let hint = hint(&mut portkeep(["apply"]));
    assert!(hint.contains("portkeep enable"), "{hint}");
    assert_removed(sandbox.bpffs());
    assert_eq!(stored(sandbox), None);
    // The files can be looked at all the same, as where an image is built.
    let said = outcome(&mut portkeep(["apply", "--check"]));
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.stderr.contains("not enabled here"), "{said:?}");
}

pub fn ordinary_users(sandbox: &Sandbox) {
    enable();
    let path = declare(sandbox, "a.toml", &["reserve 20000/tcp root"]);
    let path = path.to_str().expect("text");
    let said = outcome(&mut portkeep_as_user(["apply", path]));
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(listed(), [] as [&str; 0]);
    let said = outcome(&mut portkeep_as_user(["apply", "--check", path]));
    assert_eq!(said.code, Some(3), "{said:?}");
    apply();
    let said = outcome(&mut portkeep_as_user(["apply", "--check", path]));
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), ""), "{said:?}");
    assert_eq!(check(), "");
}

pub fn wrong_usage() {
    for words in [
        &["apply", "--check", "--dry-run"][..],
        &["apply", "--force"],
    ] {
        misused(words);
    }
}

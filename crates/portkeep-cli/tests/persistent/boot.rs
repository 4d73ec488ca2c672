//! What `enable` brings back and repairs, and what `disable` takes away.

use std::fs;

use portkeep::sockopt::{self, CreateFlags, DeleteFlags};
use portkeep::{Consumer, EntryKind};
use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::{Protocol, Sandbox, assert_ok, raw, sock};

use crate::common::kernel_part::{
    acquire, assert_free, assert_kept, assert_nothing_reserved, reserved,
};
use crate::common::persistent::{
    assert_agreed, bind, bind_as, enable, listed, protect, protected, store_file, stored,
    stored_ports,
};
use crate::common::{Running, USER, done, outcome, portkeep, user_name};

/// Everything of Portkeep leaves the kernel, and what others protect is there again.
fn reboot(others: &str) {
    done(&mut portkeep(["disable"]));
    protect(others);
}

fn everything() -> String {
    let user = USER.to_string();
    done(&mut portkeep([
        "reserve",
        "40000-40099/udp",
        "--user",
        &user,
        "--comment",
        "RTP",
    ]));
    done(&mut portkeep([
        "reserve",
        "20000-20009/both",
        "--group",
        "0",
    ]));
    done(&mut portkeep(["unreserve", "20004/tcp"]));
    done(&mut portkeep(["exclude", "41000/tcp"]));
    done(&mut portkeep(["ls", "--json"]))
}

/// The rows of `ls --json` without what a reboot may change.
fn lasting(document: &str) -> Vec<String> {
    let changing = ["\"since\"", "\"token\""];
    let lines = document.lines().map(str::trim);
    lines
        .filter(|line| !changing.iter().any(|start| line.starts_with(start)))
        .map(str::to_owned)
        .collect()
}

pub fn a_reboot_brings_everything_back(sandbox: &Sandbox) {
    enable();
    protect("8080");
    let before = everything();
    assert_eq!(protected(), "8080,40000-40099,41000");
    reboot("8080");
    assert_free(Protocol::Udp, 40000..=40099);
    let said = done(&mut portkeep(["enable"]));
    let file = store_file(sandbox);
    let persistent = format!(
        "Persistent: 4 reservations and 1 exclusion, from {}",
        file.display()
    );
    assert_eq!(said.lines().nth(1), Some(&*persistent), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
    let after = done(&mut portkeep(["ls", "--json"]));
    assert_eq!(lasting(&after), lasting(&before));
    assert_eq!(protected(), "8080,40000-40099,41000");
    assert_eq!(bind_as(USER, USER, Protocol::Udp, 40010), 0);
    assert_eq!(bind(Protocol::Udp, 40010), EADDRINUSE);
    assert_eq!(bind_as(USER, 0, Protocol::Tcp, 20003), 0);
    assert_eq!(bind_as(USER, USER, Protocol::Tcp, 20003), EADDRINUSE);
    assert_free(Protocol::Tcp, 20004..=20004);
    assert_free(Protocol::Tcp, 41000..=41000);
    assert_agreed();
}

pub fn an_upgrade_keeps_everything(sandbox: &Sandbox) {
    enable();
    let before = everything();
    let store = stored(sandbox);
    let said = done(&mut portkeep(["enable"]));
    assert!(!said.contains("Repaired"), "{said}");
    assert_eq!(done(&mut portkeep(["ls", "--json"])), before);
    assert_eq!(stored(sandbox), store);
    assert_agreed();
}

/// What sysctl.d has set before `enable` runs is not ours, also where we need it.
pub fn others_protect_ports_before_us_at_boot(_sandbox: &Sandbox) {
    enable();
    everything();
    reboot("40050,8080");
    enable();
    assert_eq!(protected(), "8080,40000-40099,41000");
    done(&mut portkeep(["disable"]));
    assert_eq!(protected(), "8080,40050");
}

pub fn a_user_that_is_gone_keeps_the_block_closed(sandbox: &Sandbox) {
    enable();
    let user = user_name(USER);
    done(&mut portkeep([
        "reserve",
        "20000-20003/tcp",
        "--user",
        &user,
        "--user",
        "root",
    ]));
    done(&mut portkeep(["reserve", "20010/tcp", "--user", &user]));
    let store = stored(sandbox)
        .expect("a store")
        .replace(&format!("{user:?}"), "\"gone\"");
    fs::write(store_file(sandbox), store).expect("write the store");
    for fresh in [false, true] {
        if fresh {
            done(&mut portkeep(["disable"]));
        }
        let outcome = outcome(&mut portkeep(["enable"]));
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        for ports in ["20000-20003/tcp", "20010/tcp"] {
            let warning = format!("{ports} stays closed: there is no user gone");
            assert!(outcome.stderr.contains(&warning), "{outcome:?}");
        }
        assert_eq!(bind_as(USER, USER, Protocol::Tcp, 20000), EADDRINUSE);
        assert_eq!(bind(Protocol::Tcp, 20000), 0);
        assert_eq!(bind_as(USER, USER, Protocol::Tcp, 20010), EADDRINUSE);
        assert_eq!(bind(Protocol::Tcp, 20010), EADDRINUSE);
        assert_eq!(
            listed(),
            [
                "20000-20003/tcp persistent consumers gone root",
                "20010-20010/tcp persistent associated gone"
            ]
        );
    }
    assert!(stored(sandbox).is_some_and(|text| text.contains("\"gone\"")));
}

pub fn a_stranger_that_was_there_first_is_told(_sandbox: &Sandbox) {
    enable();
    let user = USER.to_string();
    done(&mut portkeep([
        "reserve",
        "20000-20003/tcp",
        "--user",
        &user,
    ]));
    done(&mut portkeep(["disable"]));
    let stranger = sock::tcp4();
    assert_ok!(sock::bind_any(&stranger, 20001));
    let outcome = outcome(&mut portkeep(["enable"]));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let pid = std::process::id();
    let warning = format!(
        "portkeep: warning: 20000-20003/tcp is reserved, but a stranger already had a socket there: \
         20001/tcp: process {pid} ("
    );
    assert!(outcome.stderr.starts_with(&warning), "{outcome:?}");
    // Closed for the others, and for the stranger too once it has gone.
    assert_kept(Protocol::Tcp, 20000..=20003);
    drop(stranger);
    assert_kept(Protocol::Tcp, 20000..=20003);
    assert_eq!(bind_as(USER, USER, Protocol::Tcp, 20001), 0);
}

pub fn a_runtime_reservation_in_the_way_is_told(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep(["reserve", "20000-20003/tcp"]));
    done(&mut portkeep(["reserve", "21000-21003/tcp"]));
    sockopt::delete(sock::tcp4(), 20000, 4, DeleteFlags::default()).expect("delete");
    let holder = Running::start(portkeep(["hold", "--tcp", "20002-20002"]));
    let mut holder = holder;
    holder.line();
    let refused = outcome(&mut portkeep(["enable"]));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let pid = holder.pid();
    let reason = format!(
        "portkeep: 20000-20003/tcp cannot be reserved: port 20002/tcp is reserved by process {pid}"
    );
    assert!(refused.stderr.starts_with(&reason), "{refused:?}");
    assert_kept(Protocol::Tcp, 21000..=21003);
    assert_eq!(stored_ports(sandbox).len(), 2);
    drop(holder);
    done(&mut portkeep(["enable"]));
    assert_kept(Protocol::Tcp, 20000..=20003);
    assert_agreed();
}

pub fn what_differs_is_repaired_and_told(_sandbox: &Sandbox) {
    enable();
    let user = USER.to_string();
    done(&mut portkeep([
        "reserve",
        "40000-40003/tcp",
        "--user",
        &user,
    ]));
    done(&mut portkeep([
        "reserve",
        "20000-20003/tcp",
        "--user",
        &user,
    ]));
    done(&mut portkeep([
        "reserve",
        "20010-20019/tcp",
        "--user",
        &user,
    ]));
    done(&mut portkeep(["exclude", "20020/udp"]));
    // Others with the privilege do as they like.
    let (tcp, udp) = (sock::tcp4(), sock::udp4());
    sockopt::delete(&tcp, 20000, 4, DeleteFlags::default()).expect("delete");
    sockopt::create(
        &tcp,
        20000,
        4,
        1,
        CreateFlags::default(),
        &[Consumer::User(0)],
    )
    .expect("create");
    sockopt::delete(&tcp, 20012, 2, DeleteFlags::PART).expect("delete");
    sockopt::delete(&udp, 20020, 1, DeleteFlags::default()).expect("delete");
    protect("50000");
    let said = done(&mut portkeep(["enable"]));
    let repaired: Vec<_> = said
        .lines()
        .filter_map(|line| line.strip_prefix("Repaired: "))
        .collect();
    for difference in [
        "20000-20003/tcp: the consumers differ from those in the store",
        "20010-20019/tcp: reserved in the store, not in the kernel part",
        "20010-20011/tcp: reserved in the kernel part, where the store has other ports",
        "20014-20019/tcp: reserved in the kernel part, where the store has other ports",
        "20020/udp: excluded in the store, not in the kernel part",
        "40000-40003: missing from net.ipv4.ip_local_reserved_ports",
    ] {
        assert!(repaired.contains(&difference), "{said}");
    }
    assert_eq!(repaired.len(), 6, "{said}");
    assert_eq!(bind_as(USER, USER, Protocol::Tcp, 20000), 0);
    assert_eq!(bind(Protocol::Tcp, 20000), EADDRINUSE);
    assert_kept(Protocol::Tcp, 20010..=20019);
    assert_eq!(protected(), "40000-40003,50000");
    assert_agreed();
}

pub fn what_only_the_kernel_part_has_is_stored(sandbox: &Sandbox) {
    enable();
    let socket = sock::tcp4();
    let consumers = [Consumer::User(USER), Consumer::Group(0)];
    sockopt::create(&socket, 20000, 4, 1, CreateFlags::default(), &consumers).expect("create");
    sockopt::create(
        &socket,
        20010,
        1,
        1,
        CreateFlags::default(),
        &[Consumer::EVERYBODY],
    )
    .expect("create");
    let said = done(&mut portkeep(["enable"]));
    assert!(
        said.contains("Repaired: 20000-20003/tcp: reserved in the kernel part, not in the store"),
        "{said}"
    );
    assert_eq!(stored_ports(sandbox), ["20000-20003/tcp", "20010/tcp"]);
    done(&mut portkeep(["disable"]));
    enable();
    assert_eq!(bind_as(USER, USER, Protocol::Tcp, 20000), 0);
    assert_eq!(bind_as(1000, 1000, Protocol::Tcp, 20000), EADDRINUSE);
    assert_free(Protocol::Tcp, 20010..=20010);
    assert_eq!(reserved(sandbox).len(), 2);
    assert_agreed();
}

pub fn a_store_that_was_edited_is_obeyed(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep(["reserve", "20000-20003/tcp"]));
    let text = format!(
        "version = 1\n\n# by hand\n[[reservation]]\nports = \"20002-20009/tcp\"\nusers = [\"{USER}\"]\n\n\
         [[exclusion]]\nports = \"40000/udp\"\n"
    );
    fs::write(store_file(sandbox), text).expect("write the store");
    done(&mut portkeep(["enable"]));
    let user = USER.to_string();
    assert_eq!(
        listed(),
        [
            format!("20002-20009/tcp persistent consumers {user}"),
            "40000-40000/udp exclusion everybody".to_owned()
        ]
    );
    assert_free(Protocol::Tcp, 20000..=20001);
    assert_eq!(protected(), "40000");
    assert_agreed();
}

pub fn disable_takes_back_what_was_protected(sandbox: &Sandbox) {
    enable();
    protect("40001,50000");
    done(&mut portkeep(["reserve", "40000-40003/tcp"]));
    let said = done(&mut portkeep(["disable"]));
    assert_eq!(said, "Portkeep is disabled\n");
    assert_eq!(protected(), "40001,50000");
    assert_eq!(stored_ports(sandbox), ["40000-40003/tcp"]);
    assert_eq!(
        done(&mut portkeep(["disable"])),
        "Portkeep was not enabled\n"
    );
    assert_eq!(protected(), "40001,50000");
    // In the way of nothing: a store that nobody understands. The notes say what is to go.
    enable();
    fs::write(store_file(sandbox), "?").expect("write the store");
    let said = done(&mut portkeep(["disable"]));
    assert_eq!(said, "Portkeep is disabled\n");
    assert_eq!(protected(), "40001,50000");
    assert_eq!(bind(Protocol::Tcp, 40000), 0);
    // Nor is it if they are not understood either.
    fs::remove_file(store_file(sandbox)).expect("remove the store");
    enable();
    fs::write(sandbox.state_dir().join("notes.toml"), "?").expect("write the notes");
    let outcome = outcome(&mut portkeep(["disable"]));
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(outcome.stdout, "Portkeep is disabled\n");
    assert_eq!(bind(Protocol::Tcp, 40000), 0);
}

/// What others have is so long that the kernel does not take it in one write.
pub fn disable_beside_a_long_list(_sandbox: &Sandbox) {
    enable();
    let every_other: Vec<_> = (10001..=20001)
        .step_by(2)
        .map(|port| port.to_string())
        .collect();
    let others = every_other.join(",");
    protect(&others);
    done(&mut portkeep(["reserve", "40000-40003/tcp"]));
    let both = format!("{others},40000-40003");
    assert_eq!(protected(), both);
    let said = outcome(&mut portkeep(["disable"]));
    assert_eq!(said.code, Some(0), "{said:?}");
    let warning = "portkeep: warning: 40000-40003 stays in net.ipv4.ip_local_reserved_ports";
    assert!(said.stderr.starts_with(warning), "{said:?}");
    assert_eq!(protected(), both);
    // Once it is short enough they go.
    protect("10001,40000-40003");
    done(&mut portkeep(["disable"]));
    assert_eq!(protected(), "10001");
}

pub fn nothing_is_stored_where_nothing_is_persistent(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    enable();
    let held = acquire(Protocol::Tcp, 20000..=20003);
    enable();
    assert!(
        portkeep::list()
            .expect("list")
            .iter()
            .all(|entry| entry.kind == EntryKind::Runtime)
    );
    drop(held);
    assert_nothing_reserved(sandbox);
    done(&mut portkeep(["disable"]));
    let entries = fs::read_dir(sandbox.state_dir())
        .expect("read the directory")
        .count();
    assert_eq!(entries, 0);
    assert_ok!(sock::bind_any(sock::tcp4(), 20000));
    assert!(raw::version(sock::udp4()).is_err());
}

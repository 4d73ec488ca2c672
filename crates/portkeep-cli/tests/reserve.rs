//! `portkeep reserve`: ports for users, groups and cgroups, over reboots.

mod common;

use std::fs;

use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::{Protocol, Sandbox, proc, trials};
use serde_json::Value;

use common::json::{document, elements};
use common::kernel_part::{assert_free, assert_kept, assert_nothing_reserved, reserved, set_ipv4};
use common::persistent::{
    assert_agreed, bind, bind_as, enable, listed, protect, protected, store_file, stored,
    stored_ports,
};
use common::python::python;
use common::{
    PORTKEEP, Running, USER, cells, done, hint, misused, outcome, portkeep, portkeep_as_user,
    refused, user_name,
};

trials! {
    root:
        only_the_user_may_bind,
        a_group_also_a_supplementary_one_may_bind,
        a_cgroup_and_those_below_may_bind,
        any_consumer_suffices,
        without_consumers_nobody_may_bind,
        both_protocols_or_none,
        sockets_in_the_way_are_all_listed,
        sockets_of_the_consumers_are_not_in_the_way,
        what_it_overlaps_is_named,
        several_ranges_at_once,
        the_same_twice_is_success,
        other_consumers_are_refused,
        a_comment_is_kept_and_shown,
        a_count_finds_a_block,
        a_count_of_both_is_the_same_numbers,
        a_count_that_is_nowhere_is_refused,
        automatic_ports_are_protected_and_no_others,
        what_others_protect_stays_theirs,
        a_long_list_of_others_survives,
        a_lopsided_choice_is_warned_about,
        a_lost_protection_comes_back,
        others_write_the_list_all_the_time,
        an_ordinary_user_is_refused,
        users_that_do_not_exist_are_refused,
        a_cgroup_may_come_later,
        the_drop_ins_are_valid,
        a_unit_and_its_socket_unit_may_bind,
        media_ports_are_read_from_a_configuration,
        a_configuration_without_a_range_is_refused,
        too_many_consumers_are_refused,
        without_the_kernel_part_it_is_refused,
        outside_the_control_cgroups,
        a_damaged_store_is_left_alone,
        a_newer_store_is_left_alone,
        a_store_that_cannot_be_written_changes_nothing;
    plain:
        wrong_usage;
}

const OTHER_USER: u32 = 65533;

/// A group of nobody in particular.
const GROUP: u32 = 61234;

/// All or none, here and for those that change them again.
fn several_ranges_at_once(sandbox: &Sandbox) {
    enable();
    let said = reserve("20000-20003/udp 20010/both 20000-20003/udp");
    assert_eq!(said, "20000-20003/udp, 20010/tcp and 20010/udp reserved\n");
    let stored = || {
        let mut stored = stored_ports(sandbox);
        stored.sort();
        stored
    };
    let all = ["20000-20003/udp", "20010/tcp", "20010/udp"];
    assert_eq!(stored(), all);
    refuse("20020/tcp 20003-20004/udp");
    assert_eq!(stored(), all);
    assert_agreed();
    let range = |protocol, start, end| serde_json::json!({"protocol": protocol, "start": start, "end": end});
    let document = |words: &str| document(&mut portkeep(words.split(' ').chain(["--json"])));
    for (words, ports, changed) in [
        (
            "reserve 20020/tcp 20021/tcp",
            vec![range("tcp", 20020, 20020), range("tcp", 20021, 20021)],
            true,
        ),
        ("reserve 20020/tcp", vec![range("tcp", 20020, 20020)], false),
        (
            "unreserve 20020/tcp 20021/tcp",
            vec![range("tcp", 20020, 20020), range("tcp", 20021, 20021)],
            true,
        ),
        (
            "exclude 20030/tcp 20031/TCP",
            vec![range("tcp", 20030, 20030), range("tcp", 20031, 20031)],
            true,
        ),
        ("include 20031/tcp", vec![range("tcp", 20031, 20031)], true),
    ] {
        let document = document(words);
        assert_eq!(document["ports"], Value::from(ports), "{words}");
        assert_eq!(document["changed"], changed, "{words}");
    }
    let found = document("reserve udp --count 3");
    let found = &found["ports"][0];
    assert_eq!(
        found["end"].as_u64(),
        found["start"].as_u64().map(|it| it + 2)
    );
    done(&mut portkeep(
        "unreserve 20000-20003/udp 20010/both".split(' '),
    ));
    assert_agreed();
}

#[track_caller]
fn reserve(words: &str) -> String {
    done(&mut portkeep(
        ["reserve"].into_iter().chain(words.split(' ')),
    ))
}

#[track_caller]
fn refuse(words: &str) -> String {
    refused(&mut portkeep(
        ["reserve"].into_iter().chain(words.split(' ')),
    ))
}

fn only_the_user_may_bind(_sandbox: &Sandbox) {
    enable();
    let said = reserve(&format!("20000-20003/udp --user {}", user_name(USER)));
    assert_eq!(said, "20000-20003/udp reserved\n");
    for port in 20000..=20003 {
        assert_eq!(bind_as(USER, USER, Protocol::Udp, port), 0, "{port}");
        assert_eq!(bind_as(OTHER_USER, USER, Protocol::Udp, port), EADDRINUSE);
        assert_eq!(bind(Protocol::Udp, port), EADDRINUSE, "root, {port}");
    }
    assert_free(Protocol::Tcp, 20000..=20003);
    assert_free(Protocol::Udp, 19999..=19999);
    assert_free(Protocol::Udp, 20004..=20004);
    // Whoever wants the ports for a while is told whose they are.
    assert_eq!(
        refused(&mut portkeep_as_user(["hold", "--udp", "20000-20003"])),
        format!("port 20000/udp is reserved for user {}", user_name(USER))
    );
    let name = user_name(USER);
    assert_eq!(
        listed(),
        [format!("20000-20003/udp persistent consumers {name}")]
    );
    assert_agreed();
}

/// A process of a user with a supplementary group.
fn bind_with_group(gid: u32, port: u16) -> i32 {
    proc::fork_child(|| {
        let (user, group) = (Uid::from_raw(OTHER_USER), Gid::from_raw(OTHER_USER));
        setgroups(&[Gid::from_raw(4), Gid::from_raw(gid)]).expect("setgroups");
        setresgid(group, group, group).expect("setresgid");
        setresuid(user, user, user).expect("setresuid");
        bind(Protocol::Tcp, port)
    })
    .code()
}

fn a_group_also_a_supplementary_one_may_bind(_sandbox: &Sandbox) {
    enable();
    reserve(&format!("20000/tcp --group {GROUP}"));
    assert_eq!(bind_as(USER, GROUP, Protocol::Tcp, 20000), 0);
    assert_eq!(bind_with_group(GROUP, 20000), 0);
    assert_eq!(bind_with_group(GROUP + 1, 20000), EADDRINUSE);
    assert_eq!(bind_as(USER, USER, Protocol::Tcp, 20000), EADDRINUSE);
    // A group is no user of the same number.
    assert_eq!(bind_as(GROUP, USER, Protocol::Tcp, 20000), EADDRINUSE);
}

fn a_cgroup_and_those_below_may_bind(sandbox: &Sandbox) {
    enable();
    let [service, below, beside] = ["service", "service/below", "beside"].map(|name| {
        let path = sandbox.cgroup().join(name);
        fs::create_dir(&path).expect("make a cgroup");
        path
    });
    let path = service.to_str().expect("a path in UTF-8");
    done(&mut portkeep(["reserve", "20000/tcp", "--cgroup", path]));
    for (cgroup, expected) in [(&service, 0), (&below, 0), (&beside, EADDRINUSE)] {
        let errno = proc::in_cgroup(cgroup, || bind(Protocol::Tcp, 20000));
        assert_eq!(errno, expected, "{}", cgroup.display());
    }
    assert_eq!(bind(Protocol::Tcp, 20000), EADDRINUSE);
    assert_agreed();
}

fn any_consumer_suffices(_sandbox: &Sandbox) {
    enable();
    reserve(&format!(
        "20000/tcp --user {USER} --user {OTHER_USER} --group {GROUP}"
    ));
    assert_eq!(bind_as(USER, USER, Protocol::Tcp, 20000), 0);
    assert_eq!(bind_as(OTHER_USER, USER, Protocol::Tcp, 20000), 0);
    assert_eq!(bind_as(1000, GROUP, Protocol::Tcp, 20000), 0);
    assert_eq!(bind_as(1000, 1000, Protocol::Tcp, 20000), EADDRINUSE);
}

fn without_consumers_nobody_may_bind(_sandbox: &Sandbox) {
    enable();
    reserve("20000-20001/tcp");
    assert_kept(Protocol::Tcp, 20000..=20001);
    assert_eq!(bind_as(USER, USER, Protocol::Tcp, 20000), EADDRINUSE);
    assert_eq!(listed(), ["20000-20001/tcp persistent associated"]);
    let text = done(&mut portkeep(["why", "20000/tcp"]));
    assert!(
        text.starts_with("20000/tcp is reserved for associated sockets of administrators"),
        "{text}"
    );
}

fn both_protocols_or_none(sandbox: &Sandbox) {
    enable();
    let said = reserve("20000-20001/both");
    assert_eq!(said, "20000-20001/tcp and 20000-20001/udp reserved\n");
    assert_kept(Protocol::Tcp, 20000..=20001);
    assert_kept(Protocol::Udp, 20000..=20001);

    let before = (stored(sandbox), reserved(sandbox));
    let holder = Running::start(portkeep(["hold", "--udp", "21001-21001"]));
    let (store, mut kernel) = before.clone();
    let mut holder = holder;
    holder.line();
    kernel.push((Protocol::Udp, 21001..=21001));
    let reason = refuse("21000-21003/both");
    let pid = holder.pid();
    assert_eq!(
        reason,
        format!(
            "21000-21003/udp overlaps 21001/udp, which is reserved by process {pid} (portkeep), \
             user {}",
            user_name(0)
        )
    );
    assert_eq!((stored(sandbox), reserved(sandbox)), (store, kernel));
    assert_free(Protocol::Tcp, 21000..=21003);
    assert_agreed();
}

/// A program of a user that has sockets bound, and waits.
fn squatter(uid: u32, binds: &str) -> Running {
    let program = format!("os.setgid({uid}); os.setuid({uid})\n{binds}\nsay('bound')\nwait()");
    let words = python(&program);
    let mut command = std::process::Command::new("/usr/bin/python3");
    command.args(&words[1..]);
    let mut running = Running::start(command);
    assert_eq!(running.line(), "bound");
    running
}

fn sockets_in_the_way_are_all_listed(sandbox: &Sandbox) {
    enable();
    let one = squatter(
        USER,
        "a = bind('tcp', 40001); b = bind('tcp', 40003); c = bind('udp', 40002)",
    );
    let other = squatter(OTHER_USER, "a = bind('tcp', 40002)");
    let outcome = outcome(&mut portkeep(["reserve", "40000-40009/both"]));
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""));
    let lines: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(
        lines[0],
        "portkeep: sockets are in the way in 40000-40009/tcp and 40000-40009/udp; nothing is changed:"
    );
    for (line, port, running, uid) in [
        (lines[1], "40001/tcp", &one, USER),
        (lines[2], "40002/tcp", &other, OTHER_USER),
        (lines[3], "40003/tcp", &one, USER),
        (lines[4], "40002/udp", &one, USER),
    ] {
        let pid = running.pid();
        let user = user_name(uid);
        let start = format!("  {port}: process {pid} (python3), user {user}: /usr/bin/python3 -I");
        assert!(line.starts_with(&start), "{line:?} is not {start:?}…");
    }
    assert!(lines[5].starts_with("Hint: "), "{lines:?}");
    assert_eq!(lines.len(), 6);
    assert_nothing_reserved(sandbox);
    assert_eq!(
        (protected(), stored_ports(sandbox)),
        (String::new(), vec![])
    );
    // The ports are free as ever.
    assert_free(Protocol::Tcp, 40004..=40009);
    drop((one, other));
    reserve("40000-40009/both");
}

fn sockets_of_the_consumers_are_not_in_the_way(sandbox: &Sandbox) {
    enable();
    let mut there = squatter(
        USER,
        "a = bind('tcp', 20001); a.listen(); b = bind('udp', 20002)",
    );
    refuse_because_of_a_socket("20000-20003/both --user 65533");
    reserve(&format!("20000-20003/both --user {USER}"));
    assert_kept(Protocol::Tcp, 20000..=20003);
    assert!(there.is_alive());
    assert_agreed();
    done(&mut portkeep(["unreserve", "20000-20003/both"]));
    // One stranger among them is one too many.
    let _stranger = squatter(OTHER_USER, "a = bind('tcp', 20003)");
    refuse_because_of_a_socket(&format!("20000-20003/both --user {USER}"));
    assert_nothing_reserved(sandbox);
    reserve(&format!(
        "20000-20003/both --user {USER} --user {OTHER_USER}"
    ));
}

#[track_caller]
fn refuse_because_of_a_socket(words: &str) {
    let outcome = outcome(&mut portkeep(
        ["reserve"].into_iter().chain(words.split(' ')),
    ));
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(
        outcome
            .stderr
            .starts_with("portkeep: sockets are in the way"),
        "{outcome:?}"
    );
}

fn what_it_overlaps_is_named(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep([
        "reserve",
        "20000-20009/tcp",
        "--user",
        "root",
        "--comment",
        "the old one",
    ]));
    done(&mut portkeep(["exclude", "20100-20109/tcp"]));
    let before = stored(sandbox);
    for (ports, words) in [
        (
            "20005-20020/tcp",
            "20005-20020/tcp overlaps 20000-20009/tcp, which is reserved for user root \
             (\"the old one\")",
        ),
        (
            "20003/tcp",
            "20003/tcp overlaps 20000-20009/tcp, which is reserved for user root (\"the old one\")",
        ),
        ("20100-20109/tcp", "20100-20109/tcp is excluded"),
    ] {
        assert_eq!(refuse(ports), words);
        assert!(hint(&mut portkeep(["reserve", ports])).contains("portkeep ls"));
    }
    assert_eq!(stored(sandbox), before);
    reserve("20005-20020/udp");
}

fn the_same_twice_is_success(sandbox: &Sandbox) {
    enable();
    let words = format!("40000-40003/both --user {USER} --group {GROUP} --comment x");
    reserve(&words);
    let before = (stored(sandbox), reserved(sandbox), protected());
    let said = reserve(&words);
    assert_eq!(
        said,
        "40000-40003/tcp and 40000-40003/udp reserved already\n"
    );
    assert_eq!((stored(sandbox), reserved(sandbox), protected()), before);
    // In another order, and named otherwise than the first time.
    reserve(&format!("40000-40003/both --group {GROUP} --user {USER}"));
    assert_eq!((stored(sandbox), reserved(sandbox), protected()), before);
}

fn other_consumers_are_refused(_sandbox: &Sandbox) {
    enable();
    reserve(&format!("20000/tcp --user {USER}"));
    let reason = refuse(&format!("20000/tcp --user {OTHER_USER}"));
    assert_eq!(reason, format!("20000/tcp is reserved for user {USER}"));
    assert_eq!(bind_as(USER, USER, Protocol::Tcp, 20000), 0);
    assert_eq!(bind_as(OTHER_USER, USER, Protocol::Tcp, 20000), EADDRINUSE);
}

fn a_comment_is_kept_and_shown(_sandbox: &Sandbox) {
    enable();
    let comment = |text: &str| done(&mut portkeep(["reserve", "20000/tcp", "--comment", text]));
    comment("for the \"new\" gateway\u{1b}[2J");
    let text = done(&mut portkeep(["ls"]));
    let row = cells(text.lines().nth(1).expect("a row"));
    assert_eq!(
        row.last(),
        Some(&r#"for the "new" gateway\u{1b}[2J"#),
        "{text}"
    );
    let why = done(&mut portkeep(["why", "20000/tcp"]));
    assert!(
        why.contains("\n  Comment: for the \"new\" gateway\\u{1b}[2J\n"),
        "{why}"
    );
    let shown = || {
        let document = document(&mut portkeep_as_user(["ls", "--json"]));
        document["reservations"][0]["comment"].clone()
    };
    assert_eq!(shown(), "for the \"new\" gateway\u{1b}[2J");
    comment("renewed");
    assert_eq!(shown(), "renewed");
    reserve("20000/tcp");
    assert_eq!(shown(), "renewed");
}

fn a_count_finds_a_block(sandbox: &Sandbox) {
    done(&mut portkeep(["enable", "--pool", "20000-20031"]));
    let first = reserve("--count 3 tcp");
    assert_eq!(first, "20000-20002/tcp reserved\n");
    let second = reserve("--count 8 --align 8 tcp --comment pairs");
    let start: u16 = second
        .split('-')
        .next()
        .and_then(|start| start.parse().ok())
        .expect("a port");
    assert!(
        start.is_multiple_of(8) && (20003..=20024).contains(&start),
        "{second}"
    );
    assert_kept(Protocol::Tcp, start..=start + 7);
    assert_eq!(stored_ports(sandbox).len(), 2);
    assert_agreed();
}

fn a_count_of_both_is_the_same_numbers(_sandbox: &Sandbox) {
    done(&mut portkeep(["enable", "--pool", "20000-20010"]));
    let mut there = Running::start(portkeep(["hold", "--udp", "20000-20005"]));
    there.line();
    let _stranger = squatter(USER, "a = bind('tcp', 20010)");
    assert_eq!(
        reserve("--count 4 both"),
        "20006-20009/tcp and 20006-20009/udp reserved\n"
    );
    assert_agreed();
}

fn a_count_that_is_nowhere_is_refused(sandbox: &Sandbox) {
    done(&mut portkeep(["enable", "--pool", "20000-20003"]));
    assert_eq!(
        refuse("--count 5 tcp"),
        "the pool has no free run of 5 ports left"
    );
    assert_nothing_reserved(sandbox);
    assert_eq!(stored_ports(sandbox), [] as [&str; 0]);
}

fn automatic_ports_are_protected_and_no_others(_sandbox: &Sandbox) {
    enable();
    set_ipv4("ip_local_port_range", "40000 49999");
    protect("8080,41000");
    reserve("39990-40009/tcp");
    assert_eq!(protected(), "8080,40000-40009,41000");
    reserve("40005-40014/udp");
    assert_eq!(protected(), "8080,40000-40014,41000");
    reserve("20000-20009/udp");
    assert_eq!(protected(), "8080,40000-40014,41000");
    // What TCP needs no more UDP still does.
    done(&mut portkeep(["unreserve", "39990-40009/tcp"]));
    assert_eq!(protected(), "8080,40005-40014,41000");
    done(&mut portkeep(["unreserve", "40005-40014/udp"]));
    assert_eq!(protected(), "8080,41000");
    assert_agreed();
}

fn what_others_protect_stays_theirs(_sandbox: &Sandbox) {
    enable();
    protect("40003-40020");
    reserve("40000-40009/tcp");
    assert_eq!(protected(), "40000-40020");
    done(&mut portkeep(["unreserve", "40000-40009/tcp"]));
    assert_eq!(protected(), "40003-40020");
}

/// Longer than the kernel takes in one write, and than it gives in a read of a page.
fn a_long_list_of_others_survives(_sandbox: &Sandbox) {
    enable();
    let ports: Vec<_> = (33000..=39998_u16)
        .step_by(2)
        .map(|port| port.to_string())
        .collect();
    let files = fs::OpenOptions::new();
    let mut files = files;
    let mut file = files
        .write(true)
        .open(common::persistent::PROTECTED)
        .expect("open");
    for piece in ports.chunks(500) {
        use std::io::Write as _;
        file.write_all(format!("{}\n", piece.join(",")).as_bytes())
            .expect("write");
    }
    drop(file);
    let before = protected();
    assert!(before.len() > 4096 * 4, "{}", before.len());
    reserve("41000-41009/tcp");
    assert_eq!(protected(), format!("{before},41000-41009"));
    // To take the ports out again would unprotect those of others between two writes.
    done(&mut portkeep(["unreserve", "41000-41009/tcp"]));
    assert_eq!(protected(), format!("{before},41000-41009"));
    common::persistent::assert_agreed();
    // The next command does once the list is shorter.
    common::persistent::protect("33000,41000-41009");
    reserve("41020/tcp");
    assert_eq!(protected(), "33000,41020");
}

fn a_lopsided_choice_is_warned_about(_sandbox: &Sandbox) {
    enable();
    set_ipv4("ip_local_port_range", "40000 49999");
    let outcome_of = |ports: &str| outcome(&mut portkeep(["reserve", ports]));
    let quiet = outcome_of("40000-40099/tcp");
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""));
    let loud = outcome_of("41000-42999/tcp");
    assert_eq!(loud.code, Some(0));
    assert!(
        loud.stderr.starts_with(
            "portkeep: warning: 41000-42999 is 20 % of the automatic range 40000-49999"
        ),
        "{loud:?}"
    );
    let rest = outcome_of("40000-49999/udp");
    assert!(
        rest.stderr.contains("no automatic port is left"),
        "{rest:?}"
    );
}

fn a_lost_protection_comes_back(_sandbox: &Sandbox) {
    enable();
    reserve("40000-40009/tcp");
    protect("50000");
    let status = document(&mut portkeep_as_user(["status", "--json"]));
    assert_eq!(
        elements(&status["store"]["differences"]),
        ["40000-40009: missing from net.ipv4.ip_local_reserved_ports"]
    );
    let text = done(&mut portkeep(["status"]));
    assert!(text.contains("40000-40009: missing from net.ipv4.ip_local_reserved_ports (`portkeep enable` repairs it)"), "{text}");
    // Any command that changes something notices.
    reserve("20000/tcp");
    assert_eq!(protected(), "40000-40009,50000");
    assert_agreed();
    protect("50000");
    let said = done(&mut portkeep(["enable"]));
    assert!(
        said.contains("Repaired: 40000-40009: missing from"),
        "{said}"
    );
    assert_eq!(protected(), "40000-40009,50000");
}

/// Neither tool knows of the other. What is ours is there in the end, and so is what is theirs.
fn others_write_the_list_all_the_time(sandbox: &Sandbox) {
    enable();
    let other = proc::fork_child(|| {
        loop {
            protect("50000-50003");
            protect("50000-50003,50010");
        }
    });
    let mut reserved_ports = Vec::new();
    for start in (40000..40200_u16).step_by(10) {
        let ports = format!("{start}-{}/tcp", start + 3);
        let outcome = outcome(&mut portkeep(["reserve", &ports]));
        if outcome.code == Some(0) {
            reserved_ports.push(ports);
        } else {
            // The list was never ours for long enough, and nothing is left of the attempt.
            assert_eq!(outcome.code, Some(1), "{outcome:?}");
            assert!(outcome.stderr.contains("Hint: "), "{outcome:?}");
        }
    }
    drop(other);
    let mut stored = stored_ports(sandbox);
    stored.sort();
    assert_eq!(stored, reserved_ports);
    assert_eq!(reserved(sandbox).len(), reserved_ports.len());
    done(&mut portkeep(["enable"]));
    assert_agreed();
    let theirs = protected();
    assert!(theirs.contains("50000-50003"), "{theirs}");
    for ports in &reserved_ports {
        let (range, _) = ports.split_once('/').expect("a range");
        assert!(theirs.contains(range), "{theirs}");
        done(&mut portkeep(["unreserve", ports]));
    }
    let left = protected();
    assert!(
        ["50000-50003", "50000-50003,50010"].contains(&&*left),
        "{left}"
    );
}

fn an_ordinary_user_is_refused(sandbox: &Sandbox) {
    enable();
    let reason = refused(&mut portkeep_as_user(["reserve", "20000/tcp"]));
    assert!(reason.contains("ermission denied"), "{reason}");
    assert_eq!(
        hint(&mut portkeep_as_user(["reserve", "20000/tcp"])),
        "run this as root"
    );
    // Also with a store of the user's own: the kernel part refuses.
    let own = sandbox.state_dir().join("own");
    fs::create_dir(&own).expect("make a directory");
    std::os::unix::fs::chown(&own, Some(USER), Some(USER)).expect("chown");
    fs::set_permissions(
        sandbox.state_dir(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .expect("chmod");
    for ports in ["20000/tcp", "40000/tcp"] {
        let mut command = portkeep_as_user(["reserve", ports]);
        refused(command.env("PORTKEEP_STATE_DIR", &own));
    }
    assert_nothing_reserved(sandbox);
    assert_eq!(protected(), "");
    let store = fs::read_to_string(own.join("reservations.toml")).unwrap_or_default();
    assert!(
        !store.contains("20000") && !store.contains("40000"),
        "{store}"
    );
}

fn users_that_do_not_exist_are_refused(sandbox: &Sandbox) {
    enable();
    let reason = refuse("20000/tcp --user nosuchuser");
    assert_eq!(reason, "there is no user nosuchuser");
    let reason = refuse("20000/tcp --group nosuchgroup");
    assert_eq!(reason, "there is no group nosuchgroup");
    assert_nothing_reserved(sandbox);
    assert_eq!(stored_ports(sandbox), [] as [&str; 0]);
}

fn a_cgroup_may_come_later(sandbox: &Sandbox) {
    enable();
    let path = sandbox.cgroup().join("later");
    let name = path.to_str().expect("a path in UTF-8");
    let outcome = outcome(&mut portkeep(["reserve", "20000/tcp", "--cgroup", name]));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(
        outcome
            .stderr
            .starts_with("portkeep: warning: there is no cgroup /"),
        "{outcome:?}"
    );
    fs::create_dir(&path).expect("make a cgroup");
    let errno = || proc::in_cgroup(&path, || bind(Protocol::Tcp, 20000));
    assert_eq!(errno(), EADDRINUSE);
    let said = done(&mut portkeep(["enable"]));
    assert!(
        said.contains("Repaired: 20000/tcp: the consumers differ from those in the store"),
        "{said}"
    );
    assert_eq!(errno(), 0);
    assert_eq!(bind(Protocol::Tcp, 20000), EADDRINUSE);
    // Made anew, as for each start of a unit, it is another one.
    fs::remove_dir(&path).expect("remove the cgroup");
    fs::create_dir(&path).expect("make a cgroup");
    assert_eq!(errno(), EADDRINUSE);
    done(&mut portkeep(["enable"]));
    assert_eq!(errno(), 0);
}

fn too_many_consumers_are_refused(sandbox: &Sandbox) {
    enable();
    let words = |count: u32| {
        let users: String = (1..=count).map(|uid| format!(" --user {uid}")).collect();
        format!("20000/tcp{users}")
    };
    assert_eq!(
        refuse(&words(9)),
        "9 users, groups and cgroups are too many: 8 can be named"
    );
    assert_nothing_reserved(sandbox);
    reserve(&words(8));
    assert_eq!(bind_as(8, 8, Protocol::Tcp, 20000), 0);
    assert_eq!(bind_as(9, 9, Protocol::Tcp, 20000), EADDRINUSE);
}

fn without_the_kernel_part_it_is_refused(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    for ports in ["20000/tcp", "40000/tcp"] {
        assert_eq!(refuse(ports), "Portkeep is not enabled here");
    }
    assert_eq!(
        (stored_ports(sandbox), protected()),
        (vec![], String::new())
    );
    enable();
    assert_nothing_reserved(sandbox);
}

fn outside_the_control_cgroups(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let control = sandbox.cgroup().join("control");
    fs::create_dir(&control).expect("make a cgroup");
    let path = control.to_str().expect("a path in UTF-8");
    done(&mut portkeep(["enable", "--control", path]));
    reserve("20000-20003/tcp");
    reserve("--count 2 udp");
    assert_kept(Protocol::Tcp, 20000..=20003);
    assert_eq!(reserved(sandbox).len(), 2);
    done(&mut portkeep(["unreserve", "20000-20003/tcp"]));
    done(&mut portkeep(["disable"]));
    done(&mut portkeep(["enable", "--control", path]));
    assert_eq!(reserved(sandbox).len(), 1);
    let left: Vec<_> = fs::read_dir(&control)
        .expect("read the cgroup")
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// What the kernel part has stays, and so does the file, whatever is tried.
fn is_left_alone(sandbox: &Sandbox, text: &str, expected: &str) {
    enable();
    reserve("20000-20003/tcp");
    fs::write(store_file(sandbox), text).expect("write the store");
    for words in [
        &["reserve", "20000-20003/tcp"][..],
        &["reserve", "21000/tcp"],
        &["unreserve", "20000-20003/tcp"],
        &["exclude", "21000/tcp"],
        &["include", "21000/tcp"],
    ] {
        let outcome = outcome(&mut portkeep(words));
        assert_eq!(outcome.code, Some(1), "{words:?}: {outcome:?}");
        assert!(outcome.stderr.contains(expected), "{words:?}: {outcome:?}");
        assert!(
            outcome.stderr.contains("\nHint: "),
            "{words:?}: {outcome:?}"
        );
    }
    let outcome = outcome(&mut portkeep(["enable"]));
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains(expected), "{outcome:?}");
    assert_kept(Protocol::Tcp, 20000..=20003);
    assert_free(Protocol::Tcp, 21000..=21000);
    assert_eq!(stored(sandbox).as_deref(), Some(text));
    // What is not the store's still works.
    assert_eq!(listed(), ["20000-20003/tcp persistent associated"]);
    let status = document(&mut portkeep(["status", "--json"]));
    assert_eq!(status["store"]["reservations"], Value::Null);
    assert!(
        status["store"]["error"]
            .as_str()
            .is_some_and(|error| error.contains(expected))
    );
}

fn a_damaged_store_is_left_alone(sandbox: &Sandbox) {
    is_left_alone(
        sandbox,
        "version = 1\n[[reservation]\nports =",
        "cannot parse",
    );
}

fn a_newer_store_is_left_alone(sandbox: &Sandbox) {
    let text = "version = 4\n[[reservation]]\nblock = \"20000-20003/tcp\"\n";
    is_left_alone(sandbox, text, "was written by a later version of Portkeep");
}

fn a_store_that_cannot_be_written_changes_nothing(sandbox: &Sandbox) {
    enable();
    // A directory in the place of the file that is to become the store.
    fs::create_dir(sandbox.state_dir().join("reservations.toml.new")).expect("make a directory");
    let reason = outcome(&mut portkeep(["reserve", "40000-40003/tcp"]));
    assert_eq!(reason.code, Some(1), "{reason:?}");
    assert!(reason.stderr.contains("reservations.toml"), "{reason:?}");
    assert_nothing_reserved(sandbox);
    assert_eq!((stored(sandbox), protected()), (None, String::new()));
    fs::remove_dir(sandbox.state_dir().join("reservations.toml.new")).expect("remove");
    reserve("40000-40003/tcp");
}

fn wrong_usage() {
    for words in [
        &["reserve"][..],
        &["reserve", "80"],
        &["reserve", "80/sctp"],
        &["reserve", "9-8/tcp"],
        &["reserve", "0-5/tcp"],
        &["reserve", "tcp"],
        &["reserve", "80/tcp", "--count", "3"],
        &["reserve", "tcp", "--count", "0"],
        &["reserve", "tcp", "--count", "65536"],
        &["reserve", "tcp", "--count", "2", "--align", "3"],
        &["reserve", "80/tcp", "--align", "2"],
        &["reserve", "80-81/tcp", "81-82/both"],
        &["reserve", "tcp", "udp", "--count", "2"],
        &["reserve", "tcp", "80/tcp"],
        &["reserve", "80/tcp", "--every-netns", "--netns", "1"],
        &["reserve", "80/tcp", "--user"],
    ] {
        misused(words);
    }
}

/// Also by systemd's own opinion: with the unit that they wait for, and without a cycle.
fn the_drop_ins_are_valid(sandbox: &Sandbox) {
    let directory = sandbox.state_dir().join("units");
    let packaging = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging");
    let copy = |from: &str, to: &str| {
        let text = fs::read_to_string(packaging.join(from)).expect("read");
        let to = directory.join(to);
        fs::create_dir_all(to.parent().expect("a directory")).expect("make a directory");
        fs::write(to, text.replace("/usr/bin/portkeep", PORTKEEP)).expect("write");
    };
    copy("portkeep.service", "portkeep.service");
    copy(
        "systemd/service.d-ports.conf",
        "gateway.service.d/ports.conf",
    );
    copy("systemd/socket.d-ports.conf", "gateway.socket.d/ports.conf");
    for (name, text) in [
        (
            "gateway.socket",
            "[Socket]\nListenStream=20000\n[Install]\nWantedBy=sockets.target\n",
        ),
        ("gateway.service", "[Service]\nExecStart=/bin/true\n"),
    ] {
        fs::write(directory.join(name), text).expect("write");
    }
    let mut verify = std::process::Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", "gateway.socket", "gateway.service"]);
    verify.arg("portkeep.service");
    verify.env("SYSTEMD_UNIT_PATH", format!("{}:", directory.display()));
    if std::process::Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        portkeep_tests::skip("there is no systemd-analyze");
    }
    let said = outcome(&mut verify);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
}

/// Without systemd the unit files tell. Each unit has a cgroup of its own, here as there.
fn a_unit_and_its_socket_unit_may_bind(sandbox: &Sandbox) {
    let directory = std::path::Path::new("/etc/systemd/system");
    if std::path::Path::new("/run/systemd/system").is_dir() {
        portkeep_tests::skip("systemd runs here; the boot test shows it with systemd");
    }
    let flags = nix::mount::MsFlags::empty();
    fs::create_dir_all(directory).expect("make a directory");
    nix::mount::mount(Some("tmpfs"), directory, Some("tmpfs"), flags, None::<&str>).expect("mount");
    fs::write(
        directory.join("gateway.socket"),
        "[Socket]\nListenStream=20000\n",
    )
    .expect("write");
    enable();
    let cgroups = ["gateway.service", "gateway.socket", "other.service"];
    for name in cgroups {
        fs::create_dir(
            sandbox
                .inside_cgroup()
                .parent()
                .expect("a cgroup")
                .join(name),
        )
        .expect("make a cgroup");
    }
    reserve("20000-20003/tcp --unit gateway");
    let text = stored(sandbox).expect("a store");
    assert!(
        text.contains(r#"cgroups = ["gateway.service", "gateway.socket"]"#),
        "{text}"
    );
    let bind_in = |name: &str| {
        let cgroup = sandbox.cgroup().join(name);
        proc::fork_child(|| {
            fs::write(cgroup.join("cgroup.procs"), "0").expect("move");
            bind(Protocol::Tcp, 20000)
        })
        .code()
    };
    assert_eq!(cgroups.map(bind_in), [0, 0, EADDRINUSE]);
    for words in [
        "20010/tcp --unit ../x",
        "20010/tcp --unit a/b.service",
        "20010/tcp --unit .",
    ] {
        misused(
            &["reserve"]
                .into_iter()
                .chain(words.split(' '))
                .collect::<Vec<_>>(),
        );
    }
    for name in cgroups {
        fs::remove_dir(sandbox.cgroup().join(name)).expect("remove the cgroup");
    }
}

/// As the distributed files write them, comments included.
const CONFIGURATIONS: [(&str, &str, &str); 3] = [
    (
        "rtpengine.conf",
        "[rtpengine]\n# port-min = 1\nport-min = 20000\nport-max = 20099\n",
        "20000-20099/udp",
    ),
    (
        "rtp.conf",
        "[general]\n; rtpstart=5000\nrtpstart=20100\nrtpend=20199 ; inclusive\n",
        "20100-20199/udp",
    ),
    (
        "switch.conf.xml",
        "<settings>\n<!-- <param name=\"rtp-start-port\" value=\"16384\"/> -->\n\
         <param name=\"rtp-start-port\" value=\"20200\"/>\n\
         <param name=\"rtp-end-port\" value=\"20299\"/></settings>\n",
        "20200-20299/udp",
    ),
];

fn media_ports_are_read_from_a_configuration(sandbox: &Sandbox) {
    enable();
    for (name, text, ports) in CONFIGURATIONS {
        let file = sandbox.state_dir().join(name);
        fs::write(&file, text).expect("write");
        let said = reserve(&format!("--from {} --user root", file.display()));
        assert_eq!(said, format!("{ports} reserved\n"));
        let said = reserve(&format!("--from {} --user root", file.display()));
        assert_eq!(said, format!("{ports} reserved already\n"));
    }
    assert_agreed();
    let file = sandbox.state_dir().join("rtp.conf");
    let overlapping = format!("reserve 20150/udp --from {}", file.display());
    misused(&overlapping.split(' ').collect::<Vec<_>>());
}

fn a_configuration_without_a_range_is_refused(sandbox: &Sandbox) {
    enable();
    let file = sandbox.state_dir().join("rtp.conf");
    for (text, why) in [
        ("", "sets no range of ports"),
        ("; rtpstart=5000\n; rtpend=6000\n", "sets no range of ports"),
        ("rtpstart=5000\n", "one end of the range of ports only"),
        ("rtpstart=5000\nrtpend=4000\n", "is not a range of ports"),
        ("rtpstart=0\nrtpend=4000\n", "is not a range of ports"),
        ("rtpstart=x\nrtpend=70000\n", "is not a range of ports"),
    ] {
        fs::write(&file, text).expect("write");
        let reason = refuse(&format!("--from {}", file.display()));
        assert!(reason.contains(why), "{text:?}: {reason}");
    }
    fs::remove_file(&file).expect("remove");
    let missing = outcome(&mut portkeep([
        "reserve",
        "--from",
        file.to_str().expect("text"),
    ]));
    assert_eq!(missing.code, Some(1), "{missing:?}");
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).expect("make a FIFO");
    let fifo = outcome(&mut portkeep([
        "reserve",
        "--from",
        file.to_str().expect("text"),
    ]));
    assert_eq!(fifo.code, Some(1), "{fifo:?}");
    assert!(fifo.stderr.contains("not a regular file"), "{fifo:?}");
    assert_nothing_reserved(sandbox);
}

//! `portkeep ls`: the reservations as a table and as JSON.

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};

use jiff::Timestamp;
use nix::sys::signal::Signal;
use portkeep_tests::proc::Child;
use portkeep_tests::{Channel, Protocol, Sandbox, assert_ok, enable, proc, raw, sock, trials};
use serde_json::{Value, json};

use common::json::{RESERVATION, document, elements, members};
use common::kernel_part::{acquire, the_reservation};
use common::persistent::reserve_for_fleet;
use common::{
    EVERYBODY, PORTKEEP, Running, USER, cells, done, hint, misused, outcome, portkeep,
    portkeep_as_user, refused, user_name,
};

trials! {
    root:
        the_table_has_a_line_for_each_reservation,
        an_empty_table_has_its_header,
        the_document_tells_everything,
        the_document_without_reservations,
        an_ordinary_user_sees_the_same,
        what_is_persistent_is_listed_with_the_rest,
        since_is_when_it_was_acquired,
        a_fleets_are_named_after_it,
        who_may_bind_is_told,
        filters_leave_out_the_others,
        columns_as_asked_for,
        colors_where_they_are_wanted,
        other_namespaces_are_hidden_unless_asked_for,
        control_codes_in_names_do_not_reach_the_terminal,
        a_reader_that_leaves_is_no_error,
        what_has_ended_is_gone,
        without_the_kernel_part_what_the_user_holds_is_shown,
        a_hostile_directory_of_records_is_left_alone,
        a_bpf_file_system_elsewhere_is_told;
    plain:
        wrong_usage;
}

fn hold(mut command: Command, options: &[&str], lines: usize) -> Running {
    let mut running = Running::start({
        command.args(options);
        command
    });
    for _ in 0..lines {
        assert_ne!(running.line(), "");
    }
    running
}

/// The cells of the table's lines, with the time, which is local, taken out.
fn table(words: &[&str]) -> Vec<Vec<String>> {
    let text = done(&mut portkeep(words));
    assert!(text.lines().all(|line| line.trim_end() == line), "{text:?}");
    text.lines()
        .map(|line| cells(line).into_iter().map(str::to_owned).collect())
        .collect()
}

const HEADER: [&str; 7] = [
    "PROTO", "PORTS", "OWNER", "COMMAND", "USER", "SINCE", "MAY-BIND",
];

fn the_table_has_a_line_for_each_reservation(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let user = hold(portkeep_as_user(["hold"]), &["--udp", "30000-30000"], 1);
    let root = hold(
        portkeep(["hold"]),
        &["--tcp", "20010-20011", "--both", "20000-20003"],
        3,
    );
    let lines = table(&["ls"]);
    assert_eq!(lines[0], HEADER);
    let (root, user) = (root.pid().to_string(), user.pid().to_string());
    let nobody = user_name(USER);
    for (line, (protocol, ports, owner, name)) in lines[1..].iter().zip([
        ("tcp", "20000-20003", &root, "root"),
        ("tcp", "20010-20011", &root, "root"),
        ("udp", "20000-20003", &root, "root"),
        ("udp", "30000", &user, &nobody),
    ]) {
        assert_eq!(line[..5], [protocol, ports, owner, "portkeep", name]);
        assert_eq!(line[6..], ["associated"]);
        let time = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", &line[5]);
        assert!(time.is_ok(), "{line:?}");
    }
    assert_eq!(lines.len(), 5);
}

fn filters_leave_out_the_others(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _user = hold(portkeep_as_user(["hold"]), &["--udp", "30000-30000"], 1);
    let _root = hold(
        portkeep(["hold"]),
        &["--tcp", "20010-20011", "--both", "20000-20003"],
        3,
    );
    done(&mut portkeep([
        "reserve",
        "40000/tcp",
        "--user",
        &USER.to_string(),
    ]));
    let all = [
        "20000-20003/tcp",
        "20010-20011/tcp",
        "40000/tcp",
        "20000-20003/udp",
        "30000/udp",
    ];
    let nobody = user_name(USER);
    for (filters, shown) in [
        (&[][..], &[0, 1, 2, 3, 4][..]),
        (&["--tcp"], &[0, 1, 2]),
        (&["--udp"], &[3, 4]),
        (&["--tcp", "--udp"], &[0, 1, 2, 3, 4]),
        (&["--port", "20003"], &[0, 3]),
        (&["--port", ":20003"], &[0, 3]),
        (&["--port", "20004"], &[]),
        (&["--port", "20003-20010"], &[0, 1, 3]),
        (&["--port", "20003,30000"], &[0, 3, 4]),
        (&["--port", "20003", "--port", "30000", "--udp"], &[3, 4]),
        (&["--user", "root"], &[0, 1, 3]),
        (&["--user", &nobody], &[2, 4]),
        (&["--user", &USER.to_string(), "--udp"], &[4]),
        (&["--user", &format!("root,{nobody}"), "--tcp"], &[0, 1, 2]),
        (&["--user", "4242"], &[]),
    ] {
        let words = [&["ls"], filters].concat();
        let lines = table(&words);
        let lines: Vec<_> = lines[1..]
            .iter()
            .map(|it| format!("{}/{}", it[1], it[0]))
            .collect();
        let expected: Vec<_> = shown.iter().map(|it| all[*it]).collect();
        assert_eq!(lines, expected, "{filters:?}");
        let document = document(&mut portkeep([&words[..], &["--json"]].concat()));
        assert_eq!(elements(&document["reservations"]).len(), shown.len());
    }
    let reason = refused(&mut portkeep(["ls", "--user", "no such user"]));
    assert_eq!(reason, "there is no user 'no such user'");
}

fn columns_as_asked_for(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let root = hold(portkeep(["hold"]), &["--tcp", "20000-20003"], 1);
    let said = done(&mut portkeep(["ls", "--columns", "user,ports,owner"]));
    let pid = root.pid();
    assert_eq!(
        said,
        format!("USER  PORTS        OWNER\nroot  20000-20003  {pid}\n")
    );
    let said = done(&mut portkeep([
        "ls",
        "--columns",
        "may-bind",
        "--columns",
        "comment",
    ]));
    assert_eq!(said, "MAY-BIND    COMMENT\nassociated\n");
    let said = done(&mut portkeep(["ls", "--columns", "netns"]));
    assert!(said.starts_with("NETNS\n"), "{said}");
}

/// Without them, escapes of the terminal's are nowhere.
fn colors_where_they_are_wanted(sandbox: &Sandbox) {
    enable::enable(sandbox);
    done(&mut portkeep(["reserve", "20000/tcp"]));
    for words in [&["ls"][..], &["doctor"]] {
        let said = |options: &[&str]| {
            let mut command = portkeep([words, options].concat());
            command.env_remove("NO_COLOR").env("TERM", "xterm");
            outcome(&mut command).stdout
        };
        // A pipe is no terminal.
        for plain in [&[][..], &["--color=auto"], &["--color", "never"]] {
            assert!(!said(plain).contains('\x1b'), "{words:?}");
        }
        let colored = said(&["--color=always"]);
        assert!(colored.contains("\x1b["), "{colored}");
        let mut bare = String::new();
        let mut parts = colored.split('\x1b');
        bare += parts.next().unwrap_or_default();
        for part in parts {
            bare += part.split_once('m').expect("the end of an escape").1;
        }
        let bare: Vec<_> = bare.lines().map(str::trim_end).collect();
        assert_eq!(bare.len(), said(&[]).lines().count());
        // On a terminal: in colors, unless NO_COLOR says no.
        for (variable, is_colored) in [(None, true), (Some("1"), false)] {
            let line = format!("{PORTKEEP} {}", words.join(" "));
            let mut command = Command::new("script");
            command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
            command.env("TERM", "xterm").env_remove("NO_COLOR");
            command.envs(variable.map(|value| ("NO_COLOR", value)));
            let shown = outcome(command.stdin(Stdio::null())).stdout;
            assert_eq!(shown.contains("\x1b["), is_colored, "{shown}");
        }
    }
}

fn an_empty_table_has_its_header(sandbox: &Sandbox) {
    enable::enable(sandbox);
    assert_eq!(table(&["ls"]), [HEADER]);
}

fn the_document_tells_everything(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let holder = hold(portkeep_as_user(["hold"]), &["--tcp", "20000-20003"], 1);
    let document = document(&mut portkeep(["ls", "--json"]));
    assert_eq!(members(&document), ["reservations", "schema"]);
    let [reservation] = elements(&document["reservations"]) else {
        panic!("{document}")
    };
    assert_eq!(members(reservation), RESERVATION);
    let entry = the_reservation(sandbox);
    let expected = json!({
        "protocol": "tcp", "start": 20000, "end": 20003, "kind": "runtime",
        "users": [], "groups": [], "cgroups": [], "comment": null, "fleet": null, "every_netns": false,
        "pid": holder.pid().as_raw(), "command": "portkeep", "uid": USER,
        "user": user_name(USER), "since": reservation["since"], "may_bind": "associated",
        "backend": "kernel", "token": entry.token, "socket_cookie": entry.socket, "netns_cookie": entry.netns,
    });
    assert_eq!(*reservation, expected);
}

fn the_document_without_reservations(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for words in [&["ls", "--json"][..], &["ls", "--json", "--all-namespaces"]] {
        let expected = json!({ "schema": 1, "reservations": [] });
        assert_eq!(document(&mut portkeep(words)), expected);
    }
}

fn an_ordinary_user_sees_the_same(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _holder = hold(portkeep(["hold"]), &["--both", "20000-20003"], 2);
    for words in [&["ls"][..], &["ls", "--all-namespaces"]] {
        assert_eq!(
            done(&mut portkeep_as_user(words)),
            done(&mut portkeep(words))
        );
    }
    let document = document(&mut portkeep_as_user(["ls", "--json"]));
    assert_eq!(elements(&document["reservations"]).len(), 2, "{document}");
}

fn what_is_persistent_is_listed_with_the_rest(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let user = user_name(USER);
    done(&mut portkeep([
        "reserve",
        "20010-20019/udp",
        "--user",
        &user,
        "--group",
        "4321",
        "--comment",
        "RTP",
    ]));
    done(&mut portkeep(["reserve", "20030/tcp"]));
    done(&mut portkeep(["exclude", "20020/tcp"]));
    let holder = hold(portkeep(["hold"]), &["--tcp", "20000-20003"], 1);
    let pid = holder.pid().to_string();
    for command in EVERYBODY {
        let text = done(&mut command(&["ls"]));
        let lines: Vec<_> = text.lines().map(cells).collect();
        assert_eq!(lines[0][..7], HEADER);
        assert_eq!(lines[0][7..], ["COMMENT"]);
        let shown: Vec<_> = lines[1..]
            .iter()
            .map(|line| [line[0], line[1], line[2], line[4], line[6]])
            .collect();
        let (root, who) = (user_name(0), format!("user {user}, group 4321"));
        assert_eq!(
            shown,
            [
                ["tcp", "20000-20003", &pid, &root, "associated"],
                ["tcp", "20020", "excluded", "-", "everybody"],
                ["tcp", "20030", "persistent", "-", "associated"],
                ["udp", "20010-20019", "persistent", "-", &who],
            ]
        );
        assert_eq!(lines[4][7..], ["RTP"]);
    }
    let document = document(&mut portkeep(["ls", "--json"]));
    let udp = &document["reservations"][3];
    assert_eq!(members(udp), RESERVATION);
    for (member, value) in [
        ("kind", json!("persistent")),
        ("pid", json!(null)),
        ("command", json!(null)),
        ("uid", json!(null)),
        ("user", json!(null)),
        ("may_bind", json!("consumers")),
        ("users", json!([user])),
        ("groups", json!(["4321"])),
        ("cgroups", json!([])),
        ("comment", json!("RTP")),
        ("every_netns", json!(false)),
    ] {
        assert_eq!(udp[member], value, "{member}");
    }
    // Without the store the kernel's list still tells.
    std::fs::remove_file(sandbox.state_dir().join("reservations.toml")).expect("remove");
    let text = done(&mut portkeep(["ls"]));
    assert!(text.contains(&format!("user {user}, group 4321")), "{text}");
    assert!(!text.contains("COMMENT"), "{text}");
}

fn since_is_when_it_was_acquired(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let before = Timestamp::now();
    let _held = acquire(Protocol::Tcp, 20000..=20003);
    let after = Timestamp::now();
    let since = |command: &mut Command| -> Timestamp {
        let document = document(command);
        let since = document["reservations"][0]["since"].as_str();
        let since = since.expect("a time");
        since.parse().expect("a time as RFC 3339 has it")
    };
    // In whole seconds, and put together from two clocks.
    let range = before.as_second() - 1..=after.as_second();
    let now = since(&mut portkeep(["ls", "--json"]));
    assert!(range.contains(&now.as_second()), "{now} {range:?}");
    // A day later, as a time namespace plays it: it moves the clock since boot, not the other.
    const DAY: i64 = 86400;
    let mut unshare = Command::new("unshare");
    unshare.args(["--time", "--fork", "--boottime", &DAY.to_string()]);
    unshare.args([PORTKEEP, "ls", "--json"]);
    let later = since(&mut unshare);
    assert!(
        range.contains(&(later.as_second() + DAY)),
        "{later} {range:?}"
    );
}

fn who_may_bind_is_told(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let sockets = [sock::tcp4(), sock::tcp4(), sock::tcp4()];
    assert_ok!(raw::acquire4(&sockets[0], 20000, 1));
    assert_ok!(raw::acquire16(&sockets[1], 20001, 1, raw::PROCESS, 0));
    assert_ok!(raw::acquire16(
        &sockets[2],
        20002,
        1,
        raw::PROCESS | raw::TREE,
        0
    ));
    let expected = ["associated", "process", "tree"];
    let lines = table(&["ls"]);
    let shown: Vec<_> = lines[1..].iter().map(|line| line[6].as_str()).collect();
    assert_eq!(shown, expected);
    let document = document(&mut portkeep(["ls", "--json"]));
    let list = elements(&document["reservations"]);
    let shown: Vec<_> = list
        .iter()
        .filter_map(|entry| entry["may_bind"].as_str())
        .collect();
    assert_eq!(shown, expected);
    // `run` lets the command's whole family bind.
    drop(sockets);
    let own = done(&mut portkeep(["run", "--tcp", "1", "--", PORTKEEP, "ls"]));
    assert_eq!(
        own.lines().nth(1).map(|line| cells(line)[6]),
        Some("tree"),
        "{own}"
    );
}

/// A process in a network namespace of its own that holds ports of the same numbers.
fn elsewhere() -> (Child, u64) {
    let (own, others) = Channel::pair();
    let child = proc::fork_child(|| {
        proc::new_netns();
        let held = acquire(Protocol::Tcp, 20000..=20003);
        others.send(sock::netns_cookie(&held));
        loop {
            nix::unistd::pause();
        }
    });
    let cookie = own.recv();
    (child, cookie)
}

fn other_namespaces_are_hidden_unless_asked_for(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let (there, cookie) = elsewhere();
    let own_cookie = sock::netns_cookie(sock::udp4());
    assert_ne!(cookie, own_cookie);
    assert_eq!(table(&["ls"]), [HEADER]);
    let here = hold(portkeep(["hold"]), &["--tcp", "20000-20003"], 1);

    let lines = table(&["ls"]);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[1][2], here.pid().to_string());

    let lines = table(&["ls", "--all-namespaces"]);
    assert_eq!(lines[0][..7], HEADER);
    assert_eq!(lines[0][7..], ["NETNS"]);
    let mut shown: Vec<_> = lines[1..]
        .iter()
        .map(|line| (&*line[2], &*line[7]))
        .collect();
    shown.sort_unstable();
    let (here, there) = (here.pid().to_string(), there.pid().to_string());
    let (own_cookie, cookie) = (own_cookie.to_string(), cookie.to_string());
    let mut expected = [(&*here, &*own_cookie), (&*there, &*cookie)];
    expected.sort_unstable();
    assert_eq!(shown, expected);

    let count = |words: &[&str]| {
        let document = document(&mut portkeep(words));
        elements(&document["reservations"]).len()
    };
    assert_eq!(count(&["ls", "--json"]), 1);
    assert_eq!(count(&["ls", "--json", "--all-namespaces"]), 2);
}

fn control_codes_in_names_do_not_reach_the_terminal(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let (own, others) = Channel::pair();
    let _holder = proc::fork_child(|| {
        nix::sys::prctl::set_name(c"a\x1b[2J b\nc  d").expect("PR_SET_NAME");
        let _held = acquire(Protocol::Tcp, 20000..=20000);
        others.send(0);
        loop {
            nix::unistd::pause();
        }
    });
    assert_eq!(own.recv(), 0);
    let lines = table(&["ls"]);
    assert_eq!(lines[1][3], "a_[2J_b_c__d");
    let document = document(&mut portkeep(["ls", "--json"]));
    assert_eq!(document["reservations"][0]["command"], "a_[2J_b_c__d");
}

fn a_reader_that_leaves_is_no_error(sandbox: &Sandbox) {
    enable::enable(sandbox);
    // More than a pipe holds, so that a write fails however fast the reader is.
    let sockets: Vec<_> = (0..2000)
        .map(|index| acquire(Protocol::Tcp, 20000 + index..=20000 + index))
        .collect();
    for words in ["ls", "ls --json"] {
        let script = format!("{{ \"$0\" {words}; echo $? >&2; }} | head -1");
        let outcome = outcome(Command::new("sh").args(["-c", &script, PORTKEEP]));
        assert_eq!(outcome.stdout.lines().count(), 1, "{outcome:?}");
        assert_eq!(outcome.stderr, "0\n");
    }
    drop(sockets);
    let (reader, writer) = std::io::pipe().expect("make a pipe");
    drop(reader);
    let mut command = portkeep(["ls"]);
    let child = command
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the command");
    let output = child.wait_with_output().expect("wait for the command");
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), &b""[..])
    );
}

fn what_has_ended_is_gone(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let held = acquire(Protocol::Udp, 20000..=20003);
    assert_eq!(table(&["ls"]).len(), 2);
    drop(held);
    assert_eq!(table(&["ls"]), [HEADER]);
}

fn without_the_kernel_part_what_the_user_holds_is_shown(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    for command in EVERYBODY {
        assert_eq!(done(&mut command(&["ls"])).lines().count(), 1);
        let mut hold = Running::start(command(&["hold", "--udp", "20000-20003"]));
        assert_eq!(hold.line(), "20000-20003/udp");
        let listed = done(&mut command(&["ls"]));
        let row = cells(listed.lines().nth(1).expect("a row"));
        let pid = hold.pid().to_string();
        assert_eq!(row[..4], ["udp", "20000-20003", &pid, "portkeep"]);
        assert_eq!(row.last(), Some(&"held"));
        let list = document(&mut command(&["ls", "--json"]));
        let held = &list["reservations"][0];
        assert_eq!(
            (&held["backend"], &held["token"]),
            (&"held".into(), &Value::Null)
        );
        assert_eq!(
            (&held["start"], &held["pid"]),
            (&20000.into(), &hold.pid().as_raw().into())
        );
        // A record whose process has been killed is neither shown nor kept.
        hold.signal(Signal::SIGKILL);
        hold.wait();
        assert_eq!(done(&mut command(&["ls"])).lines().count(), 1);
    }
}

fn a_hostile_directory_of_records_is_left_alone(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let runtime = sandbox.state_dir().join("runtime");
    let elsewhere = sandbox.state_dir().join("elsewhere");
    fs::create_dir(&runtime).expect("make a directory");
    fs::create_dir(&elsewhere).expect("make a directory");
    symlink(&elsewhere, runtime.join("portkeep")).expect("make a link");
    let with_runtime = |words: &[&str]| {
        let mut command = portkeep(words);
        command.env("XDG_RUNTIME_DIR", &runtime);
        command
    };
    let mut hold = Running::start(with_runtime(&["hold", "--tcp", "20000-20000"]));
    assert_eq!(hold.line(), "20000/tcp");
    assert_eq!(fs::read_dir(&elsewhere).expect("read it").count(), 0);
    assert_eq!(done(&mut with_runtime(&["ls"])).lines().count(), 1);
    // Nor is one used that others can write to.
    fs::remove_file(runtime.join("portkeep")).expect("remove the link");
    let open = runtime.join("portkeep");
    fs::create_dir(&open).expect("make a directory");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("open it");
    assert_eq!(done(&mut with_runtime(&["ls"])).lines().count(), 1);
    let mut other = Running::start(with_runtime(&["hold", "--tcp", "20001-20001"]));
    assert_eq!(other.line(), "20001/tcp");
    assert_eq!(fs::read_dir(&open).expect("read it").count(), 0);
}

fn a_bpf_file_system_elsewhere_is_told(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let nowhere = sandbox.state_dir().to_str().expect("a path in UTF-8");
    let words = ["ls", "--bpffs", nowhere];
    let reason = refused(&mut portkeep(words));
    assert_eq!(reason, format!("{nowhere} is not in a bpf file system"));
    assert!(hint(&mut portkeep(words)).contains("PORTKEEP_BPFFS"));
    let bpffs = sandbox.bpffs().to_str().expect("a path in UTF-8");
    let mut command = portkeep(["ls", "--bpffs", bpffs]);
    command.env("PORTKEEP_BPFFS", "/nonexistent");
    done(&mut command);
}

fn wrong_usage() {
    for words in [
        ["ls", "--columns", "no-such"],
        ["ls", "--port", "0"],
        ["ls", "--port", "9-8"],
        ["ls", "--color", "no-such"],
    ] {
        misused(&words);
    }
    misused(&["ls", "--json", "--columns", "ports"]);
    misused(&["ls", "tcp"]);
    misused(&["ls", "--tcp", "1"]);
    misused(&["ls", "--json=yes"]);
}

fn a_fleets_are_named_after_it(sandbox: &Sandbox) {
    enable::enable(sandbox);
    reserve_for_fleet(sandbox, "rtp", false, "20000-20003/udp", &["user root"]);
    reserve_for_fleet(sandbox, "g7f3a2", true, "61040-61041/tcp", &[]);
    let table = done(&mut portkeep(["ls", "--columns", "ports,owner,may-bind"]));
    let lines: Vec<_> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "PORTS OWNER MAY-BIND",
            "61040-61041 fleet prod, grant g7f3a2 associated",
            "20000-20003 fleet prod, policy rtp user root",
        ]
    );
    let document = document(&mut portkeep(["ls", "--json"]));
    let fleets: Vec<_> = elements(&document["reservations"])
        .iter()
        .map(|it| &it["fleet"])
        .collect();
    assert_eq!(
        fleets,
        [
            &json!({"fleet": "prod", "kind": "grant", "id": "g7f3a2", "generation": 3}),
            &json!({"fleet": "prod", "kind": "policy", "id": "rtp", "generation": 3}),
        ]
    );
}

//! `portkeep watch`: events as they happen.

mod common;

use std::fs;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::thread;

use nix::sys::signal::Signal;
use portkeep_tests::{
    Channel, Protocol, Sandbox, assert_errno, assert_ok, enable, libc, proc, raw, sock, trials,
};
use serde_json::{Value, json};

use common::json::parse;
use common::kernel_part::acquire;
use common::{
    PORTKEEP, Running, USER, done, eventually, hint, misused, portkeep, portkeep_as_user, user_name,
};

trials! {
    root:
        refused_binds_and_acquires_are_told,
        a_refused_connect_is_told,
        reservations_are_told_as_they_come_and_go,
        persistent_ones_are_told,
        what_apply_does_in_place_is_told,
        lines_for_people,
        filters_leave_out_the_others,
        an_ordinary_user_sees_only_their_own,
        several_watch_at_once,
        other_namespaces_are_hidden_unless_asked_for,
        it_goes_on_when_portkeep_is_enabled_again,
        a_killed_watcher_leaves_nothing_on,
        a_stopped_watcher_loses_events_with_a_count,
        beside_a_million_binds,
        control_codes_in_names_do_not_reach_the_terminal,
        a_reader_that_leaves_ends_it,
        ctrl_c_ends_it,
        without_the_kernel_part_it_is_refused;
    plain:
        wrong_usage;
}

/// A watcher that prints JSON.
struct Watching(Running);

impl Watching {
    fn start(options: &[&str]) -> Self {
        Self::from(portkeep(["watch", "--json"]), options)
    }

    fn from(mut command: Command, options: &[&str]) -> Self {
        command.args(options);
        let mut watching = Self(Running::start(command));
        assert_eq!(watching.event()["event"], "watching");
        watching
    }

    /// The next event.
    fn event(&mut self) -> Value {
        let line = self.0.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("no event: {error}: {line:?}"))
    }

    /// Asserts that the next events are these, and that they are as docs/json.md says.
    #[track_caller]
    fn expect(&mut self, names: &[&str]) -> Vec<Value> {
        let events: Vec<_> = names.iter().map(|_| self.event()).collect();
        let mut kinds: Vec<_> = names.to_vec();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            let event = events.iter().find(|it| it["event"] == kind);
            let event = event.unwrap_or_else(|| panic!("no {kind}: {events:#?}"));
            parse("watch", &event.to_string());
        }
        let got: Vec<_> = events.iter().map(|it| &it["event"]).collect();
        assert_eq!(got, names, "{events:#?}");
        events
    }
}

fn refuse_bind(port: u16) {
    assert_errno!(sock::bind_any(sock::tcp4(), port), EADDRINUSE);
}

fn own_pid() -> Value {
    json!(std::process::id())
}

/// A process of another user that tries to bind.
fn strangers_bind(port: u16) {
    let code = proc::as_uid(USER, USER, || {
        refuse_bind(port);
        0
    });
    assert_eq!(code, 0);
}

fn refused_binds_and_acquires_are_told(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut watching = Watching::start(&["--refusals"]);
    let _held = acquire(Protocol::Tcp, 20000..=20003);
    strangers_bind(20002);
    assert_errno!(raw::acquire4(sock::tcp4(), 20003, 2), EADDRINUSE);
    let listener = sock::udp4();
    assert_ok!(sock::bind_any(&listener, 20010));
    assert_errno!(raw::acquire4(sock::udp4(), 20010, 1), EADDRINUSE);
    let [bind, acquire, in_use] = watching
        .expect(&["bind_refused", "acquire_refused", "acquire_refused"])
        .try_into()
        .expect("three");
    assert_eq!(bind["uid"], USER);
    assert_eq!(bind["user"], user_name(USER));
    assert_ne!(bind["pid"], own_pid());
    assert_eq!(bind["owner"]["pid"], own_pid());
    assert_eq!(bind["owner"]["command"], acquire["command"]);
    assert_eq!(bind["owner"]["user"], "root");
    assert_eq!(bind["owner"]["kind"], "runtime");
    for (name, value) in [
        ("protocol", json!("tcp")),
        ("start", json!(20002)),
        ("end", json!(20002)),
        ("port", json!(20002)),
        ("reason", json!("reserved")),
        ("error", json!("EADDRINUSE")),
    ] {
        assert_eq!(bind[name], value, "{name}");
    }
    assert_eq!(acquire["pid"], own_pid());
    assert_eq!(
        (&acquire["start"], &acquire["end"], &acquire["port"]),
        (&json!(20003), &json!(20004), &json!(20003))
    );
    assert_eq!(acquire["token"], bind["token"]);
    assert_eq!(
        (&in_use["reason"], &in_use["protocol"], &in_use["port"]),
        (&json!("in_use"), &json!("udp"), &json!(20010))
    );
    assert_eq!(in_use["owner"]["kind"], "socket");
}

fn a_refused_connect_is_told(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let listener = sock::tcp4();
    assert_ok!(sock::bind_any(&listener, 20100));
    assert_ok!(sock::listen(&listener));
    let holder = sock::tcp4();
    let block = assert_ok!(raw::acquire(&holder, 20000, 1));
    let taken = sock::tcp4();
    assert_ok!(raw::associate(&taken, block.token));
    assert_ok!(sock::bind_any(&taken, 20000));
    let mut watching = Watching::start(&[]);
    let client = sock::tcp4();
    assert_ok!(raw::associate(&client, block.token));
    let refused = sock::connect(&client, [127, 0, 0, 1], 20100);
    assert_errno!(refused, EADDRINUSE);
    let [event] = watching
        .expect(&["connect_refused"])
        .try_into()
        .expect("one");
    assert_eq!(event["reason"], "in_use");
    assert_eq!(event["token"], block.token);
    assert_eq!(event["start"], Value::Null);
}

fn reservations_are_told_as_they_come_and_go(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut watching = Watching::start(&[]);
    let first = acquire(Protocol::Udp, 20000..=20003);
    drop(first);
    let second = sock::tcp4();
    let block = assert_ok!(raw::acquire(&second, 0, 3));
    assert_ok!(raw::release(&second, block.token));
    // Ends with its process.
    let code = proc::fork_child(|| {
        std::mem::forget(acquire(Protocol::Tcp, 20010..=20010));
        0
    });
    let pid = code.pid();
    assert_eq!(code.code(), 0);
    let events = watching.expect(&[
        "acquired", "released", "acquired", "released", "acquired", "released",
    ]);
    for pair in events.chunks(2) {
        for name in ["start", "end", "protocol", "token", "netns_cookie"] {
            assert_eq!(pair[0][name], pair[1][name], "{name}");
        }
    }
    assert_eq!(
        (&events[0]["start"], &events[0]["end"]),
        (&json!(20000), &json!(20003))
    );
    assert_eq!(events[2]["token"], block.token);
    assert_eq!(events[5]["owner"]["pid"], pid);
}

fn persistent_ones_are_told(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut watching = Watching::start(&[]);
    done(&mut portkeep([
        "reserve",
        "20000-20009/tcp",
        "--user",
        "4242",
    ]));
    strangers_bind(20004);
    done(&mut portkeep(["unreserve", "20005-20006/tcp"]));
    let events = watching.expect(&["created", "bind_refused", "deleted"]);
    assert_eq!(events[0]["owner"]["kind"], "persistent");
    assert_eq!(events[0]["owner"]["uid"], 4242);
    assert_eq!(events[1]["owner"]["kind"], "persistent");
    assert_eq!(events[1]["owner"]["uid"], 4242);
    assert_eq!(
        (&events[2]["start"], &events[2]["end"]),
        (&json!(20005), &json!(20006))
    );
}

/// Nothing of it looks like an end, and from the change on the new user is the one that is named.
fn what_apply_does_in_place_is_told(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let file = sandbox.state_dir().join("voip.toml");
    let apply = |ports: &[&str], user: u32| {
        let entries = ports
            .iter()
            .map(|ports| format!("[[reservation]]\nports = \"{ports}\"\nusers = [\"{user}\"]\n"));
        let entries: String = entries.collect();
        fs::write(&file, format!("version = 1\n{entries}")).expect("write");
        done(portkeep(["apply"]).arg(&file));
    };
    apply(&["20000-20009/tcp"], 4242);
    let mut watching = Watching::start(&[]);
    let mut user = Watching::from(portkeep_as_user(["watch", "--json"]), &[]);
    apply(&["20000-20009/tcp"], USER);
    refuse_bind(20001);
    let events = watching.expect(&["changed", "bind_refused"]);
    for event in &events {
        assert_eq!(event["owner"]["kind"], "persistent");
        assert_eq!(event["owner"]["uid"], USER);
        assert_eq!(event["owner"]["since"], events[0]["owner"]["since"]);
        assert_eq!(event["token"], events[0]["token"]);
    }
    assert_eq!(
        (&events[0]["start"], &events[0]["end"]),
        (&json!(20000), &json!(20009))
    );
    apply(&["20005-20012/tcp"], USER);
    apply(&["20005-20008/tcp", "20009-20012/tcp"], USER);
    let names = ["created", "deleted", "joined", "split"];
    let events = watching.expect(&names);
    let ports = [
        (20010, 20012),
        (20000, 20004),
        (20010, 20012),
        (20009, 20012),
    ];
    for (event, (start, end)) in events.iter().zip(ports) {
        assert_eq!(
            (&event["start"], &event["end"]),
            (&json!(start), &json!(end)),
            "{event}"
        );
        assert_eq!(event["owner"]["uid"], USER, "{event}");
    }
    // Each time that of the block in which the ports are now.
    assert_ne!(events[2]["token"], events[0]["token"]);
    assert_ne!(events[3]["token"], events[2]["token"]);
    done(&mut portkeep(["unreserve", "20006/tcp"]));
    watching.expect(&["deleted"]);
    // The user who has it sees the same.
    let names = [&["changed", "bind_refused"], &names[..], &["deleted"]].concat();
    user.expect(&names);
}

fn lines_for_people(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut watching = Running::start(portkeep(["watch"]));
    assert!(watching.line().ends_with("  watching"));
    let _held = acquire(Protocol::Tcp, 20000..=20003);
    strangers_bind(20002);
    done(&mut portkeep([
        "reserve",
        "20010/udp",
        "--user",
        &USER.to_string(),
    ]));
    assert_errno!(sock::bind_any(sock::udp4(), 20010), EADDRINUSE);
    let line = watching.line();
    assert!(
        line.contains("  acquired         20000-20003/tcp  process "),
        "{line}"
    );
    let line = watching.line();
    let told = format!(
        ", user {}: reserved by process {} (",
        user_name(USER),
        std::process::id()
    );
    assert!(
        line.contains("  bind refused     20002/tcp        process "),
        "{line}"
    );
    assert!(
        line.contains(&told) && line.ends_with("), user root"),
        "{line}"
    );
    assert!(
        watching
            .line()
            .contains("  created          20010/udp        process ")
    );
    let line = watching.line();
    let told = format!(": reserved persistently, user {}", user_name(USER));
    assert!(line.ends_with(&told), "{line}");
}

fn filters_leave_out_the_others(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let nobody = user_name(USER);
    let mut by_port = Watching::start(&["--port", "20005-20006,20001"]);
    let mut by_user = Watching::start(&["--user", &nobody]);
    let mut refusals = Watching::start(&["--refusals", "--port", "20001"]);
    let _first = acquire(Protocol::Tcp, 20000..=20001);
    let _second = acquire(Protocol::Tcp, 20002..=20003);
    let _third = acquire(Protocol::Tcp, 20006..=20010);
    refuse_bind(20000);
    refuse_bind(20001);
    strangers_bind(20002);
    let events = by_port.expect(&["acquired", "acquired", "bind_refused"]);
    let starts: Vec<_> = events.iter().map(|it| &it["start"]).collect();
    assert_eq!(starts, [20000, 20006, 20001]);
    let event = by_user.expect(&["bind_refused"]).remove(0);
    assert_eq!(
        (&event["start"], &event["uid"]),
        (&json!(20002), &json!(USER))
    );
    assert_eq!(refusals.expect(&["bind_refused"])[0]["start"], 20001);
}

fn an_ordinary_user_sees_only_their_own(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut user = Watching::from(portkeep_as_user(["watch", "--json"]), &[]);
    let mut root = Watching::start(&[]);
    let _held = acquire(Protocol::Tcp, 20000..=20000);
    refuse_bind(20000);
    strangers_bind(20000);
    done(&mut portkeep([
        "reserve",
        "20010/tcp",
        "--user",
        &USER.to_string(),
    ]));
    refuse_bind(20010);
    drop(_held);
    // Of root's acquire, release and own refusal nothing; of the user's reservation everything.
    let seen = user.expect(&["bind_refused", "created", "bind_refused"]);
    assert_eq!(
        (&seen[0]["uid"], &seen[0]["start"]),
        (&json!(USER), &json!(20000))
    );
    assert_eq!(
        (&seen[2]["uid"], &seen[2]["start"]),
        (&json!(0), &json!(20010))
    );
    root.expect(&[
        "acquired",
        "bind_refused",
        "bind_refused",
        "created",
        "bind_refused",
        "released",
    ]);
}

fn several_watch_at_once(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut watchers: Vec<_> = (0..8).map(|_| Watching::start(&[])).collect();
    let _held = acquire(Protocol::Tcp, 20000..=20000);
    for _ in 0..100 {
        refuse_bind(20000);
    }
    let expected = [&["acquired"][..], &["bind_refused"; 100]].concat();
    let first = watchers[0].expect(&expected);
    for watcher in &mut watchers[1..] {
        assert_eq!(watcher.expect(&expected).len(), first.len());
    }
}

fn other_namespaces_are_hidden_unless_asked_for(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut here = Watching::start(&[]);
    let mut everywhere = Watching::start(&["--all-namespaces"]);
    let code = proc::in_netns(|| {
        drop(acquire(Protocol::Tcp, 20000..=20000));
        0
    });
    assert_eq!(code, 0);
    done(&mut portkeep(["exclude", "20001/tcp", "--every-netns"]));
    let events = everywhere.expect(&["acquired", "released", "created"]);
    assert_eq!(events[2]["netns_cookie"], 0);
    let event = here.expect(&["created"]).remove(0);
    assert_eq!(event["start"], 20001);
    assert_ne!(events[0]["netns_cookie"], event["netns_cookie"]);
}

fn it_goes_on_when_portkeep_is_enabled_again(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    enable::enable(sandbox);
    let mut watching = Watching::start(&[]);
    // In place: nothing is missed.
    enable::enable(sandbox);
    watching.expect(&["enabled"]);
    let held = acquire(Protocol::Tcp, 20000..=20000);
    watching.expect(&["acquired"]);
    done(&mut portkeep(["disable"]));
    watching.expect(&["disabled"]);
    drop(held);
    enable::enable(sandbox);
    watching.expect(&["enabled"]);
    drop(acquire(Protocol::Tcp, 20000..=20000));
    watching.expect(&["acquired", "released"]);
}

/// How many watchers the kernel part knows.
fn watchers() -> u32 {
    let metrics = done(&mut portkeep(["metrics"]));
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix("portkeep_watchers "));
    value.expect("the metric").parse().expect("a number")
}

fn a_killed_watcher_leaves_nothing_on(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    enable::enable(sandbox);
    assert_eq!(watchers(), 0);
    let mut killed = Watching::start(&[]);
    let other = Watching::from(portkeep_as_user(["watch", "--json"]), &[]);
    assert_eq!(watchers(), 2);
    killed.0.signal(Signal::SIGKILL);
    killed.0.wait();
    eventually(|| watchers() == 1);
    drop(other);
    eventually(|| watchers() == 0);
    // A socket counts once, however often it is asked to watch; another one may share it.
    let socket = sock::udp4();
    for kinds in [0_u64, 2, !0] {
        assert_ok!(raw::set_bytes(
            &socket,
            WATCH.0,
            WATCH.1,
            &kinds.to_ne_bytes()
        ));
    }
    let copy = OwnedFd::from(socket.try_clone().expect("dup"));
    drop(socket);
    assert_eq!(watchers(), 1);
    drop(copy);
    assert_eq!(watchers(), 0);
    // One that does not watch is told so, and odd requests are refused.
    let socket = sock::udp4();
    assert_errno!(raw::get_bytes(&socket, WATCH.0, WATCH.1, 4096), ENOENT);
    for odd in [&[0_u8; 7][..], &[0, 0, 0, 0, 0, 0, 0, 0, 1], &[0; 65]] {
        assert_errno!(raw::set_bytes(&socket, WATCH.0, WATCH.1, odd), EINVAL);
    }
    assert_ok!(raw::set_bytes(&socket, WATCH.0, WATCH.1, &[0; 8]));
    assert_errno!(raw::get_bytes(&socket, WATCH.0, WATCH.1, 23), EINVAL);
    // With room for the head alone the events stay.
    drop(acquire(Protocol::Tcp, 20000..=20000));
    let number = |length| {
        let answer = assert_ok!(raw::get_bytes(&socket, WATCH.0, WATCH.1, length));
        (answer.len(), answer[16], answer[20])
    };
    assert_eq!(number(24), (24, 0, 1));
    assert_eq!(number(24 + 96), (24 + 96, 1, 1));
    assert_eq!(number(4096), (24 + 96, 1, 0));
    assert_eq!(number(4096), (24, 0, 0));
}

/// The level and the option.
const WATCH: (i32, i32) = (0x504B, 8);

fn a_stopped_watcher_loses_events_with_a_count(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut stopped = Watching::start(&[]);
    stopped.0.signal(Signal::SIGSTOP);
    let _held = acquire(Protocol::Tcp, 20000..=20000);
    for _ in 0..5000 {
        refuse_bind(20000);
    }
    stopped.0.signal(Signal::SIGCONT);
    assert_eq!(seen_and_lost(&mut stopped, 5001), 5001);
}

/// Reads until so many events are accounted for; gives their number.
fn seen_and_lost(watching: &mut Watching, all: u64) -> u64 {
    let mut sum = 0;
    while sum < all {
        let line = watching.0.line();
        let event: Value = serde_json::from_str(&line).expect("a document");
        sum += match event["event"].as_str() {
            Some("lost") => event["lost"].as_u64().expect("a number"),
            Some("watching") => 0,
            _ => 1,
        };
    }
    sum
}

/// Half of them are refused. Every refusal is told of or counted as lost, and every other bind succeeds.
fn beside_a_million_binds(sandbox: &Sandbox) {
    const BINDS: u32 = 250_000;
    enable::enable(sandbox);
    let _held = acquire(Protocol::Udp, 20000..=20000);
    let mut all = Watching::start(&[]);
    let mut another = Watching::start(&["--refusals"]);
    let reader = thread::spawn(move || seen_and_lost(&mut all, 2 * u64::from(BINDS)));
    let refusing: Vec<_> = (0..2)
        .map(|_| {
            thread::spawn(|| {
                let socket = sock::udp4();
                for _ in 0..BINDS {
                    assert_errno!(sock::bind_any(&socket, 20000), EADDRINUSE);
                }
            })
        })
        .collect();
    let granting: Vec<_> = (20001..=20002)
        .map(|port| {
            thread::spawn(move || {
                for _ in 0..BINDS {
                    assert_ok!(sock::bind_any(sock::udp4(), port));
                }
            })
        })
        .collect();
    for thread in refusing.into_iter().chain(granting) {
        thread.join().expect("no bind went wrong");
    }
    assert_eq!(reader.join().expect("read"), 2 * u64::from(BINDS));
    assert_eq!(
        seen_and_lost(&mut another, 2 * u64::from(BINDS)),
        2 * u64::from(BINDS)
    );
    let metrics = done(&mut portkeep(["metrics"]));
    let counted = format!(
        "portkeep_refusals_total{{call=\"bind\",protocol=\"udp\"}} {}\n",
        2 * BINDS
    );
    assert!(metrics.contains(&counted), "{metrics}");
}

fn control_codes_in_names_do_not_reach_the_terminal(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut lines = Running::start(portkeep(["watch", "--color=always"]));
    lines.line();
    let mut documents = Watching::start(&[]);
    let (own, others) = Channel::pair();
    let _holder = proc::fork_child(|| {
        nix::sys::prctl::set_name(c"a\x1b[2J b\nc\xff\x9b").expect("PR_SET_NAME");
        let _held = acquire(Protocol::Tcp, 20000..=20000);
        refuse_bind(20000);
        others.send(0);
        loop {
            nix::unistd::pause();
        }
    });
    assert_eq!(own.recv(), 0);
    for _ in 0..2 {
        let line = lines.line();
        assert!(line.contains(r"(a\u{1b}[2J b\nc\xff\x9b)"), "{line:?}");
        let mut codes = line.split('\x1b').skip(1);
        let is_color = |code: &str| {
            let (numbers, _) = code.strip_prefix('[')?.split_once('m')?;
            numbers.parse::<u8>().ok()
        };
        assert!(codes.all(|code| is_color(code).is_some()), "{line:?}");
    }
    for event in documents.expect(&["acquired", "bind_refused"]) {
        assert_eq!(event["command"], "a\u{1b}[2J b\nc\\xff\\x9b");
    }
}

fn a_reader_that_leaves_ends_it(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let shell = |script: &str| {
        Command::new("sh")
            .args(["-c", script, PORTKEEP])
            .stdin(Stdio::null())
            .output()
            .expect("start a shell")
    };
    // Although nothing happens that it could write.
    for (options, line) in [("", "  watching\n"), ("--json", "\"lost\":null}\n")] {
        let output = shell(&format!(
            "{{ \"$0\" watch {options}; echo $? >&2; }} | head -1"
        ));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "0\n");
        assert!(output.stdout.ends_with(line.as_bytes()), "{output:?}");
        eventually(|| watchers() == 0);
    }
    // A disk without room is no reader that has seen enough.
    let output = shell("\"$0\" watch >/dev/full; echo $? >&2");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("No space left on device"), "{said}");
    assert!(said.ends_with("\n1\n"), "{said}");
    eventually(|| watchers() == 0);
}

fn ctrl_c_ends_it(sandbox: &Sandbox) {
    use std::os::unix::process::ExitStatusExt as _;
    enable::enable(sandbox);
    let mut watching = Watching::start(&[]);
    watching.0.signal(Signal::SIGINT);
    assert_eq!(watching.0.wait().signal(), Some(libc::SIGINT));
    assert_eq!(watching.0.rest(), "");
}

fn wrong_usage() {
    for words in [
        &["watch", "--port", "0"][..],
        &["watch", "--port", "9-8"],
        &["watch", "--json=yes"],
        &["watch", "8080"],
    ] {
        misused(words);
    }
}

fn without_the_kernel_part_it_is_refused(_: &Sandbox) {
    portkeep_tests::without_portkeep();
    let hint = hint(&mut portkeep(["watch"]));
    assert!(hint.contains("portkeep enable"), "{hint}");
}

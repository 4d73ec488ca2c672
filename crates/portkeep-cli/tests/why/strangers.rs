//! What `why` tells those who may not see all, and where there is no kernel part.

use portkeep_tests::{Protocol, Sandbox, assert_ok, enable, sock};

use crate::common::json::document;
use crate::common::kernel_part::acquire;
use crate::common::python::python;
use crate::common::{EVERYBODY, Running, USER, done, portkeep, portkeep_as_user, user_name};
use crate::words;

pub fn an_ordinary_user_learns_who_reserves(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut holder = Running::start(portkeep(["hold", "--tcp", "20000-20003"]));
    assert_eq!(holder.line(), "20000-20003/tcp");
    let text = done(&mut portkeep_as_user(["why", "20001/tcp"]));
    let owner = format!("process {} (portkeep), user root, since ", holder.pid());
    assert!(
        text.starts_with(&format!("20001/tcp is reserved by {owner}")),
        "{text}"
    );
    let document = document(&mut portkeep_as_user(["why", "20001/tcp", "--json"]));
    assert_eq!(document["reservation"]["pid"], holder.pid().as_raw());
}

pub fn processes_of_others_are_hidden(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let (tcp, udp) = (sock::tcp4(), sock::udp6());
    assert_ok!(sock::bind_any(&tcp, 20000));
    assert_ok!(sock::listen(&tcp));
    assert_ok!(sock::bind_any(&udp, 20000));
    for (port, doing) in [
        ("20000/tcp", "listening on 0.0.0.0:20000"),
        ("20000/udp", "bound to [::]:20000"),
    ] {
        let text = done(&mut portkeep_as_user(["why", port]));
        let hidden = "a process that you may not see, user root";
        let expected = [
            format!("{port} is bound by:"),
            format!("  {hidden}: {doing}"),
            "Note: processes of other users are not shown to you.".to_owned(),
            "Hint: run this as root".to_owned(),
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        let document = document(&mut portkeep_as_user(["why", port, "--json"]));
        let socket = &document["sockets"][0];
        assert_eq!(socket["processes_hidden"], true, "{document}");
        assert_eq!(
            socket["processes"].as_array().map(Vec::len),
            Some(0),
            "{document}"
        );
        assert_eq!(socket["user"], "root");
        // Root is shown them, and gets no note.
        let text = words(port);
        let own = format!("  process {} (", std::process::id());
        assert!(
            text.lines()
                .nth(1)
                .is_some_and(|line| line.starts_with(&own)),
            "{text}"
        );
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}

pub fn the_own_processes_are_shown(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let program = python(
        "server = bind('tcp', 20000)
server.listen()
say(os.getpid())
wait()",
    );
    let words = ["run", "--tcp", "20000-20000", "--"].map(str::to_owned);
    let mut running = Running::start(portkeep_as_user(words.iter().chain(&program)));
    let python = running.line_as_pid();
    let document = document(&mut portkeep_as_user(["why", "20000/tcp", "--json"]));
    let socket = &document["sockets"][0];
    assert_eq!(socket["processes"][0]["pid"], python.as_raw(), "{document}");
    assert_eq!(socket["processes"][0]["user"], user_name(USER));
    assert_eq!(
        (&socket["uid"], &socket["processes_hidden"]),
        (&USER.into(), &false.into())
    );
    assert_eq!(document["state"], "reserved");
    running.go_on();
    assert_eq!(running.code(), 0);
}

/// Sockets and settings are told all the same.
pub fn without_the_kernel_part_it_says_so(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let socket = sock::udp4();
    assert_ok!(sock::bind_any(&socket, 20000));
    for command in EVERYBODY {
        let text = done(&mut command(&["why", "20000/udp"]));
        let note = "Note: reservations are not shown: Portkeep is not enabled here.";
        assert!(text.starts_with("20000/udp is bound by:\n"), "{text}");
        assert!(
            text.contains(&format!("\n{note}\nHint: run `portkeep enable` as root")),
            "{text}"
        );
        let document = document(&mut command(&["why", "20000/udp", "--json"]));
        assert_eq!(document["state"], "bound");
        let notes = document["notes"].as_array().expect("an array");
        let note = "reservations are not shown: Portkeep is not enabled here";
        assert!(notes.iter().any(|it| it == note), "{document}");
    }
    enable::enable(sandbox);
    let _held = acquire(Protocol::Tcp, 20000..=20000);
    assert!(!words("20000/tcp").contains("not shown"));
}

/// As in a container whose processes the kernel part serves, but which has no bpf file system.
pub fn without_the_list_it_does_not_say_free(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _held = acquire(Protocol::Tcp, 20000..=20000);
    let elsewhere = |words: &[&str]| {
        let mut command = portkeep(words);
        command.env("PORTKEEP_BPFFS", sandbox.state_dir());
        command
    };
    let text = done(&mut elsewhere(&["why", "20000/tcp"]));
    assert!(
        text.starts_with("No socket is bound to 20000/tcp; it is unknown whether it is reserved."),
        "{text}"
    );
    assert!(
        text.contains("\nNote: reservations are not shown: "),
        "{text}"
    );
    for (port, state) in [("20000/tcp", "unknown"), ("40000/tcp", "unknown")] {
        let document = document(&mut elsewhere(&["why", port, "--json"]));
        assert_eq!(document["state"], state);
    }
    let socket = sock::udp4();
    assert_ok!(sock::bind_any(&socket, 20000));
    let document = document(&mut elsewhere(&["why", "20000/udp", "--json"]));
    assert_eq!(document["state"], "bound");
}

/// The socket that holds a port looks like any other; that it is a reservation is said.
pub fn what_is_held_by_sockets_is_told(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    for command in EVERYBODY {
        let mut hold = Running::start(command(&["hold", "--udp", "20000-20001"]));
        assert_eq!(hold.line(), "20000-20001/udp");
        let text = done(&mut command(&["why", "20001/udp"]));
        assert!(text.starts_with("20001/udp is bound by:\n"), "{text}");
        let pid = hold.pid();
        let note = format!(
            "\nNote: 20000-20001/udp is held, as a reservation, by process {pid} (portkeep), user "
        );
        assert!(text.contains(&note), "{text}");
        assert!(!done(&mut command(&["why", "20002/udp"])).contains("held"));
    }
}

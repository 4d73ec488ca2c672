//! `portkeep map`: the port space as a picture. The pictures themselves are compared in `src/port_map/tests.rs`.

mod common;

use std::ffi::CStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use portkeep_tests::socket2::Socket;
use portkeep_tests::{Channel, Protocol, Sandbox, assert_ok, enable, proc, raw, sock, trials};

use common::kernel_part::acquire;
use common::{USER, done, misused, portkeep, portkeep_as_user, user_name};

trials! {
    root:
        it_shows_what_there_is,
        it_fits_the_width,
        it_speaks_the_terminals_language,
        other_namespaces_have_other_pictures,
        without_the_kernel_part_sockets_are_shown,
        an_svg_file_is_a_whole_picture,
        pipes_and_devices_are_not_replaced,
        the_documents_show_what_it_prints;
    plain:
        wrong_usage;
}

fn map(words: &[&str]) -> String {
    let words = [&["map", "--tcp"], words].concat();
    done(
        portkeep(words)
            .env("LC_ALL", "C.UTF-8")
            .env("COLUMNS", "80"),
    )
}

fn it_shows_what_there_is(sandbox: &Sandbox) {
    enable::enable(sandbox);
    common::kernel_part::set_ipv4("ip_local_port_range", "20040 20047");
    let _held = acquire(Protocol::Tcp, 20000..=20003);
    done(&mut portkeep([
        "reserve",
        "20008-20009/tcp",
        "--user",
        &user_name(USER),
        "--comment",
        "RTP",
    ]));
    done(&mut portkeep(["exclude", "20016/tcp"]));
    let listener = sock::tcp4();
    assert_ok!(sock::bind_any(&listener, 20024));
    assert_ok!(sock::listen(&listener));
    let text = map(&["20000-20063"]);
    let pid = std::process::id();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("tcp 20000-20063, one port in each cell"));
    let row = "20000 ████····◆◆······╳·······●···············∿∿∿∿∿∿∿∿················";
    assert_eq!(lines.next(), Some(row));
    let legend = lines.collect::<Vec<_>>().join("\n");
    for line in [
        "█ ▌  reserved: 4 ports\n       20000-20003: process ".to_owned() + &pid.to_string(),
        format!(
            "◆ ◇  persistent: 2 ports\n       20008-20009: user {} (RTP)",
            user_name(USER)
        ),
        "╳ ×  excluded: 1 port\n       20016: everybody".to_owned(),
        "● ○  in use: 1 port\n       20024: process ".to_owned() + &pid.to_string(),
        "∿    automatic range: 8 ports".to_owned(),
        "·    free: 48 ports".to_owned(),
    ] {
        assert!(legend.contains(&line), "{line}: {legend}");
    }
    // A user sees the same picture, and not the processes of others.
    let mut command = portkeep_as_user(["map", "--tcp", "20000-20063"]);
    let text = done(command.env("LC_ALL", "C.UTF-8").env("COLUMNS", "80"));
    assert!(
        text.contains(row) && text.contains("20024: an unknown process"),
        "{text}"
    );
    // The pool and the other protocol.
    let text = map(&["60992-61007"]);
    assert!(text.contains("60992 ········░░░░░░░░\n"), "{text}");
    let both = done(portkeep(["map", "20000-20063"]).env("LC_ALL", "C.UTF-8"));
    assert!(both.contains("\n\nudp 20000-20063, "), "{both}");
}

fn it_fits_the_width(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _held = acquire(Protocol::Tcp, 20000..=20003);
    for width in [20, 40, 72, 80, 200] {
        let mut command = portkeep(["map"]);
        let text = done(
            command
                .env("LC_ALL", "C.UTF-8")
                .env("COLUMNS", width.to_string()),
        );
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(width), "{width}: {text}");
        let rows = text.lines().take_while(|line| !line.is_empty()).count();
        assert_eq!(rows, if width < 40 { 18 } else { 17 }, "{text}");
    }
    // Neither a terminal nor a width that makes sense.
    let of = |columns: &str| {
        let mut command = portkeep(["map", "--tcp"]);
        command.env("LC_ALL", "C.UTF-8").env("TERM", "dumb");
        done(command.env("COLUMNS", columns))
    };
    let usual = of("80");
    assert!(!usual.contains('\x1b'));
    for columns in ["", "0", "x", "-1", "99999999999999999999"] {
        assert_eq!(of(columns), usual, "{columns:?}");
    }
    for columns in ["1", "5", "65536", "18446744073709551615"] {
        let text = of(columns);
        assert!(text.contains("4 ports"), "{columns}: {text}");
    }
}

fn it_speaks_the_terminals_language(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _held = acquire(Protocol::Tcp, 20000..=20003);
    let plain = |locale: &str, words: &[&str]| {
        let words = [&["map", "20000-20007"], words].concat();
        done(portkeep(words).env("LC_ALL", locale))
    };
    assert!(plain("C", &[]).contains("20000 ####....\n"));
    assert!(plain("en_US.utf8", &[]).contains("20000 ████····\n"));
    assert!(plain("C.UTF-8", &["--ascii"]).is_ascii());
    let colored = plain("C.UTF-8", &["--color=always"]);
    assert!(
        colored.contains("20000 \x1b[1m\x1b[32m████\x1b[0m\x1b[2m····\x1b[0m\n"),
        "{colored:?}"
    );
}

fn other_namespaces_have_other_pictures(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _held = acquire(Protocol::Tcp, 20000..=20003);
    let code = proc::in_netns(|| {
        let text = map(&["20000-20007"]);
        assert!(text.contains("20000 ········\n"), "{text}");
        0
    });
    assert_eq!(code, 0);
    let text = map(&["20000-20007", "--netns", &std::process::id().to_string()]);
    assert!(text.contains("20000 ████····\n"), "{text}");
}

fn without_the_kernel_part_sockets_are_shown(_: &Sandbox) {
    portkeep_tests::without_portkeep();
    let listener = sock::tcp4();
    assert_ok!(sock::bind_any(&listener, 20001));
    assert_ok!(sock::listen(&listener));
    let text = map(&["20000-20007"]);
    assert!(text.contains("20000 ·●······\n"), "{text}");
}

fn an_svg_file_is_a_whole_picture(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _held = acquire(Protocol::Tcp, 20000..=20003);
    fs::create_dir_all(sandbox.state_dir()).expect("make a directory");
    let file = sandbox.state_dir().join("map.svg");
    assert_eq!(done(portkeep(["map", "--svg"]).arg(&file)), "");
    let script = "import sys, xml.etree.ElementTree as t\nroot = t.parse(sys.argv[1]).getroot()\n\
                  print(root.tag, root.get('role'))";
    let told = done(
        Command::new("/usr/bin/python3")
            .args(["-c", script])
            .arg(&file),
    );
    assert_eq!(told, "{http://www.w3.org/2000/svg}svg img\n");
    let text = fs::read_to_string(&file).expect("read");
    assert!(text.contains("reserved: 4") && text.contains("20000-20003: process "));
    assert!(text.contains("tcp 0-65535") && text.contains("udp 0-65535"));
    assert_eq!(text.matches("http").count(), 1, "nothing but the namespace");
}

/// The pages of the repository with a picture.
const PAGES: [&str; 2] = ["README.md", "docs/watch.md"];

/// Starts the picture in a page, and ends it.
const FENCES: [&str; 2] = ["```\ntcp 20000-20127, ", "```\n"];

/// The pictures in the documents are the command's. After a change that is meant:
/// `PORTKEEP_WRITE_PICTURES=1 cargo test -p portkeep-cli --test map`, and read the diff.
fn the_documents_show_what_it_prints(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let users = [("alice", 4100), ("asterisk", 4101), ("www-data", 4102)];
    common::accounts::add(sandbox, &users, &[]);
    enable::enable(sandbox);
    common::kernel_part::set_ipv4("ip_local_port_range", "20064 20095");
    let reserve = ["reserve", "20014-20021/tcp", "--user", "asterisk"];
    done(portkeep(reserve).args(["--comment", "RTP"]));
    done(&mut portkeep(["exclude", "20032/tcp"]));
    let pytest = holder(c"pytest", 4100, || {
        let socket = sock::tcp4();
        assert_ok!(raw::acquire4(&socket, 20000, 10));
        socket
    });
    let nginx = holder(c"nginx", 4102, || {
        let socket = sock::tcp4();
        assert_ok!(sock::bind_any(&socket, 20056));
        assert_ok!(sock::listen(&socket));
        socket
    });
    let picture = map(&["20000-20127"])
        .replace(
            &format!("process {} (pytest)", pytest.pid()),
            "process 4711 (pytest)",
        )
        .replace(
            &format!("process {} (nginx)", nginx.pid()),
            "process 812 (nginx)",
        );
    for page in PAGES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(page);
        let text = fs::read_to_string(&path).expect("read the page");
        let start = text.find(FENCES[0]).expect("a picture") + "```\n".len();
        let length = text[start..].find(FENCES[1]).expect("its end");
        if std::env::var_os("PORTKEEP_WRITE_PICTURES").is_some() {
            let (before, after) = (&text[..start], &text[start + length..]);
            fs::write(&path, format!("{before}{picture}{after}")).expect("write the page");
        } else {
            assert_eq!(&text[start..start + length], picture, "{page}");
        }
    }
}

/// A process of this name and user that has the socket until it is dropped.
fn holder(name: &CStr, uid: u32, open: impl FnOnce() -> Socket) -> proc::Child {
    let (own, others) = Channel::pair();
    let child = proc::fork_child(|| {
        nix::sys::prctl::set_name(name).expect("PR_SET_NAME");
        proc::drop_privileges(uid, uid);
        let _held = open();
        others.send(0);
        loop {
            nix::unistd::pause();
        }
    });
    assert_eq!(own.recv(), 0);
    child
}

/// A rename would put a file in their place, for everybody.
fn pipes_and_devices_are_not_replaced(sandbox: &Sandbox) {
    use std::os::unix::fs::FileTypeExt as _;
    let pipe = sandbox.state_dir().join("pipe");
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
    nix::unistd::mkfifo(&pipe, mode).expect("make a FIFO");
    let link = sandbox.state_dir().join("link");
    std::os::unix::fs::symlink(&pipe, &link).expect("link");
    for path in [&pipe, &link] {
        for words in [&["map", "--svg"][..], &["metrics", "--textfile"]] {
            let said = common::outcome(portkeep(words).arg(path));
            assert_eq!(said.code, Some(1), "{said:?}");
            assert!(said.stderr.contains("not a regular file"), "{said:?}");
        }
    }
    let kind = fs::symlink_metadata(&pipe).expect("stat").file_type();
    assert!(kind.is_fifo());
    let kind = fs::symlink_metadata(&link).expect("stat").file_type();
    assert!(kind.is_symlink());
}

fn wrong_usage() {
    for words in [
        &["map", "2-1"][..],
        &["map", "65536"],
        &["map", "x"],
        &["map", "--svg"],
        &["map", "--owners", "x"],
    ] {
        misused(words);
    }
}

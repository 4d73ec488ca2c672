//! No byte of a name that somebody else chose reaches the terminal, or hides in a document, unless it
//! shows as itself.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use portkeep::abi;
use portkeep_tests::{Sandbox, assert_ok, raw, sock};
use serde_json::Value;

use crate::common::persistent::store_file;
use crate::common::python::python;
use crate::common::{Running, USER, done, portkeep};

/// ESC, BEL, C0, DEL, C1, what changes the direction, what has no width, other line breaks.
const TEXT: &str = "a\x1b]0;pwn\x07\x1b[31m\x08\r\x7f\u{85}\u{9b}31m\u{202e}\u{202a}\u{2066}\u{2069}\
    \u{200e}\u{200f}\u{61c}\u{200b}\u{2028}\u{2029}\u{feff}z";

/// The same, with bytes that are no UTF-8: C1 codes of terminals of 8 bits, and a letter cut short.
fn bytes() -> Vec<u8> {
    [TEXT.as_bytes(), b"\x9b31m\xff\xe2\x82"].concat()
}

/// Runs the command; its output is fit for a terminal, whatever it comes to.
#[track_caller]
fn run(words: &[&str]) -> String {
    fit(words, &portkeep(words).output().expect("start the command"))
}

#[track_caller]
fn fit(words: &[&str], output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8(said).unwrap_or_else(|error| panic!("{words:?}: {error:?}"));
    let hostile = TEXT.chars().filter(|it| !it.is_ascii_graphic());
    for character in hostile.chain(['\u{9c}', '\0']) {
        assert!(
            !text.contains(character),
            "{words:?}: {character:?} in {text:?}"
        );
    }
    text
}

/// As [`run`] for a document, in which the names are what they were.
#[track_caller]
fn document(words: &[&str]) -> Value {
    let text = run(words);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?}: {error}: {text}"))
}

/// All that print what there is.
#[track_caller]
fn look(port: &str) {
    for words in [&["ls"][..], &["status"], &["why", port]] {
        run(words);
        document(&[words, &["--json"]].concat());
    }
}

/// The one that takes long.
#[track_caller]
fn examine() {
    run(&["doctor"]);
    document(&["doctor", "--json"]);
}

/// Makes a cgroup of a hostile name below a directory.
fn make_cgroup(below: &Path, name: &[u8]) -> PathBuf {
    let path = below.join(OsStr::from_bytes(name));
    fs::create_dir(&path).expect("make a cgroup");
    path
}

pub fn of_cgroups(sandbox: &Sandbox) {
    done(&mut portkeep(["enable"]));
    for (port, name) in [(7100, TEXT.as_bytes().to_vec()), (7200, bytes())] {
        let cgroup = make_cgroup(sandbox.cgroup(), &name);
        let id = fs::metadata(&cgroup).expect("look").ino();
        let consumer = (abi::PORTKEEP_CONSUMER_CGROUP, id);
        assert_ok!(raw::create(sock::tcp4(), port, 1, 0, &[consumer]));
        let argument = format!("{port}/tcp");
        look(&argument);
        examine();
        // Stores what only the kernel part has, and tells.
        run(&["enable"]);
        look(&argument);
        run(&["unreserve", &argument]);
        // As a control cgroup, a consumer, and where programs are attached.
        let output = portkeep(["enable", "--control"])
            .arg(&cgroup)
            .output()
            .expect("start the command");
        fit(&["enable", "--control"], &output);
        look(&argument);
        examine();
        let mut reserve = portkeep(["reserve", &argument, "--cgroup"]);
        let output = reserve.arg(&cgroup).output().expect("start the command");
        fit(&["reserve"], &output);
        look(&argument);
        run(&["unreserve", &argument]);
        run(&["disable"]);
        let output = portkeep(["enable", "--cgroup"])
            .arg(&cgroup)
            .output()
            .expect("start the command");
        fit(&["enable", "--cgroup"], &output);
        look(&argument);
        run(&["disable"]);
        done(&mut portkeep(["enable", "--control", "all"]));
        fs::remove_dir(&cgroup).expect("remove the cgroup");
    }
}

/// Takes its first argument for a name, and holds a port of either protocol.
const HOSTILE_PROCESS: &str = "
import ctypes
ctypes.CDLL(None).prctl(15, os.fsencode(sys.argv[1]), 0, 0, 0)
sockets = [bind(protocol, 7300) for protocol in KINDS]
print(flush=True)
sys.stdin.read()
";

pub fn of_processes(_: &Sandbox) {
    // The first 15 bytes are the name; the arguments are longer.
    for name in [
        &b"\x1b[31m\xc2\x9b\xe2\x80\xae\x07\r"[..],
        b"\x9b31m\xff\x1b[\xe2\x82\n\\x",
    ] {
        let [interpreter, words @ ..] = python(HOSTILE_PROCESS);
        let mut command = Command::new(interpreter);
        command
            .args(words)
            .arg(OsStr::from_bytes(name))
            .arg(OsStr::from_bytes(&bytes()));
        let mut process = Running::start(command);
        assert_eq!(process.line(), "");
        let pid = process.pid().to_string();
        for port in ["7300/tcp", "7300/udp"] {
            let text = run(&["why", port]);
            assert!(text.contains(&format!("process {pid} (")), "{text}");
            let document = document(&["why", port, "--json"]);
            let found = &document["sockets"][0]["processes"][0];
            assert_eq!(found["pid"].to_string(), pid, "{document}");
        }
        done(&mut portkeep(["enable"]));
        let text = run(&["reserve", "7300/both"]);
        assert!(text.contains(&format!("process {pid} (")), "{text}");
        run(&["exclude", "7300/tcp"]);
        look("7300/tcp");
        run(&["include", "7300/tcp"]);
        done(&mut portkeep(["disable"]));
    }
}

pub fn of_what_an_administrator_wrote(sandbox: &Sandbox) {
    done(&mut portkeep(["enable"]));
    run(&["reserve", "7400/tcp", "--comment", TEXT]);
    run(&["exclude", "7401/tcp", "--comment", TEXT]);
    run(&[
        "reserve", "7402/tcp", "--user", TEXT, "--group", TEXT, "--cgroup", TEXT,
    ]);
    run(&["reserve", "7403/tcp", "--netns", TEXT]);
    for port in ["7400/tcp", "7401/tcp"] {
        look(port);
    }
    let list = document(&["ls", "--json"]);
    assert_eq!(list["reservations"][0]["comment"], TEXT, "{list}");
    // A store that is no store, as the message shows it.
    for damage in [format!("a = '{TEXT}'\n").into_bytes(), bytes()] {
        let store = fs::read(store_file(sandbox)).expect("read the store");
        fs::write(store_file(sandbox), [&store[..], &damage].concat()).expect("damage it");
        look("7400/tcp");
        examine();
        for words in [
            &["enable"][..],
            &["unreserve", "7400/tcp"],
            &["reserve", "1/tcp"],
        ] {
            run(words);
        }
        fs::write(store_file(sandbox), store).expect("mend it");
    }
    run(&["disable"]);
}

/// Paths, as of a bpf file system in a directory that somebody else has made.
pub fn of_places(sandbox: &Sandbox) {
    // Nothing can be pinned below a path that is no UTF-8, and that is told.
    for (name, can_be) in [(TEXT.as_bytes().to_vec(), true), (bytes(), false)] {
        let place = sandbox.state_dir().join(OsStr::from_bytes(&name));
        let folder = place.join("portkeep");
        fs::create_dir(&place).expect("make a directory");
        let with_places = |words: &[&str]| {
            let mut command = portkeep(words);
            command
                .env("PORTKEEP_BPFFS", &place)
                .env("PORTKEEP_STATE_DIR", place.with_extension("state"));
            fit(words, &command.output().expect("start the command"));
        };
        let see = || {
            for words in [
                "ls",
                "status",
                "ls --json",
                "status --json",
                "doctor --json",
            ] {
                with_places(&words.split(' ').collect::<Vec<_>>());
            }
        };
        for words in [
            &["enable"][..],
            &["reserve", "7500/tcp"],
            &["why", "7500/tcp"],
        ] {
            with_places(words);
        }
        see();
        assert_eq!(folder.is_dir(), can_be);
        if can_be {
            // What is there is not root's any more: refused, in words with the path.
            chown(&folder, Some(USER), None).expect("give it away");
            with_places(&["disable"]);
            see();
            chown(&folder, Some(0), None).expect("take it back");
        }
        with_places(&["disable"]);
        with_places(&["doctor"]);
    }
    let place = sandbox.state_dir().join(OsStr::from_bytes(&bytes()));
    let mut run = portkeep(["run", "--tcp", "1", "--"]);
    run.arg(place.join("command")).stdin(Stdio::null());
    fit(&["run"], &run.output().expect("start the command"));
}

//! `run --preload`, where nothing else leads to the sockets.

use std::fs;

use portkeep_tests::{Protocol, Sandbox, ports::probe_free};

use crate::cage::{EVERYBODY, build, portkeep};
use crate::common::done;
use crate::common::python::python;
use crate::profile::{ALL, NONE, NOTHING};

/// A Python program under `run --preload`, with these words before it.
fn words<'a>(run: &[&'a str], program: &'a [String]) -> Vec<&'a str> {
    let [_, program @ ..] = program else {
        unreachable!("the words of a program");
    };
    let python = ["/usr/bin/python3"];
    let program = program.iter().map(String::as_str);
    let run = ["run", "--preload"].iter().chain(run).copied();
    run.chain(["--"]).chain(python).chain(program).collect()
}

/// All ports at once, and again after each close.
pub fn under_every_profile(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let program = build(sandbox, "cycles.c", &[]);
    for profile in ALL.into_iter().chain([NOTHING]) {
        for who in EVERYBODY {
            let words = ["run", "--preload", "--both", "20000-20049", "--", &program];
            let said = done(&mut portkeep(profile, who, &words));
            assert_eq!(said, "0 of 100 failed\n", "{} {who:?}", profile.name);
        }
    }
}

/// Nobody reaches the sockets of a program that has forbidden to be looked at.
pub fn a_program_that_is_undumpable(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let program = python(
        "import ctypes
assert ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) == 0
say(attempts())",
    );
    let with = words(&["--both", "20000-20000"], &program);
    let without: Vec<_> = with
        .iter()
        .copied()
        .filter(|it| *it != "--preload")
        .collect();
    for who in EVERYBODY {
        let said = done(&mut portkeep(NONE, who, &with));
        assert_eq!(said, "20000/tcp:bound 20000/udp:bound\n", "{who:?}");
        let said = done(&mut portkeep(NONE, who, &without));
        assert_eq!(
            said, "20000/tcp:EADDRINUSE 20000/udp:EADDRINUSE\n",
            "{who:?}"
        );
    }
}

pub fn a_static_program_is_refused(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let program = build(sandbox, "cycles.c", &["-static"]);
    for who in EVERYBODY {
        let words = ["run", "--preload", "--tcp", "20000-20001", "--", &program];
        let outcome = crate::common::outcome(&mut portkeep(NOTHING, who, &words));
        assert!(outcome.stdout.ends_with("2 of 2 failed\n"), "{outcome:?}");
        assert!(
            outcome.stderr.contains("Address already in use"),
            "{outcome:?}"
        );
        assert_eq!(probe_free(Protocol::Tcp, 20000..=20001), []);
    }
}

/// The runs within one have no filter of their own; the library asks the outermost.
pub fn runs_within_it(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let program = python(
        "import subprocess
inner = 'import socket, sys; socket.create_server((str(), int(sys.argv[1])))'
for option in (['--preload'], []):
    words = ['./portkeep', 'run', *option, '--tcp', 'P=1', '--', sys.executable, '-ISc', inner, '{P}']
    say(subprocess.run(words).returncode)
say(attempts())",
    );
    let words = words(&["--both", "20000-20000"], &program);
    for who in EVERYBODY {
        let said = done(&mut portkeep(NOTHING, who, &words));
        assert_eq!(said, "0\n0\n20000/tcp:bound 20000/udp:bound\n", "{who:?}");
    }
}

/// What a program sends by the channel harms nobody but itself, and the library leaves no file.
pub fn rubbish_and_silence(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let program = python(
        "import array, ctypes, pathlib
listen = ctypes.CDLL(None).listen
pathlib.Path(sys.argv[1]).write_text(os.environ['LD_PRELOAD'])
kept = []
def knock():
    number = listen(-1, 0x504b0001)
    assert number >= 0
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, number)
def sent(data, *descriptors):
    channel = knock()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', descriptors))] if descriptors else []
    channel.sendmsg([data], rights)
    return channel.recv(4)
for _ in range(8):
    kept.append(knock())
port = own('tcp')[0].to_bytes(2, 'big')
asks_to_bind = (-1).to_bytes(4, 'little', signed=True)
family = (2).to_bytes(2, 'little')
tcp = socket.socket()
for data, descriptors in (
        (b'x', ()), (b'x' * 136, (tcp.fileno(),)), (b'x' * 4096, (0,)), (asks_to_bind + b'\\xff' * 132, (tcp.fileno(),)),
        (asks_to_bind + (16).to_bytes(4, 'little') + family + port + bytes(124), ())):
    answer = sent(data, *descriptors)
    assert answer in (b'', asks_to_bind), answer
pipe = os.pipe()
for number in pipe:
    address = family + port + bytes([127, 0, 0, 1]) + bytes(120)
    answer = sent(asks_to_bind + (16).to_bytes(4, 'little') + address, number)
    assert answer in (b'', asks_to_bind), answer
assert tcp.getsockname()[1] == 0
say(attempts())",
    );
    let file = std::env::temp_dir().join(format!("portkeep-preloaded-{}", std::process::id()));
    let text = file.to_str().expect("a path in UTF-8").to_owned();
    for who in EVERYBODY {
        let mut words = words(&["--both", "20000-20000"], &program);
        words.push(&text);
        let said = done(&mut portkeep(NOTHING, who, &words));
        assert_eq!(said, "20000/tcp:bound 20000/udp:bound\n", "{who:?}");
        let library = fs::read_to_string(&file).expect("the name of the library");
        fs::remove_file(&file).expect("remove it");
        let library = std::path::Path::new(&library);
        assert!(library.is_absolute() && !library.exists(), "{library:?}");
        assert!(!library.parent().is_some_and(std::path::Path::exists));
    }
    let _ = sandbox;
}

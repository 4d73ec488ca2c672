//! Runs and holds within a run.

use nix::sys::signal::{Signal, kill};
use portkeep_tests::ports::probe_free;
use portkeep_tests::{Protocol, Sandbox, enable};

use crate::cage::{EVERYBODY, Who, portkeep};
use crate::common::python::python;
use crate::common::{Running, done, eventually};
use crate::profile::{ALL, CONTAINERD_BEFORE_1_7, DOCKER, NONE, Profile};

/// The words that run a Python program, by the Python that every user may execute.
fn program(text: &str) -> Vec<String> {
    let [_, program @ ..] = python(text);
    let python = "/usr/bin/python3".to_owned();
    [python].into_iter().chain(program).collect()
}

fn run(profile: Profile, who: Who, ports: &[&str], program: &[String]) -> std::process::Command {
    let program = program.iter().map(String::as_str);
    let words: Vec<&str> = ["run"]
        .into_iter()
        .chain(ports.iter().copied())
        .chain(["--"])
        .chain(program)
        .collect();
    portkeep(profile, who, &words)
}

/// Of one level: runs the next one, then binds to its own ports and to those of the levels around it.
const LEVEL: &str = "
import subprocess
depth, seen = int(sys.argv[1]), [int(port) for port in sys.argv[2].split(',') if port]
assert not set(own('tcp')) & set(seen), (own('tcp'), seen)
seen += own('tcp')
if depth > 1:
    around = ','.join(map(str, seen))
    words = ['./portkeep', 'run', '--both', '3', '--', sys.executable, '-I', '-S', '-c', PROGRAM]
    inner = subprocess.run(words + [str(depth - 1), around], env={})
    assert inner.returncode == 0, inner
said = {attempt(protocol, port) for port in seen for protocol in KINDS for _ in range(5)}
say(depth, len(seen), *said)
";

/// Without an environment: each level has ports of its own, and all levels bind to those around them.
pub fn three_deep(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let text = format!("PROGRAM = open('/proc/self/cmdline').read().split('\\0')[4]\n{LEVEL}");
    let mut words = program(&text);
    words.extend(["3".to_owned(), String::new()]);
    for profile in ALL {
        for who in EVERYBODY {
            let said = done(&mut run(profile, who, &["--both", "3"], &words));
            let name = profile.name;
            assert_eq!(said, "1 9 bound\n2 6 bound\n3 3 bound\n", "{name} {who:?}");
        }
    }
}

/// `hold` meets the outer ports as a stranger does, and nobody binds to what it holds.
pub fn hold_within_run(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let words = program(
        "import subprocess
words = ['./portkeep', 'hold', '--both', '2']
hold = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
held = int(hold.stdout.readline().split('-')[0])
say(held not in own('tcp'), attempt('tcp', held), attempt('udp', held), attempts().count(':bound'))
hold.terminate()
hold.wait()
say(attempt('tcp', held))",
    );
    for profile in [NONE, DOCKER, CONTAINERD_BEFORE_1_7] {
        for who in EVERYBODY {
            let said = done(&mut run(profile, who, &["--both", "2"], &words));
            let name = profile.name;
            let expected = "True EADDRINUSE EADDRINUSE 4\nbound\n";
            assert_eq!(said, expected, "{name} {who:?}");
        }
    }
}

pub fn named_ports_of_the_outer_run_are_refused(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let words = program(
        "import subprocess
for command in (['run', '--tcp', '20000-20000', '--', 'true'], ['hold', '--udp', '20000-20000']):
    inner = subprocess.run(['./portkeep'] + command, stderr=subprocess.PIPE, text=True)
    say(inner.returncode != 0, 'reserved' in inner.stderr)
say(attempts())",
    );
    for profile in [NONE, DOCKER, CONTAINERD_BEFORE_1_7] {
        let ports = ["--both", "20000-20000"];
        let said = done(&mut run(profile, Who::User, &ports, &words));
        let bound = "20000/tcp:bound 20000/udp:bound";
        assert_eq!(said, format!("True True\nTrue True\n{bound}\n"));
    }
}

/// What the outer command starts beside the inner run is a stranger to its ports; what the inner command
/// leaves behind is not.
pub fn a_sibling_is_refused_and_an_orphan_is_not(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let inner = python(
        "say('inner', attempts())
if os.fork():
    sys.exit(0)
os.setsid()
wait()
say('orphan', attempts())
wait()",
    )[4]
    .clone();
    let words = program(
        "import subprocess
words = ['./portkeep', 'run', '--udp', '20005-20005', '--', sys.executable, '-I', '-S', '-c', sys.argv[1]]
inner = subprocess.Popen(words, stdin=subprocess.PIPE)
say(inner.wait())
say('sibling', attempt('udp', 20005))
inner.stdin.write(b'\\n')
inner.stdin.flush()
wait()",
    );
    let words = [words, vec![inner]].concat();
    for profile in [NONE, DOCKER, CONTAINERD_BEFORE_1_7] {
        for who in EVERYBODY {
            let ports = ["--tcp", "20000-20000"];
            let mut run = Running::start(run(profile, who, &ports, &words));
            assert_eq!(run.line(), "inner 20005/udp:bound", "{profile:?}");
            assert_eq!(run.line(), "0");
            assert_eq!(run.line(), "sibling EADDRINUSE");
            assert_eq!(run.line(), "orphan 20005/udp:bound");
            run.go_on();
            assert_eq!(run.code(), 0);
            eventually(|| probe_free(Protocol::Udp, 20005..=20005).is_empty());
            eventually(|| probe_free(Protocol::Tcp, 20000..=20000).is_empty());
        }
    }
}

/// The inner run goes on, and its command binds to the ports of both.
pub fn nothing_is_left_when_the_outer_command_ends_first(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let inner = python(
        "while os.getppid() == int(sys.argv[1]):
    pass
wait()
say(attempts(), attempt('tcp', 20000))
wait()",
    )[4]
    .clone();
    let words = program(
        "if os.fork() == 0:
    os.setsid()
    words = ['portkeep', 'run', '--tcp', '20005-20005', '--', sys.executable, '-I', '-S', '-c']
    os.execv('./portkeep', words + [sys.argv[1], '1'])",
    );
    let words = [words, vec![inner]].concat();
    for profile in [NONE, DOCKER, CONTAINERD_BEFORE_1_7] {
        let ports = ["--tcp", "20000-20000"];
        let mut run = Running::start(run(profile, Who::User, &ports, &words));
        assert_eq!(run.code(), 0);
        run.go_on();
        assert_eq!(run.line(), "20005/tcp:bound bound", "{profile:?}");
        run.go_on();
        assert_eq!(run.rest(), "");
        for port in [20000, 20005] {
            eventually(|| probe_free(Protocol::Tcp, port..=port).is_empty());
        }
    }
}

/// Its ports are free then, for its command as for anybody; the outer run's stay.
pub fn nothing_is_left_when_the_inner_holder_is_killed(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let inner = python(
        "say(os.getppid(), attempts())
wait()
say(attempts(), attempt('tcp', 20000))",
    )[4]
    .clone();
    let words = program(
        "import subprocess
# What the inner command waits for: both may be reading.
reading, writing = os.pipe()
words = ['./portkeep', 'run', '--tcp', '20005-20005', '--', sys.executable, '-I', '-S', '-c', sys.argv[1]]
inner = subprocess.run(words, stdin=reading, stderr=subprocess.DEVNULL)
say(inner.returncode)
wait()
os.write(writing, b'\\n')
wait()",
    );
    let words = [words, vec![inner]].concat();
    for profile in [NONE, DOCKER, CONTAINERD_BEFORE_1_7] {
        let ports = ["--tcp", "20000-20000"];
        let mut run = Running::start(run(profile, Who::User, &ports, &words));
        let line = run.line();
        let (holder, said) = line.split_once(' ').expect("a process id");
        assert_eq!(said, "20005/tcp:bound");
        let holder = nix::unistd::Pid::from_raw(holder.parse().expect("a process id"));
        kill(holder, Signal::SIGKILL).expect("kill the inner holder");
        assert_eq!(run.line(), "125");
        eventually(|| probe_free(Protocol::Tcp, 20005..=20005).is_empty());
        assert!(!probe_free(Protocol::Tcp, 20000..=20000).is_empty());
        run.go_on();
        assert_eq!(run.line(), "20005/tcp:bound bound");
        run.go_on();
        assert_eq!(run.code(), 0);
    }
}

/// The outer run's ports are held by sockets, and the kernel part is enabled since: an inner run has its
/// own kept by that.
pub fn with_the_kernel_part_inside(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let words = program(
        "import subprocess
say('ready')
wait()
inner = 'import os, socket; socket.socket().bind((\"\", int(os.environ[\"PORT\"]))); print(os.environ[\"PORT\"])'
words = ['./portkeep', 'run', '-v', '--tcp', '2', '--', sys.executable, '-ISc', inner]
inner = subprocess.run(words, capture_output=True, text=True)
say('kernel part' in inner.stderr, int(inner.stdout) not in own('tcp'))
say(attempts().count(':bound'))",
    );
    for profile in [NONE, DOCKER] {
        let mut run = Running::start(run(profile, Who::User, &["--tcp", "2"], &words));
        assert_eq!(run.line(), "ready");
        enable::enable(sandbox);
        run.go_on();
        assert_eq!(run.line(), "True True", "{profile:?}");
        assert_eq!(run.line(), "2");
        assert_eq!(run.code(), 0);
        portkeep_admin::remove(&enable::installation(sandbox)).expect("remove");
    }
}

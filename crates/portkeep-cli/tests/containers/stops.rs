//! What happens to a command while its threads are stopped and made to make calls.

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use portkeep_tests::Sandbox;

use crate::cage::{EVERYBODY, Who, portkeep};
use crate::common::python::python;
use crate::common::{Running, eventually};
use crate::profile::{CONTAINERD_BEFORE_1_7, DOCKER, NONE, Profile};

fn run(profile: Profile, who: Who, program: &str) -> Running {
    let [_, program @ ..] = python(program);
    let ports = ["run", "--both", "20000-20000", "--", "/usr/bin/python3"];
    let words: Vec<&str> = ports
        .into_iter()
        .chain(program.iter().map(String::as_str))
        .collect();
    Running::start(portkeep(profile, who, &words))
}

const BINDS: &str = "
import threading
say(os.getpid())
def binds():
    while True:
        said = attempts()
        assert said == '20000/tcp:bound 20000/udp:bound', said
threads = [threading.Thread(target=binds, daemon=True) for _ in range(1)]
for thread in threads:
    thread.start()
while True:
    wait()
    say('here')
";

fn state(process: Pid) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("its state");
    let after = stat.rsplit(") ").next().expect("a state");
    after.chars().next().expect("a state")
}

/// A stop that comes in the midst is kept: of the process, and of its group as by Ctrl-Z, when `portkeep`
/// stops too. Each is continued at last.
pub fn stops_are_not_lost(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    for who in EVERYBODY {
        let mut run = run(DOCKER, who, BINDS);
        let command = run.line_as_pid();
        for round in 0..150 {
            let signal = match round % 2 {
                0 => Signal::SIGSTOP,
                _ => Signal::SIGTSTP,
            };
            kill(command, signal).expect("stop the command");
            eventually(|| state(command) == 'T');
            let options = WaitPidFlag::WUNTRACED;
            let status = waitpid(run.pid(), Some(options)).expect("wait");
            assert!(matches!(status, WaitStatus::Stopped(..)), "{status:?}");
            kill(command, Signal::SIGCONT).expect("continue the command");
            eventually(|| state(run.pid()) != 'T');
            run.go_on();
            assert_eq!(run.line(), "here");
        }
    }
}

/// Queued signals all arrive, and handlers run between the calls of the command, not in the midst.
pub fn signals_are_not_lost(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let program = "
count = 0
traps = 0
def queued(*_):
    global count
    count += 1
def trapped(*_):
    global traps
    traps += 1
signal.signal(signal.SIGRTMIN, queued)
signal.signal(signal.SIGTRAP, trapped)
signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGRTMIN, False)
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
say(os.getpid())
child = os.fork()
if child == 0:
    signal.setitimer(signal.ITIMER_REAL, 0)
    for _ in range(400):
        os.kill(os.getppid(), signal.SIGRTMIN)
    os._exit(0)
for _ in range(500):
    said = attempts()
    assert said == '20000/tcp:bound 20000/udp:bound', said
os.waitpid(child, 0)
signal.setitimer(signal.ITIMER_REAL, 0)
say(count > 0, traps, signal.pthread_sigmask(signal.SIG_BLOCK, []))
";
    for profile in [DOCKER, CONTAINERD_BEFORE_1_7, NONE] {
        let mut run = run(profile, Who::User, program);
        run.line_as_pid();
        assert_eq!(run.line(), "True 0 set()", "{profile:?}");
        assert_eq!(run.code(), 0);
    }
}

/// Killed at whatever moment: the command's binds end with an error or have been made, and none waits.
pub fn nobody_hangs_without_the_supervisor(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let program = "
say(os.getppid())
said = set()
while 'ENOSYS' not in said:
    for protocol in KINDS:
        opened = socket.socket(socket.AF_INET, KINDS[protocol])
        try:
            opened.bind(('127.0.0.1', own(protocol)[0]))
            said.add('bound')
        except OSError as error:
            said.add(errno.errorcode[error.errno])
        opened.close()
say(*sorted(said - {'bound'}))
";
    for profile in [DOCKER, CONTAINERD_BEFORE_1_7, NONE] {
        for round in 0..10 {
            let mut run = run(profile, Who::User, program);
            let holder = run.line_as_pid();
            // Whenever it is: the binds have begun.
            for _ in 0..round * 3 {
                std::thread::yield_now();
            }
            kill(holder, Signal::SIGKILL).expect("kill the holder");
            // A thread that was just being made to send its socket finds nobody at the other end.
            let said = run.line();
            assert!(
                matches!(said.as_str(), "ENOSYS" | "ENOSYS EPIPE"),
                "{profile:?}: {said}"
            );
            assert_eq!(run.code(), 125);
        }
    }
}

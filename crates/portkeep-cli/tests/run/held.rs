//! How long the ports are held.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portkeep_tests::{Protocol, Sandbox, enable, reservations};

use crate::common::kernel_part::{
    assert_free, assert_kept, assert_nothing_reserved, the_reservation,
};
use crate::common::{Running, done, eventually, outcome};
use crate::{run, run_python, run_shell};

const TCP: [&str; 2] = ["--tcp", "20000-20001"];
const BOUND: &str = "20000/tcp:bound 20001/tcp:bound";
const REFUSED: &str = "20000/tcp:EADDRINUSE 20001/tcp:EADDRINUSE";

/// The process that holds the one reservation.
#[track_caller]
fn holder(sandbox: &Sandbox) -> Pid {
    Pid::from_raw(the_reservation(sandbox).pid.cast_signed())
}

#[track_caller]
fn free_soon(sandbox: &Sandbox) {
    eventually(|| reservations::list(sandbox).is_empty());
    assert_free(Protocol::Tcp, 20000..=20001);
}

/// At once: whoever waits for the command can have the same ports again.
pub fn free_when_it_returns(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for _ in 0..50 {
        done(&mut run_shell(&TCP, "true"));
        assert_nothing_reserved(sandbox);
    }
    assert_free(Protocol::Tcp, 20000..=20001);
}

pub fn until_the_last_straggler_has_gone(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut running = Running::start(run_python(
        &TCP,
        "first = os.fork()
if first == 0:
    signal.pause()
second = os.fork()
if second == 0:
    os.setsid()
    signal.pause()
say(first)
say(second)
sys.exit(3)",
    ));
    let stragglers = [running.line_as_pid(), running.line_as_pid()];
    assert_eq!(running.code(), 3);
    let holder = holder(sandbox);
    for straggler in stragglers {
        assert_kept(Protocol::Tcp, 20000..=20001);
        kill(straggler, Signal::SIGKILL).expect("kill the straggler");
    }
    free_soon(sandbox);
    eventually(|| kill(holder, None).is_err());
}

pub fn not_by_a_straggler_once_the_holder_is_terminated(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut running = Running::start(run_python(
        &TCP,
        "daemonise()
say(attempts())
wait()
say(attempt('tcp', 20000))",
    ));
    assert_eq!(running.line(), BOUND);
    assert_eq!(running.code(), 0);
    kill(holder(sandbox), Signal::SIGTERM).expect("terminate the holder");
    free_soon(sandbox);
    // The straggler lives, as a stranger to the next owner.
    let next = Running::start(crate::common::portkeep(["hold", "--tcp", "20000-20001"]));
    eventually(|| !reservations::list(sandbox).is_empty());
    running.go_on();
    assert_eq!(running.line(), "EADDRINUSE");
    drop(next);
}

pub fn after_a_kill_of_the_foreground_process(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut running = Running::start(run_python(
        &TCP,
        "say('ready')
wait()
say(attempts())
wait()",
    ));
    assert_eq!(running.line(), "ready");
    running.signal(Signal::SIGKILL);
    running.wait();
    assert_kept(Protocol::Tcp, 20000..=20001);
    running.go_on();
    assert_eq!(running.line(), BOUND);
    assert_kept(Protocol::Tcp, 20000..=20001);
    running.go_on();
    free_soon(sandbox);
}

pub fn not_after_a_kill_of_the_holder(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut command = run_python(
        &TCP,
        "say(attempts())
wait()
say(attempts())",
    );
    let (mut reader, writer) = std::io::pipe().expect("make a pipe");
    command.stderr(writer);
    let mut running = Running::start(command);
    assert_eq!(running.line(), BOUND);
    kill(holder(sandbox), Signal::SIGKILL).expect("kill the holder");
    assert_eq!(running.code(), 125);
    assert_nothing_reserved(sandbox);
    assert_free(Protocol::Tcp, 20000..=20001);
    let _next = Running::start(crate::common::portkeep(["hold", "--tcp", "20000-20001"]));
    eventually(|| !reservations::list(sandbox).is_empty());
    running.go_on();
    assert_eq!(running.line(), REFUSED);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut reader, &mut said).expect("read standard error");
    assert!(
        said.starts_with("portkeep: the process that held the ports was killed"),
        "{said}"
    );
}

pub fn nothing_when_the_command_cannot_be_executed(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for (program, code) in [("/nonexistent/program", 127), ("/", 126)] {
        let outcome = outcome(&mut run(&TCP, &[program]));
        assert_eq!(outcome.code, Some(code), "{outcome:?}");
        assert_nothing_reserved(sandbox);
        assert_free(Protocol::Tcp, 20000..=20001);
    }
}

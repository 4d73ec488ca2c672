//! What supervising the command's binds does to it besides.

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getuid};
use portkeep_tests::ports::probe_free;
use portkeep_tests::{Protocol, Sandbox};

use crate::common::kernel_part::{assert_kept, set_ipv4};
use crate::common::python::python;
use crate::common::{Running, done, eventually, outcome, portkeep, portkeep_as_user};
use crate::scene::PORT;

/// The words of a run of a Python program with [`PORT`], by the Python that every user may execute.
fn words(program: &str) -> Vec<String> {
    let port = format!("{PORT}-{PORT}");
    let run = ["run", "--both", &port, "--"].map(str::to_owned);
    let [_, program @ ..] = python(program);
    let python = "/usr/bin/python3".to_owned();
    run.into_iter().chain([python]).chain(program).collect()
}

pub fn other_binds_are_left_alone(_sandbox: &Sandbox) {
    let program = "
taken = socket.socket()
taken.bind(('127.0.0.1', 20005))
say(attempt('tcp', 20005), attempt('tcp', 20006), attempt('udp', 20005))
unix = socket.socket(socket.AF_UNIX)
unix.bind('\\0portkeep-test-%d' % os.getpid())
unix.listen()
raw = socket.socket(socket.AF_INET6)
for wrong in (('::2', own('tcp')[0]), ('1:2::3', 20007)):
    try:
        raw.bind(wrong)
    except OSError as error:
        say(errno.errorcode[error.errno])
raw.bind(('::1', own('tcp')[0]))
for call in (lambda: raw.bind(('::1', own('tcp')[0])), lambda: os.close(999)):
    try:
        call()
    except OSError as error:
        say(errno.errorcode[error.errno])
";
    assert_eq!(
        done(&mut portkeep_as_user(words(program))),
        "EADDRINUSE bound bound\nEADDRNOTAVAIL\nEADDRNOTAVAIL\nEINVAL\nEBADF\n"
    );
}

pub fn automatic_ports_stay_out(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    set_ipv4("ip_local_port_range", "19990 20009");
    let program = "
taken = []
for kind in KINDS.values():
    while True:
        opened = socket.socket(socket.AF_INET, kind)
        try:
            opened.bind(('127.0.0.1', 0))
        except OSError as error:
            say(errno.errorcode[error.errno])
            break
        taken.append(opened)
say(len(taken) > 20, own('tcp')[0] in {opened.getsockname()[1] for opened in taken})
";
    assert_eq!(
        done(&mut portkeep_as_user(words(program))),
        "EADDRINUSE\nEADDRINUSE\nTrue False\n"
    );
}

/// An interrupted bind would be made again, and find the socket bound.
pub fn signals_do_not_break_a_bind_off(_sandbox: &Sandbox) {
    let program = "
count = 0
def tick(*_):
    global count
    count += 1
signal.signal(signal.SIGALRM, tick)
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
for _ in range(2000):
    for protocol in KINDS:
        opened = bind(protocol, own(protocol)[0])
        if protocol == 'tcp':
            opened.listen()
        opened.close()
signal.setitimer(signal.ITIMER_REAL, 0)
say(count > 10)
";
    assert_eq!(done(&mut portkeep_as_user(words(program))), "True\n");
}

pub fn binds_fail_clearly_without_the_holder(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let program = "
say(os.getppid(), attempts())
wait()
say(attempts(), attempt('tcp', 20005))
wait()
";
    let mut run = Running::start(portkeep_as_user(words(program)));
    let line = run.line();
    let (holder, attempts) = line.split_once(' ').expect("a process id");
    assert_eq!(attempts, format!("{PORT}/tcp:bound {PORT}/udp:bound"));
    let holder = Pid::from_raw(holder.parse().expect("a process id"));
    kill(holder, Signal::SIGKILL).expect("kill the holder");
    assert_eq!(run.code(), 125);
    run.go_on();
    assert_eq!(
        run.line(),
        format!("{PORT}/tcp:ENOSYS {PORT}/udp:ENOSYS ENOSYS")
    );
    // The holder's sockets may be closed after the descriptor that its supervising ends with.
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        eventually(|| probe_free(protocol, PORT..=PORT).is_empty());
    }
}

pub fn descendants_are_let_in_after_the_command_has_ended(_sandbox: &Sandbox) {
    let program = "
if os.fork():
    sys.exit(0)
os.setsid()
say('ready')
wait()
say(attempts())
wait()
";
    let mut run = Running::start(portkeep_as_user(words(program)));
    assert_eq!(run.line(), "ready");
    assert_eq!(run.code(), 0);
    assert_kept(Protocol::Tcp, PORT..=PORT);
    run.go_on();
    assert_eq!(run.line(), format!("{PORT}/tcp:bound {PORT}/udp:bound"));
    assert_kept(Protocol::Udp, PORT..=PORT);
    run.go_on();
    assert_eq!(run.rest(), "");
    eventually(|| probe_free(Protocol::Tcp, PORT..=PORT).is_empty());
}

/// Only who could gain privileges is kept from it.
pub fn privileges_are_not_gained(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    assert!(getuid().is_root());
    let script = "grep NoNewPrivs /proc/self/status";
    let words = ["run", "--tcp", "1", "--", "sh", "-c", script];
    assert_eq!(done(&mut portkeep(words)), "NoNewPrivs:\t0\n");
    assert_eq!(done(&mut portkeep_as_user(words)), "NoNewPrivs:\t1\n");
}

pub fn verbose_tells_the_backend(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let words = ["run", "-v", "--tcp", "1", "--", "true"];
    let held = "portkeep: the ports are held by sockets, beside which, while their owner binds, one of the same \
                user with SO_REUSEPORT can get in, and at UDP over IPv6 one that is bound to a device: \
                Portkeep's kernel part is not enabled here\n";
    let way = "portkeep: the command binds by copies of its sockets (pidfd_getfd)\n";
    let said = outcome(&mut portkeep_as_user(words)).stderr;
    assert_eq!(said, format!("{held}{way}"));
    portkeep_tests::enable::enable(sandbox);
    let kernel = "portkeep: the ports are kept by Portkeep's kernel part\n";
    assert_eq!(outcome(&mut portkeep_as_user(words)).stderr, kernel);
}

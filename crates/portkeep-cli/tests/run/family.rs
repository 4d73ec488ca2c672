//! Who can bind: the command and its descendants, by plain bind(2), and nobody else.

use portkeep_tests::proc::{as_uid, in_netns};
use portkeep_tests::{Protocol, Sandbox, assert_ok, enable, sock};

use crate::common::kernel_part::{
    PROTOCOLS, assert_free, assert_kept, assert_nothing_reserved, the_reservation,
};
use crate::common::python::python;
use crate::common::{Running, USER, done};
use crate::{run, run_python, run_shell};

const BOTH: [&str; 2] = ["--both", "20000-20001"];
const ALL_BOUND: &str = "20000/tcp:bound 20001/tcp:bound 20000/udp:bound 20001/udp:bound";

#[track_caller]
fn assert_all_kept() {
    for protocol in PROTOCOLS {
        assert_kept(protocol, 20000..=20001);
    }
}

#[track_caller]
fn assert_all_free(sandbox: &Sandbox) {
    assert_nothing_reserved(sandbox);
    for protocol in PROTOCOLS {
        assert_free(protocol, 20000..=20001);
    }
}

pub fn the_command_binds_and_a_stranger_does_not(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut running = Running::start(run_python(
        &BOTH,
        "say(attempts())
wait()
opened = [bind(protocol, port) for protocol in KINDS for port in own(protocol)]
say('all open')
wait()",
    ));
    assert_eq!(running.line(), ALL_BOUND);
    // None of the ports is bound now: it is the reservation that keeps them.
    assert_all_kept();
    running.go_on();
    assert_eq!(running.line(), "all open");
    assert_all_kept();
    running.go_on();
    assert_eq!(running.code(), 0);
    assert_all_free(sandbox);
}

pub fn a_chain_of_execs(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let program = python("os.execvp(sys.executable, [sys.executable, '-c', sys.argv[1]])");
    let last = python("say(attempts())");
    let chain = [
        "env",
        "EXTRA=1",
        "nice",
        "nohup",
        "sh",
        "-c",
        "exec \"$@\"",
        "sh",
    ];
    let words: Vec<_> = chain
        .iter()
        .map(|word| (*word).to_owned())
        .chain(program)
        .collect();
    let words = [words, vec![last[4].clone()]].concat();
    let text = done(run(&BOTH, &words).stderr(std::process::Stdio::null()));
    assert_eq!(text.trim_end(), ALL_BOUND);
    assert_all_free(sandbox);
}

pub fn a_chain_of_forks(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let text = done(&mut run_python(
        &BOTH,
        "for depth in range(20):
    child = os.fork()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
say(attempts())
sys.exit(0)",
    ));
    assert_eq!(text.trim_end(), ALL_BOUND);
    let program = python("say(attempts())");
    let quoted = format!("'{}'", program[4].replace('\'', r"'\''"));
    // Pipelines, subshells and background jobs.
    let script = format!("(: | (python3 -I -S -c {quoted} | cat) & wait)");
    assert_eq!(done(&mut run_shell(&BOTH, &script)).trim_end(), ALL_BOUND);
    assert_all_free(sandbox);
}

/// Reparented, in a session of its own, after the command has ended.
pub fn a_daemon(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut running = Running::start(run_python(
        &BOTH,
        "daemonise()
say(os.getpid())
wait()
say(attempts())
if os.fork():
    os.wait()
    sys.exit(0)
say(attempts())",
    ));
    let daemon = running.line_as_pid();
    assert_eq!(running.code(), 0);
    assert_all_kept();
    // Its parent is the owner, so it is one of the family.
    let stat = std::fs::read_to_string(format!("/proc/{daemon}/stat")).expect("the daemon");
    let after_name = stat.rsplit_once(") ").expect("a name in parentheses").1;
    let parent = after_name.split(' ').nth(1);
    let owner = portkeep_tests::reservations::list(sandbox)[0].pid;
    assert_eq!(parent, Some(owner.to_string().as_str()));
    running.go_on();
    assert_eq!(running.line(), ALL_BOUND);
    assert_eq!(running.rest().trim_end(), ALL_BOUND);
    crate::common::eventually(|| portkeep_tests::reservations::list(sandbox).is_empty());
    assert_all_free(sandbox);
}

pub fn a_thread_and_a_child_that_changes_its_user(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let text = done(&mut run_python(
        &BOTH,
        "import threading
thread = threading.Thread(target=lambda: say(attempts()))
thread.start()
thread.join()
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
say(attempts())",
    ));
    assert_eq!(text, format!("{ALL_BOUND}\n{ALL_BOUND}\n"));
    assert_all_free(sandbox);
}

pub fn another_user_and_another_run_are_strangers(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut running = Running::start(run_python(
        &["--tcp", "20000-20001"],
        "say('ready')\nwait()",
    ));
    assert_eq!(running.line(), "ready");
    let bind = || sock::bind_any(sock::tcp4(), 20000).err().unwrap_or(0);
    assert_eq!(as_uid(USER, USER, bind), libc::EADDRINUSE);
    // The ports are those of this network namespace.
    assert_eq!(in_netns(bind), 0);
    let other = "say(attempt('tcp', 20000), attempts())";
    let text = done(&mut run_python(&["--tcp", "20002-20002"], other));
    assert_eq!(text, "EADDRINUSE 20002/tcp:bound\n");
    // Nor may the command bind others' ports.
    assert_free(Protocol::Udp, 20000..=20001);
    running.go_on();
    assert_eq!(running.code(), 0);
    assert_all_free(sandbox);
}

/// The reservation is not in the command's descriptors: it could not close it, nor pass it on.
pub fn the_commands_sockets_are_its_own(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut running = Running::start(run_python(
        &["--tcp", "20000-20001"],
        "open_files = [os.readlink(f'/proc/self/fd/{n}') for n in range(3, 1000) if os.path.exists(f'/proc/self/fd/{n}')]
say('sockets:', *(name for name in open_files if name.startswith('socket:')))
os.closerange(3, 1000)
say(attempts())
server = bind('tcp', 20000)
server.listen()
client = socket.create_connection(('127.0.0.1', 20000))
say('connected')
wait()",
    ));
    assert_eq!(running.line(), "sockets:");
    assert_eq!(running.line(), "20000/tcp:bound 20001/tcp:bound");
    assert_eq!(running.line(), "connected");
    assert_eq!(the_reservation(sandbox).ports, 20000..=20001);
    // Everybody may connect.
    assert_ok!(sock::connect(
        sock::tcp4(),
        std::net::Ipv4Addr::LOCALHOST,
        20000
    ));
    running.go_on();
    assert_eq!(running.code(), 0);
    assert_nothing_reserved(sandbox);
}

//! `portkeep run` as a stand-in for the command: its status, signals and streams. None of this
//! needs ports, so it needs no privilege and no kernel part.

use std::fs::File;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::Command;

use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::common::{Running, done, outcome, portkeep};
use crate::{run, run_shell};

pub fn the_exit_status_is_the_commands() {
    let code = |script| outcome(&mut run_shell(&[], script)).code;
    assert_eq!(code("exit 0"), Some(0));
    assert_eq!(code("exit 7"), Some(7));
    assert_eq!(code("kill -KILL $$"), Some(128 + 9));
    // A real-time signal.
    assert_eq!(code("kill -40 $$"), Some(128 + 40));
}

pub fn what_cannot_be_executed_gives_the_shells_codes() {
    for (program, code) in [("/nonexistent/program", 127), ("/", 126)] {
        let outcome = outcome(&mut run(&[], &[program]));
        assert_eq!(outcome.code, Some(code), "{outcome:?}");
        let message = format!("portkeep: cannot run '{program}'");
        assert!(outcome.stderr.starts_with(&message), "{outcome:?}");
    }
}

pub fn an_outer_runs_ports_are_not_announced() {
    let script = "echo ${PORT} ${PORTKEEP_TCP-none} ${PORTKEEP_UDP}";
    let mut command = run_shell(&["--udp", "1"], script);
    for name in ["PORT", "PORTKEEP_TCP", "PORTKEEP_UDP"] {
        command.env(name, "1234");
    }
    let said = done(&mut command);
    let words: Vec<_> = said.split_whitespace().collect();
    assert_eq!((words[0], words[1]), (words[2], "none"));
    assert_ne!(words[0], "1234");
}

/// For the Portkeep users among the commands.
pub fn locations_reach_the_command() {
    let script = "echo $PORTKEEP_CGROUP $PORTKEEP_BPFFS $PORTKEEP_STATE_DIR";
    let mut command = portkeep([
        "--cgroup",
        "/a",
        "--bpffs",
        "/b",
        "run",
        "--state-dir",
        "/c",
        "--udp",
        "1",
    ]);
    assert_eq!(done(command.args(["--", "sh", "-c", script])), "/a /b /c\n");
}

pub fn signals_start_out_as_they_came() {
    // Without a shell, which may have its own ideas about the mask.
    let words = [
        "grep",
        "-E",
        "^(Shd|Sig)(Pnd|Blk|Ign|Cgt)",
        "/proc/self/status",
    ];
    let with_odd_signals = |command: &mut Command| {
        let block = || {
            let mut signals = SigSet::empty();
            signals.add(Signal::SIGUSR1);
            Ok(signals.thread_block()?)
        };
        // SAFETY: pthread_sigmask(3) is async-signal-safe.
        unsafe { command.pre_exec(block) };
        done(command)
    };
    let plain = with_odd_signals(Command::new(words[0]).args(&words[1..]));
    assert!(plain.contains("SigBlk:\t0000000000000200"), "{plain}");
    assert_eq!(with_odd_signals(&mut run(&[], &words)), plain);
}

/// Prints a line for each signal it gets, and ends after SIGUSR2.
const RECORDER: &str = "trap 'echo TERM' TERM; trap 'echo HUP' HUP; trap 'echo end; exit 3' USR2
    echo ready; while :; do sleep 0.01; done";

pub fn signals_to_the_process_are_passed_on() {
    let mut running = Running::start(run_shell(&[], RECORDER));
    assert_eq!(running.line(), "ready");
    for (signal, line) in [(Signal::SIGTERM, "TERM"), (Signal::SIGHUP, "HUP")] {
        running.signal(signal);
        assert_eq!(running.line(), line);
    }
    running.signal(Signal::SIGUSR2);
    assert_eq!(running.rest(), "end\n");
    assert_eq!(running.code(), 3);
}

pub fn signals_to_the_group_reach_the_command_once() {
    let mut running = Running::start(run_shell(&[], RECORDER));
    assert_eq!(running.line(), "ready");
    for (signal, line) in [(Signal::SIGTERM, "TERM"), (Signal::SIGHUP, "HUP")] {
        killpg(running.pid(), signal).expect("send a signal");
        assert_eq!(running.line(), line);
    }
    // Passed on in order, so that a second copy of the above would be seen by now.
    running.signal(Signal::SIGUSR2);
    assert_eq!(running.rest(), "end\n");
}

pub fn it_stops_and_continues_with_the_command() {
    let mut running = Running::start(run_shell(&[], "echo $$; kill -STOP $$; exit 4"));
    let command = running.line_as_pid();
    let stopped = waitpid(running.pid(), Some(WaitPidFlag::WUNTRACED)).expect("waitpid");
    assert_eq!(stopped, WaitStatus::Stopped(running.pid(), Signal::SIGSTOP));
    kill(command, Signal::SIGCONT).expect("continue the command");
    assert_eq!(running.code(), 4);
}

pub fn a_descendant_left_behind_keeps_the_holder_but_no_stream() {
    let script = "setsid sh -c 'echo $PPID >&2; exec sleep 60' </dev/null >/dev/null &
        echo $! $PPID";
    let mut command = run_shell(&[], script);
    command.stderr(File::create("/dev/null").expect("open /dev/null"));
    let outcome = outcome(&mut command);
    // Standard output has come to its end, or `outcome` had not returned.
    assert_eq!(outcome.code, Some(0));
    let [sleeper, holder] = outcome.stdout.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("not two process ids: {outcome:?}")
    };
    let status = std::fs::read_to_string(format!("/proc/{sleeper}/status"));
    let sleeper = Pid::from_raw(sleeper.parse().expect("a process id"));
    kill(sleeper, Signal::SIGKILL).expect("kill what was left behind");
    let status = status.expect("read the status of what was left behind");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:\t"));
    assert_eq!(parent, Some(holder));
}

pub fn a_kill_of_the_foreground_leaves_the_command() {
    let mut running = Running::start(run_shell(
        &[],
        "echo $PPID; read line </dev/null; sleep 0.2; echo lives",
    ));
    assert_ne!(running.line(), "");
    running.signal(Signal::SIGKILL);
    assert_eq!(running.wait().signal(), Some(9));
    assert_eq!(running.rest(), "lives\n");
}

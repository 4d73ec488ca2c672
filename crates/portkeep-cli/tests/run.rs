//! `portkeep run` as a stand-in for the command: its status, signals and streams. None of this
//! needs ports, so it needs no privilege and no kernel part.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

fn portkeep_run(script: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portkeep"));
    command.args(["run", "--", "sh", "-c", script]);
    command
}

fn output(script: &str) -> io::Result<Output> {
    portkeep_run(script).output()
}

/// A `portkeep run` in a process group of its own, which is killed in the end.
struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn start(script: &str) -> io::Result<Self> {
        let mut command = portkeep_run(script);
        let mut child = command.stdout(Stdio::piped()).process_group(0).spawn()?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("no pipe"))?;
        Ok(Self {
            child,
            lines: BufReader::new(stdout),
        })
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn rest(&mut self) -> io::Result<String> {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest)?;
        Ok(rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

#[test]
fn the_exit_status_is_the_commands() -> io::Result<()> {
    assert_eq!(output("exit 0")?.status.code(), Some(0));
    assert_eq!(output("exit 7")?.status.code(), Some(7));
    assert_eq!(output("kill -KILL $$")?.status.code(), Some(128 + 9));
    // A real-time signal.
    assert_eq!(output("kill -40 $$")?.status.code(), Some(128 + 40));
    Ok(())
}

#[test]
fn what_cannot_be_executed_gives_the_shells_codes() -> io::Result<()> {
    for (program, code) in [("/nonexistent/program", 127), ("/", 126)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portkeep"));
        let output = command.args(["run", "--", program]).output()?;
        assert_eq!(output.status.code(), Some(code), "{program}");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            message.starts_with(&format!("portkeep: cannot run '{program}'")),
            "{message}"
        );
    }
    Ok(())
}

#[test]
fn without_ports_no_port_is_announced() -> io::Result<()> {
    let output = portkeep_run("echo ${PORT-none} ${PORTKEEP_TCP-none} ${PORTKEEP_UDP-none}")
        .env("PORT", "1234")
        .env("PORTKEEP_TCP", "1234")
        .env("PORTKEEP_UDP", "1234")
        .output()?;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1234 none none\n");
    Ok(())
}

#[test]
fn signals_start_out_as_they_came() -> io::Result<()> {
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
        command.output()
    };
    let plain = with_odd_signals(Command::new(words[0]).args(&words[1..]))?;
    let mut ours = Command::new(env!("CARGO_BIN_EXE_portkeep"));
    let ours = with_odd_signals(ours.args(["run", "--"]).args(words))?;
    assert!(String::from_utf8_lossy(&plain.stdout).contains("SigBlk:\t0000000000000200"));
    assert_eq!(
        String::from_utf8_lossy(&ours.stdout),
        String::from_utf8_lossy(&plain.stdout)
    );
    Ok(())
}

/// Prints a line for each signal it gets, and ends after SIGUSR2.
const RECORDER: &str = "trap 'echo TERM' TERM; trap 'echo HUP' HUP; trap 'echo end; exit 3' USR2
    echo ready; while :; do sleep 0.01; done";

#[test]
fn signals_to_the_process_are_passed_on() -> io::Result<()> {
    let mut running = Running::start(RECORDER)?;
    assert_eq!(running.line()?, "ready");
    for (signal, line) in [(Signal::SIGTERM, "TERM"), (Signal::SIGHUP, "HUP")] {
        kill(running.pid(), signal)?;
        assert_eq!(running.line()?, line);
    }
    kill(running.pid(), Signal::SIGUSR2)?;
    assert_eq!(running.rest()?, "end\n");
    assert_eq!(running.child.wait()?.code(), Some(3));
    Ok(())
}

#[test]
fn signals_to_the_group_reach_the_command_once() -> io::Result<()> {
    let mut running = Running::start(RECORDER)?;
    assert_eq!(running.line()?, "ready");
    for (signal, line) in [(Signal::SIGTERM, "TERM"), (Signal::SIGHUP, "HUP")] {
        killpg(running.pid(), signal)?;
        assert_eq!(running.line()?, line);
    }
    // Passed on in order, so that a second copy of the above would be seen by now.
    kill(running.pid(), Signal::SIGUSR2)?;
    assert_eq!(running.rest()?, "end\n");
    Ok(())
}

#[test]
fn it_stops_and_continues_with_the_command() -> io::Result<()> {
    let mut running = Running::start("echo $$; kill -STOP $$; exit 4")?;
    let command = Pid::from_raw(running.line()?.parse().map_err(io::Error::other)?);
    let stopped = waitpid(running.pid(), Some(WaitPidFlag::WUNTRACED))?;
    assert_eq!(stopped, WaitStatus::Stopped(running.pid(), Signal::SIGSTOP));
    kill(command, Signal::SIGCONT)?;
    assert_eq!(running.child.wait()?.code(), Some(4));
    Ok(())
}

#[test]
fn a_descendant_left_behind_keeps_the_holder_but_no_stream() -> io::Result<()> {
    let script = "setsid sh -c 'echo $PPID >&2; exec sleep 60' </dev/null >/dev/null &
        echo $! $PPID";
    let Output { stdout, status, .. } = portkeep_run(script)
        .stderr(File::create("/dev/null")?)
        .output()?;
    // Standard output has come to its end, or `output` had not returned.
    assert_eq!(status.code(), Some(0));
    let text = String::from_utf8_lossy(&stdout).into_owned();
    let pids: Vec<i32> = text
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect();
    let [sleeper, holder] = pids[..] else {
        panic!("not two process ids: {text}")
    };
    let parent = || -> io::Result<String> {
        let status = std::fs::read_to_string(format!("/proc/{sleeper}/status"))?;
        Ok(status
            .lines()
            .find_map(|line| line.strip_prefix("PPid:\t"))
            .unwrap_or("")
            .to_owned())
    };
    let parent = parent();
    kill(Pid::from_raw(sleeper), Signal::SIGKILL)?;
    assert_eq!(parent?, holder.to_string());
    Ok(())
}

#[test]
fn a_kill_of_the_foreground_leaves_the_command() -> io::Result<()> {
    let mut running = Running::start("echo $PPID; read line </dev/null; sleep 0.2; echo lives")?;
    assert_ne!(running.line()?, "");
    running.child.kill()?;
    assert_eq!(running.child.wait()?.signal(), Some(9));
    assert_eq!(running.rest()?, "lives\n");
    Ok(())
}

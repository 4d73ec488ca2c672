//! Commands that a test talks to while they run.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigHandler, Signal, kill, killpg, signal};
use nix::unistd::Pid;

/// A command in a process group of its own, which is killed in the end. Standard error is that of
/// the test.
#[derive(Debug)]
pub struct Running {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0);
        // SAFETY: the closure makes system calls only and installs no handler.
        unsafe { command.pre_exec(default_signals) };
        let mut child = command.spawn().expect("start the command");
        let input = child.stdin.take().expect("a pipe for standard input");
        let output = child.stdout.take().expect("a pipe for standard output");
        Self {
            child,
            input,
            output: BufReader::new(output),
        }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// The next line of its output, or of what it has left running; empty at the end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output
            .read_line(&mut line)
            .expect("read from the command");
        line.trim_end().to_owned()
    }

    /// The next line as a process id.
    pub fn line_as_pid(&mut self) -> Pid {
        let line = self.line();
        Pid::from_raw(
            line.parse()
                .unwrap_or_else(|_| panic!("not a process id: {line:?}")),
        )
    }

    /// The output up to its end: until everybody who has the pipe has closed it.
    pub fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.output
            .read_to_string(&mut rest)
            .expect("read from the command");
        rest
    }

    /// Writes a line to the command.
    pub fn write(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("write to the command");
    }

    /// Writes a line to the command, and reads the next line of its output.
    pub fn tell(&mut self, line: &str) -> String {
        self.write(line);
        self.line()
    }

    /// Lets a command that waits for a line of input go on.
    pub fn go_on(&mut self) {
        self.input.write_all(b"\n").expect("write to the command");
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("signal the command");
    }

    pub fn is_alive(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("ask for the command's state")
            .is_none()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("wait for the command")
    }

    /// Waits for its end and gives the exit status; panics if a signal ended it.
    #[track_caller]
    pub fn code(&mut self) -> i32 {
        let status = self.wait();
        status
            .code()
            .unwrap_or_else(|| panic!("ended by signal {:?}", status.signal()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Whoever started the tests, nohup(1) or a shell in the background, may have had them ignored.
fn default_signals() -> std::io::Result<()> {
    for number in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
    ] {
        // SAFETY: installs no handler.
        unsafe { signal(number, SigHandler::SigDfl) }?;
    }
    Ok(())
}

/// Waits for what another process does.
#[track_caller]
pub fn eventually(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !condition() {
        assert!(
            Instant::now() < deadline,
            "it did not happen in two minutes"
        );
        thread::sleep(Duration::from_millis(2));
    }
}

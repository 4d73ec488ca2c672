//! The terminal sessions that the documentation shows, line by line.

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use portkeep_tests::{Sandbox, trials};

use common::{PORTKEEP, Running, accounts, eventually};

trials! {
    root:
        the_readme,
        for_operators,
        for_testers,
        for_launchers;
}

/// A command, and what the page says that it prints.
#[derive(Debug)]
struct Step {
    command: String,
    shown: Vec<String>,
}

fn steps(page: &str) -> Vec<Step> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(page);
    let text = fs::read_to_string(path).expect("read the page");
    let mut steps: Vec<Step> = Vec::new();
    for block in text.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        for line in block.lines() {
            if let Some(command) = line.strip_prefix("# ") {
                steps.push(Step {
                    command: command.to_owned(),
                    shown: Vec::new(),
                });
            } else {
                let step = steps.last_mut().expect("a command first");
                step.shown.push(line.to_owned());
            }
        }
    }
    assert!(steps.len() >= 2, "{page}: {steps:?}");
    steps
}

/// A shell, as in a terminal: both outputs are one.
struct Shell {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    child: std::process::Child,
}

/// What marks the end of a command's output.
const END: &str = "-- end";

impl Shell {
    fn start(sandbox: &Sandbox) -> Self {
        let programs = Path::new(PORTKEEP).parent().expect("a directory").display();
        let path = format!("{programs}:/usr/bin:/bin:/usr/sbin:/sbin");
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec sh 2>&1"])
            .env("PATH", path)
            .current_dir(sandbox.state_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("start a shell");
        Self {
            input: child.stdin.take().expect("a pipe"),
            output: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
        }
    }

    /// What goes on in the background has a second to say something.
    fn run(&mut self, command: &str) -> Vec<String> {
        let pause = if command.ends_with('&') {
            "sleep 1; "
        } else {
            ""
        };
        let script = format!("{command}\n{pause}echo; echo '{END}'\n");
        self.input.write_all(script.as_bytes()).expect("write");
        let mut said = Vec::new();
        loop {
            let mut line = String::new();
            let length = self.output.read_line(&mut line).expect("read");
            assert_ne!(length, 0, "the shell has ended: {said:?}");
            let line = line.trim_end();
            if line == END {
                break;
            }
            said.push(line.to_owned());
        }
        // The empty line before the mark, for a command whose last line has no end.
        said.pop();
        said
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports of the pool, as in `61000,61001`; each time others, but consecutive ones.
fn ports_of_the_pool(word: &str) -> Option<Vec<u16>> {
    // As in `--port=61000`.
    let word = word.rsplit('=').next()?;
    let ports: Option<Vec<u16>> = word.split(',').map(|it| it.parse().ok()).collect();
    ports.filter(|ports| ports.iter().all(|it| *it >= 61000))
}

/// Whether a word may stand for the one that is shown: process ids, times and ports are other ones each
/// time.
fn is_like(said: &str, shown: &str) -> bool {
    if let (Some(said), Some(shown)) = (ports_of_the_pool(said), ports_of_the_pool(shown)) {
        let steps = |ports: &[u16]| -> Vec<u16> { ports.iter().map(|it| it - ports[0]).collect() };
        return steps(&said) == steps(&shown);
    }
    let form = |word: &str| -> String {
        let digit = |it: char| if it.is_ascii_digit() { '0' } else { it };
        word.chars().map(digit).collect()
    };
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|it| it.is_ascii_digit());
    let is_time = ["0000-00-00", "00:00:00"].contains(&form(shown).trim_end_matches(','));
    said == shown || (shown == "4711" && is_number(said)) || (is_time && form(said) == form(shown))
}

/// The words, with how long ago something was left out.
fn words(line: &str) -> Vec<String> {
    let line = match (line.find('('), line.find(" ago)")) {
        (Some(start), Some(end)) if start < end => format!("{}{}", &line[..start], &line[end..]),
        _ => line.to_owned(),
    };
    line.split_whitespace().map(str::to_owned).collect()
}

fn assert_shown(sandbox: &Sandbox, page: &str) {
    let mut shell = Shell::start(sandbox);
    let here = |text: &str| {
        text.replace("/sys/fs/bpf", &sandbox.bpffs().display().to_string())
            .replace("/sys/fs/cgroup", &sandbox.cgroup().display().to_string())
            .replace(
                "/var/lib/portkeep",
                &sandbox.state_dir().display().to_string(),
            )
            .replace("/etc/portkeep", &sandbox.state_dir().display().to_string())
    };
    for Step { command, shown } in steps(page) {
        let said = shell.run(&here(&command));
        // Where nothing is shown, what it says is told by the text around.
        if shown.is_empty() {
            continue;
        }
        let context = format!("{page}: {command}: shown {shown:#?}, said {said:#?}");
        assert_eq!(said.len(), shown.len(), "{context}");
        for (said, shown) in said.iter().zip(&shown) {
            let (said, shown) = (words(said), words(&here(shown)));
            assert_eq!(said.len(), shown.len(), "{context}");
            for (said, shown) in said.iter().zip(&shown) {
                assert!(is_like(said, shown), "{said} for {shown}: {context}");
            }
        }
    }
}

fn the_readme(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    accounts::add(sandbox, &[("asterisk", 4100)], &[("voice", 4101)]);
    assert_shown(sandbox, "README.md");
}

fn for_operators(sandbox: &Sandbox) {
    accounts::add(sandbox, &[("asterisk", 4100)], &[("voice", 4101)]);
    common::done(&mut common::portkeep(["enable"]));
    assert_shown(sandbox, "docs/operator.md");
}

/// With a server at the port that the page wants.
fn for_testers(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let mut server = Command::new("/usr/bin/python3");
    server.args(["-m", "http.server", "8080"]);
    let _server = Running::start(server);
    eventually(|| TcpStream::connect(("127.0.0.1", 8080)).is_ok());
    assert_shown(sandbox, "docs/tester.md");
}

fn for_launchers(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    assert_shown(sandbox, "docs/launchers.md");
}

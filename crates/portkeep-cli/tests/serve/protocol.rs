//! What portserver's clients rely on.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::process::CommandExt as _;
use std::process::{self, Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::Pid;
use portkeep_tests::{Sandbox, enable, sock, without_portkeep};

use crate::client::{as_user, ask, connect, port, rest, say, serve, serve_by};
use crate::common::{USER, eventually, misused, outcome, portkeep};

const AT: &str = "@portkeep-test";

/// A server whose standard error is read.
struct Told {
    child: Child,
    errors: BufReader<process::ChildStderr>,
}

impl Told {
    fn start(mut command: Command, address: &str) -> Self {
        assert!(connect(address).is_err(), "it does not listen yet");
        let mut child = command.stderr(Stdio::piped()).spawn().expect("start it");
        let errors = BufReader::new(child.stderr.take().expect("a pipe"));
        eventually(|| connect(address).is_ok());
        Self { child, errors }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("signal it");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.errors.read_line(&mut line).expect("read its errors");
        line
    }

    /// The numbers that it prints on SIGUSR1.
    fn statistics(&mut self) -> Vec<(String, u64)> {
        self.signal(Signal::SIGUSR1);
        (0..5)
            .map(|_| {
                let line = self.line();
                let (name, number) = line
                    .trim_end()
                    .split_once(' ')
                    .expect("a name and a number");
                (name.to_owned(), number.parse().expect("a number"))
            })
            .collect()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn a_number_is_answered_with_a_port(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let file = std::env::temp_dir().join(format!("portkeep-serve-{}", process::id()));
    let file = file.to_str().expect("a path in UTF-8");
    let _server = serve(AT, &["--address", file]);
    let mut ports = Vec::new();
    for address in [AT, file] {
        for text in ["P\n", " P \n", "P\r\n", "P\nand more\n"] {
            let text = text.replace('P', &process::id().to_string());
            ports.push(port(&say(address, text.as_bytes())).expect("a port"));
        }
    }
    // Everybody is served, whatever this process's umask.
    for address in [AT, file] {
        let port = as_user(USER, || ask(address, process::id()));
        assert_ne!(port, None, "{address}");
    }
    // It has TCP and UDP of both families, and nobody listens there.
    for port in &ports {
        for socket in [sock::tcp4(), sock::tcp6(), sock::udp4(), sock::udp6()] {
            assert_eq!(sock::bind_any(&socket, *port), Ok(()));
        }
    }
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 8);
}

pub fn an_end_or_a_silence_is_as_good_as_a_newline(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _server = serve(AT, &[]);
    let number = process::id().to_string();
    let mut ended = connect(AT).expect("connect");
    ended.write_all(number.as_bytes()).expect("write");
    ended.shutdown(Shutdown::Write).expect("shut down");
    assert_ne!(port(&rest(ended)), None);
    let start = Instant::now();
    assert_ne!(port(&say(AT, number.as_bytes())), None);
    assert!(start.elapsed() >= Duration::from_millis(900));
    // In pieces.
    let mut slow = connect(AT).expect("connect");
    for byte in number.bytes().chain([b'\n']) {
        slow.write_all(&[byte]).expect("write");
    }
    assert_ne!(port(&rest(slow)), None);
}

pub fn a_connection_without_a_byte_is_no_request(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut server = Told::start(portkeep(["serve", "--address", AT]), AT);
    for _ in 0..10 {
        drop(connect(AT).expect("connect"));
    }
    assert_eq!(say(AT, b""), "");
    let all: u64 = server.statistics().iter().map(|(_, number)| number).sum();
    assert_eq!(all, 0);
}

pub fn nobody_gets_a_port_for_a_process_that_does_not_live(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut server = Told::start(portkeep(["serve", "--address", AT]), AT);
    let mut child = Command::new("true").spawn().expect("start a process");
    let pid = child.id();
    eventually(|| {
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
    });
    assert_eq!(ask(AT, pid), None, "a zombie");
    child.wait().expect("reap it");
    assert_eq!(ask(AT, pid), None);
    for text in [
        "0\n",
        "1\n",
        "-5\n",
        "2147483648\n",
        "9223372036854775807\n",
    ] {
        assert_eq!(say(AT, text.as_bytes()), "", "{text}");
    }
    let statistics = server.statistics();
    assert_eq!(statistics[0], ("client-request-errors".to_owned(), 0));
    assert_eq!(statistics[1], ("denied-allocations".to_owned(), 7));
    assert_eq!(statistics[4], ("total-allocations".to_owned(), 0));
}

pub fn statistics_have_the_names_of_portserver(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let words = ["serve", "--address", AT, "--pool", "20000-20099"];
    let mut server = Told::start(portkeep(words), AT);
    for _ in 0..3 {
        assert!((20000..=20099).contains(&ask(AT, process::id()).expect("a port")));
    }
    assert_eq!(ask(AT, 1), None);
    for text in ["x\n", "\n"] {
        assert_eq!(say(AT, text.as_bytes()), "");
    }
    assert_eq!(say(AT, &[b'9'; 35]), "");
    let statistics = server.statistics();
    let names: Vec<_> = statistics.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "client-request-errors",
        "denied-allocations",
        "num-ports-managed",
        "num-ports-checked-for-last-request",
        "total-allocations",
    ];
    assert_eq!(names, expected);
    let numbers: Vec<_> = statistics.iter().map(|(_, number)| *number).collect();
    assert_eq!(numbers, [3, 1, 100, 1, 3]);
}

pub fn portservers_own_options_are_understood(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for words in [
        [
            "--portserver_address=@portkeep-test",
            "--portserver_static_pool=20000-20009",
        ]
        .as_slice(),
        &[
            "--portserver_unix_socket_address",
            AT,
            "--portserver_static_pool",
            "20000-20009",
        ],
        &[
            "--portserver_unix_socket_address=@portkeep-test",
            "--pool=1-x,20000-20009",
            "--debug",
        ],
        &[
            "--address=@portkeep-test",
            "--pool",
            "20000-20009",
            "--verbose",
        ],
    ] {
        let _server = serve_by(portkeep(["serve"].iter().chain(words)), AT);
        let port = ask(AT, process::id()).expect("a port");
        assert!((20000..=20009).contains(&port), "{words:?}");
    }
    let _server = serve_by(portkeep(["serve"]), "@unittest-portserver");
    assert_ne!(ask("@unittest-portserver", process::id()), None);
}

pub fn signals_end_it_and_nothing_stays(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let file = std::env::temp_dir().join(format!("portkeep-ends-{}", process::id()));
    let name = file.to_str().expect("a path in UTF-8");
    for number in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut server = Told::start(portkeep(["serve", "--address", name]), name);
        assert_ne!(ask(name, process::id()), None);
        server.signal(number);
        // Its statistics, and then the end: nobody else has its standard error.
        let lines: Vec<_> = server.errors.by_ref().lines().collect();
        assert_eq!(lines.len(), 5);
        assert!(server.child.wait().expect("its end").success());
        assert!(!file.exists());
    }
    let mut server = Told::start(portkeep(["serve", "--address", name]), name);
    server.child.kill().expect("kill it");
    assert_eq!(server.errors.by_ref().lines().count(), 0);
    server.child.wait().expect("its end");
    let _ = fs::remove_file(file);
    crate::common::kernel_part::assert_nothing_reserved(sandbox);
}

pub fn an_ignored_interrupt_stays_ignored(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut command = portkeep(["serve", "--address", AT]);
    // SAFETY: the closure makes a system call and installs no handler.
    unsafe {
        command.pre_exec(|| {
            signal(Signal::SIGINT, SigHandler::SigIgn)?;
            Ok(())
        })
    };
    let mut server = Told::start(command, AT);
    server.signal(Signal::SIGINT);
    assert_ne!(ask(AT, process::id()), None);
    assert_eq!(server.statistics()[4].1, 1);
    server.signal(Signal::SIGTERM);
    assert!(server.child.wait().expect("its end").success());
}

pub fn a_file_that_a_killed_server_left_is_replaced(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let file = std::env::temp_dir().join(format!("portkeep-left-{}", process::id()));
    let name = file.to_str().expect("a path in UTF-8");
    let mut server = serve(name, &[]);
    server.signal(Signal::SIGKILL);
    server.wait();
    assert!(file.exists());
    let mut server = serve(name, &[]);
    assert_ne!(ask(name, process::id()), None);
    // One that lives is not.
    let second = outcome(&mut portkeep(["serve", "--address", name]));
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(
        second.stderr.contains("Address already in use"),
        "{second:?}"
    );
    assert_ne!(ask(name, process::id()), None);
    server.signal(Signal::SIGTERM);
    server.wait();
    // Nor is a file that is no socket.
    fs::write(&file, "text").expect("write a file");
    let third = outcome(&mut portkeep(["serve", "--address", name]));
    assert_eq!(third.code, Some(1), "{third:?}");
    assert_eq!(fs::read_to_string(&file).expect("the file"), "text");
    fs::remove_file(file).expect("remove the file");
}

pub fn an_address_in_use_is_refused(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _server = serve(AT, &[]);
    let second = outcome(&mut portkeep(["serve", "--address", AT]));
    assert_eq!(second.code, Some(1), "{second:?}");
    let long = format!("@{}", "x".repeat(200));
    let third = outcome(&mut portkeep(["serve", "--address", &long]));
    assert_eq!(third.code, Some(1), "{third:?}");
}

pub fn a_pool_without_ports_is_refused(_sandbox: &Sandbox) {
    for pool in ["", "x", "0-5", "9-8"] {
        let refused = outcome(&mut portkeep(["serve", "--address", AT, "--pool", pool]));
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(connect(AT).is_err());
    }
    misused(&["serve", "--share", "everybody"]);
}

pub fn without_the_kernel_part_it_says_that_it_keeps_books(_sandbox: &Sandbox) {
    without_portkeep();
    let mut server = Told::start(portkeep(["serve", "--address", AT]), AT);
    assert!(server.line().contains("only keeps books"));
    let ports = [ask(AT, process::id()), ask(AT, process::id())];
    assert_eq!(ports, [Some(15000), Some(15001)]);
    let refused = outcome(&mut portkeep([
        "serve",
        "--address",
        "@other",
        "--share",
        "user",
    ]));
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("needs the kernel part"),
        "{refused:?}"
    );
}

pub fn books_leave_out_ports_in_use(_sandbox: &Sandbox) {
    without_portkeep();
    let (tcp, udp) = (sock::tcp4(), sock::udp6());
    sock::bind_any(&tcp, 20000).expect("bind");
    sock::bind_any(&udp, 20001).expect("bind");
    let _server = serve(AT, &["--pool", "20000-20003"]);
    let mut child = Command::new("sleep")
        .arg("1000")
        .spawn()
        .expect("start a process");
    assert_eq!(ask(AT, child.id()), Some(20002));
    assert_eq!(ask(AT, process::id()), Some(20003));
    assert_eq!(ask(AT, process::id()), None);
    child.kill().expect("kill it");
    child.wait().expect("reap it");
    assert_eq!(ask(AT, process::id()), Some(20002));
    drop(tcp);
    assert_eq!(ask(AT, process::id()), Some(20000));
}

//! Other ways to get a free port: a server of ports, sockets that hold them, and picking one and
//! hoping.

use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use portkeep_tests::{Sandbox, enable, expect_ok, raw, sock};

use crate::page::{report, section};
use crate::stopwatch::{in_turn, ratio, time};

/// Ports taken in one round: fewer than the server has for all rounds together.
const MANY: u32 = 200;

/// Where portpicker is installed.
pub fn environment() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("portpicker")
}

const GET_PORT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/get-port");

/// The main file of get-port, if it is installed.
pub fn get_port() -> Option<String> {
    let path = format!("{GET_PORT}/node_modules/get-port/index.js");
    Path::new(&path).exists().then_some(path)
}

/// Gets python_portpicker and get-port from their registries, which a sandbox cannot.
pub fn prepare() {
    prepare_get_port();
    prepare_portpicker();
}

fn prepare_get_port() {
    if get_port().is_some() {
        return;
    }
    let npm = Command::new("npm")
        .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
        .args([GET_PORT, "get-port@7.2.0"])
        .status();
    if !npm.is_ok_and(|status| status.success()) {
        eprintln!("get-port cannot be installed; it is left out");
    }
}

fn prepare_portpicker() {
    let python = environment().join("bin/python");
    if python.exists() {
        return;
    }
    let run = |program: &Path, arguments: &[&str]| {
        let status = Command::new(program).args(arguments).status();
        status.is_ok_and(|status| status.success())
    };
    let directory = environment();
    let directory = directory.to_str().expect("a path in UTF-8");
    let made = run(Path::new("python3"), &["-m", "venv", directory])
        && run(&python, &["-m", "pip", "install", "--quiet", "portpicker"]);
    if !made {
        eprintln!("portpicker cannot be installed; it is left out");
    }
}

/// portserver, at an abstract address.
pub struct Server(Child);

pub const ADDRESS: &str = "portkeep-bench";

impl Server {
    pub fn start() -> Option<Self> {
        Self::start_with("10000-29999")
    }

    /// Hands out these ports.
    pub fn start_with(pool: &str) -> Option<Self> {
        let program = environment().join("bin/portserver.py");
        let mut command = Command::new(environment().join("bin/python"));
        command
            .arg(program)
            .args(["--portserver_static_pool", pool])
            .args(["--portserver_unix_socket_address", &format!("@{ADDRESS}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let server = Self(command.spawn().ok()?);
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if ask().is_some() {
                return Some(server);
            }
            thread::sleep(Duration::from_millis(50));
        }
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As portpicker's own client: a connection for each port.
fn ask() -> Option<u16> {
    ask_at(ADDRESS)
}

/// A port of the server at an abstract address.
pub fn ask_at(name: &str) -> Option<u16> {
    let address = SocketAddr::from_abstract_name(name).ok()?;
    let mut stream = UnixStream::connect_addr(&address).ok()?;
    writeln!(stream, "{}", std::process::id()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.trim().parse().ok()
}

fn acquire() {
    let socket = sock::tcp4();
    expect_ok(raw::acquire(&socket, 0, 1), "acquire");
}

fn hold() {
    let socket = sock::tcp4();
    expect_ok(sock::bind_any(&socket, 0), "bind");
    sock::local_port(&socket);
}

/// The port, which nobody keeps until the second socket binds to it.
fn pick() -> u16 {
    let socket = sock::tcp4();
    expect_ok(sock::bind(&socket, Ipv4Addr::UNSPECIFIED, 0), "bind");
    sock::local_port(&socket)
}

fn pick_and_bind() -> bool {
    let port = pick();
    let socket = sock::tcp4();
    sock::bind(&socket, Ipv4Addr::UNSPECIFIED, port).is_ok()
}

fn times(work: impl Fn()) -> Duration {
    time(|| (0..MANY).for_each(|_| work()))
}

pub fn measure(sandbox: &Sandbox) {
    enable::enable(sandbox);
    section("One free port, against other ways to get it");
    let compare = |what: &str, other: &dyn Fn()| {
        let (acquired, others) = in_turn(15, || times(acquire), || times(other));
        let rate = f64::from(MANY) / acquired.as_secs_f64() / 1000.0;
        report(
            &format!("acquire ({rate:.0} thousand a second), times faster than {what}"),
            format!("{:.1}", ratio(others, acquired)),
            "",
        );
    };
    compare("a socket that holds it, bound to port 0", &hold);
    compare("to pick a port and bind to it", &|| {
        pick_and_bind();
    });
    match Server::start() {
        None => println!("portserver does not run; it is left out"),
        // Now and then it gives none.
        Some(_server) => compare("python_portpicker's portserver", &|| {
            (0..100).find_map(|_| ask()).expect("a port");
        }),
    }
    report(
        "picked ports that somebody else had got when they were bound, of 4 threads in 400 ports",
        format!("{:.2} %", failures() * 100.0),
        "",
    );
}

/// Of those who pick a port and bind to it later, as tests do that hand its number to a server.
fn failures() -> f64 {
    const ROUNDS: u32 = 2000;
    let range = "/proc/sys/net/ipv4/ip_local_port_range";
    let before = std::fs::read_to_string(range).expect("read the range");
    std::fs::write(range, "40000 40399").expect("set the range");
    let failed: u32 = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut failed = 0;
                    for _ in 0..ROUNDS {
                        let port = pick();
                        thread::sleep(Duration::from_micros(200));
                        let socket = sock::tcp4();
                        let bound = sock::bind(&socket, Ipv4Addr::UNSPECIFIED, port);
                        failed += u32::from(bound.is_err());
                        thread::sleep(Duration::from_micros(200));
                    }
                    failed
                })
            })
            .collect();
        threads.into_iter().map(|it| it.join().expect("join")).sum()
    });
    std::fs::write(range, before).expect("set the range");
    f64::from(failed) / f64::from(4 * ROUNDS)
}

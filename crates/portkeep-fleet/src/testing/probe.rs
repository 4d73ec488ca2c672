//! Processes that bind all the time on a machine, and write down what they saw. The program that starts them is
//! this one again: its `main` calls [`run_if_probe`] first.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, bind, connect, getsockname,
    setsockopt, socket, sockopt,
};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Uid, setresuid};
use portkeep::Protocol;
use portkeep_fleet_core::data::Name;

use super::Machine;

const VARIABLE: &str = "PORTKEEP_FLEET_PROBE";

/// A process that binds at random.
#[derive(Debug)]
pub struct Probe {
    child: Child,
    node: Name,
    user: u32,
    file: PathBuf,
}

/// What it saw at one bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where.
    pub node: Name,
    /// The process's user.
    pub user: u32,
    /// Before the call, in nanoseconds of the monotonic clock.
    pub start: u64,
    /// After it.
    pub end: u64,
    /// The protocol.
    pub protocol: Protocol,
    /// The port, also if the kernel chose it.
    pub port: u16,
    /// Whether it got it.
    pub bound: bool,
}

impl Probe {
    /// Starts one on a machine, for ports from the first to the last. One that holds keeps some of its sockets
    /// for a while.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start(machine: &Machine, user: u32, ports: (u16, u16), holds: bool) -> Probe {
        Probe::begin(machine, user, ports, u8::from(holds))
    }

    /// Starts one that keeps every port that it gets for a fifth of a second: some fifty at a time.
    pub fn crowd(machine: &Machine, user: u32, ports: (u16, u16)) -> Probe {
        Probe::begin(machine, user, ports, 4)
    }

    fn begin(machine: &Machine, user: u32, (first, last): (u16, u16), how: u8) -> Probe {
        let file = machine.directory().join(format!("probe-{user}-{how}"));
        let output = File::create(&file).expect("a file for the probe");
        // By its name, which reports of what is in the way show.
        let program = fs::read_link("/proc/self/exe").expect("this program");
        let mut command = machine.command(program.to_str().expect("a path in UTF-8"));
        command
            .env(VARIABLE, format!("{user} {first} {last} {how}"))
            .stdin(Stdio::piped())
            .stdout(output);
        Probe {
            child: command.spawn().expect("start a probe"),
            node: machine.name().parse().expect("a name"),
            user,
            file,
        }
    }

    /// Tries each port of each protocol until it is bound once, or for a minute and a half, and returns what was
    /// seen.
    ///
    /// # Panics
    ///
    /// If it did not end well.
    pub fn sweep(machine: &Machine, user: u32, ports: (u16, u16)) -> Vec<Seen> {
        let mut probe = Probe::begin(machine, user, ports, 2);
        let status = probe.child.wait().expect("wait for the probe");
        assert!(status.success(), "the probe of {} failed", probe.node);
        probe.read()
    }

    /// Binds one UDP port, and keeps it until this value goes, or says why not.
    ///
    /// # Panics
    ///
    /// If it did not start.
    pub fn hold(machine: &Machine, user: u32, port: u16) -> Result<Probe, String> {
        let probe = Probe::begin(machine, user, (port, port), 3);
        let over = Instant::now() + Duration::from_secs(60);
        loop {
            let said = fs::read_to_string(&probe.file).unwrap_or_default();
            match said.trim() {
                "" => assert!(Instant::now() < over, "the probe says nothing"),
                "bound" => return Ok(probe),
                why => return Err(why.to_owned()),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it, and reads what it saw.
    ///
    /// # Panics
    ///
    /// If it did not end well.
    pub fn end(mut self) -> Vec<Seen> {
        drop(self.child.stdin.take());
        let status = self.child.wait().expect("wait for the probe");
        assert!(status.success(), "the probe of {} failed", self.node);
        self.read()
    }

    fn read(&self) -> Vec<Seen> {
        let text = fs::read_to_string(&self.file).expect("what the probe saw");
        text.lines().filter_map(|line| self.parse(line)).collect()
    }

    fn parse(&self, line: &str) -> Option<Seen> {
        let mut words = line.split(' ');
        Some(Seen {
            node: self.node.clone(),
            user: self.user,
            start: words.next()?.parse().ok()?,
            end: words.next()?.parse().ok()?,
            protocol: Protocol::from_str(words.next()?).ok()?,
            port: words.next()?.parse().ok()?,
            bound: words.next()? == "1",
        })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The monotonic clock, which all processes of a machine share.
///
/// # Panics
///
/// Never, on Linux.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the clock");
    time.tv_sec().cast_unsigned() * 1_000_000_000 + time.tv_nsec().cast_unsigned()
}

/// Is a probe, if this process is one, and does not return then.
pub fn run_if_probe() {
    let Ok(text) = std::env::var(VARIABLE) else {
        return;
    };
    let numbers: Vec<u32> = text.split(' ').filter_map(|it| it.parse().ok()).collect();
    let &[user, first, last, holds] = &numbers[..] else {
        panic!("{VARIABLE}: {text}");
    };
    let uid = Uid::from_raw(user);
    setresuid(uid, uid, uid).expect("become another user");
    match holds {
        2 => sweep(first, last),
        3 => hold(u16::try_from(first).expect("a port")),
        _ => {}
    }
    // Ends when whoever started it closes the pipe.
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        STOP.store(true, Ordering::Relaxed);
    });
    let output = io::stdout().as_fd().try_clone_to_owned();
    let output = output.expect("the output");
    let mut prober = Prober {
        first: u16::try_from(first).expect("a port"),
        last: u16::try_from(last).expect("a port"),
        holds: holds == 1,
        crowds: holds == 4,
        held: VecDeque::new(),
        out: BufWriter::new(File::from(output)),
    };
    while !STOP.load(Ordering::Relaxed) {
        prober.step().expect("write down what is seen");
        std::thread::sleep(Duration::from_millis(4));
    }
    prober.out.flush().expect("write down what was seen");
    std::process::exit(0);
}

fn sweep(first: u32, last: u32) -> ! {
    let over = Instant::now() + Duration::from_secs(90);
    let ports = first..=last;
    let mut open: Vec<(Protocol, u16)> = ports
        .filter_map(|port| u16::try_from(port).ok())
        .flat_map(|port| [(Protocol::Tcp, port), (Protocol::Udp, port)])
        .collect();
    while !open.is_empty() && Instant::now() < over {
        open.retain(|(protocol, port)| {
            let start = now();
            let bound = bind_port(*protocol, *port, u64::MAX).is_ok();
            println!("{start} {} {protocol} {port} {}", now(), u8::from(bound));
            !bound
        });
        std::thread::sleep(Duration::from_millis(200));
    }
    std::process::exit(0);
}

fn hold(port: u16) -> ! {
    let socket = bind_port(Protocol::Udp, port, u64::MAX);
    match &socket {
        Ok(_) => println!("bound"),
        Err(errno) => println!("{}", errno.desc()),
    }
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    std::process::exit(0);
}

static STOP: AtomicBool = AtomicBool::new(false);

struct Prober {
    first: u16,
    last: u16,
    holds: bool,
    crowds: bool,
    held: VecDeque<(Instant, OwnedFd)>,
    out: BufWriter<File>,
}

impl Prober {
    fn step(&mut self) -> io::Result<()> {
        let random = crate::engine::random();
        let span = u64::from(self.last - self.first) + 1;
        let wanted = self.first + u16::try_from((random >> 16) % span).unwrap_or(0);
        let protocol = match random & 1 {
            0 => Protocol::Tcp,
            _ => Protocol::Udp,
        };
        let automatic = random & 0b1110 == 0;
        let start = now();
        let (port, outcome) = match automatic {
            true => automatic_port(protocol, random),
            false => (wanted, bind_port(protocol, wanted, random)),
        };
        let end = now();
        let bound = match &outcome {
            Ok(_) => true,
            Err(Errno::EADDRINUSE | Errno::EACCES | Errno::EPERM) if !automatic => false,
            Err(_) => return Ok(()),
        };
        let word = u8::from(bound);
        writeln!(self.out, "{start} {end} {protocol} {port} {word}")?;
        let late = |held: &(Instant, OwnedFd)| held.0 <= Instant::now();
        while self.held.front().is_some_and(late) {
            self.held.pop_front();
        }
        if let Ok(socket) = outcome
            && (self.crowds || self.holds && random >> 40 & 0x1ff == 0)
        {
            let time = if self.crowds { 200 } else { 1000 };
            let until = Instant::now() + Duration::from_millis(time);
            self.held.push_back((until, socket));
        }
        Ok(())
    }
}

fn new_socket(family: AddressFamily, protocol: Protocol) -> Result<OwnedFd, Errno> {
    let kind = match protocol {
        Protocol::Tcp => SockType::Stream,
        Protocol::Udp => SockType::Datagram,
    };
    socket(family, kind, SockFlag::SOCK_CLOEXEC, None)
}

/// Binds, to one of several addresses.
pub fn bind_port(protocol: Protocol, port: u16, random: u64) -> Result<OwnedFd, Errno> {
    let address: SocketAddr = match random >> 4 & 3 {
        0 => SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into(),
        1 => SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0).into(),
        _ => SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into(),
    };
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = new_socket(family, protocol)?;
    if protocol == Protocol::Tcp {
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    }
    match address {
        SocketAddr::V4(address) => bind(socket.as_raw_fd(), &SockaddrIn::from(address))?,
        SocketAddr::V6(address) => bind(socket.as_raw_fd(), &SockaddrIn6::from(address))?,
    }
    Ok(socket)
}

/// Has the kernel choose a port, by bind or by connect.
fn automatic_port(protocol: Protocol, random: u64) -> (u16, Result<OwnedFd, Errno>) {
    let choose = || {
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let socket = new_socket(AddressFamily::Inet, protocol)?;
        match (protocol, random >> 4 & 1) {
            (Protocol::Udp, 1) => {
                let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9);
                connect(socket.as_raw_fd(), &SockaddrIn::from(to))?;
            }
            _ => bind(socket.as_raw_fd(), &SockaddrIn::from(any))?,
        }
        let own: SockaddrIn = getsockname(socket.as_raw_fd())?;
        Ok((own.port(), socket))
    };
    match choose() {
        Ok((port, socket)) => (port, Ok(socket)),
        Err(errno) => (0, Err(errno)),
    }
}

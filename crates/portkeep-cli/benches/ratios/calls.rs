//! bind(), connect() and others alone: with Portkeep, with programs that do nothing at the same
//! hooks, which is what the kernel takes for any, and without.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use portkeep_admin::remove;
use portkeep_tests::proc::{self, Child, fork_child};
use portkeep_tests::socket2::{SockAddr, Socket};
use portkeep_tests::{Channel, Sandbox, enable, expect_ok, libc, raw, sock};

use crate::lanes::{Lane, has_baseline, pin};
use crate::page::{report, section};
use crate::paired::{Times, median_of_starts, ratio_of_starts, rounds};
use crate::stopwatch::time;

const ROUNDS: usize = 40;

/// How often the programs are attached anew.
const STARTS: usize = 16;

/// Calls in each turn, after some to warm up.
const CALLS: usize = 48;
const WARM_UP: usize = 8;

#[derive(Clone, Copy)]
enum Protocol {
    Tcp,
    Udp,
}

/// Makes sockets in a lane's cgroup: a socket belongs to the one that its process was in. All calls
/// are made by one process, so that no other difference between processes is measured.
struct Maker {
    channel: Channel,
    _process: Child,
}

impl Maker {
    fn new(lane: &Lane) -> Self {
        let (channel, other) = Channel::pair();
        let process = fork_child(|| {
            proc::enter_cgroup(&lane.cgroup);
            other.send(0);
            loop {
                let make = match other.recv() {
                    0 => sock::tcp4,
                    _ => sock::udp4,
                };
                for _ in 0..WARM_UP + CALLS {
                    other.send_fd(make());
                }
                // Those descriptors are closed now: a socket ends when the other process closes it.
                other.send(0);
            }
        });
        assert_eq!(channel.recv(), 0);
        Self {
            channel,
            _process: process,
        }
    }

    fn make(&self, protocol: Protocol) -> Vec<Socket> {
        self.channel.send(protocol as u64);
        let sockets = (0..WARM_UP + CALLS).map(|_| self.channel.recv_fd().into());
        let sockets = sockets.collect();
        assert_eq!(self.channel.recv(), 0);
        sockets
    }
}

/// A kind of call, on new sockets each time.
struct Call {
    name: &'static str,
    protocol: Protocol,
    prepare: fn(&Socket, u16),
    call: fn(&Socket, u16),
}

/// Nobody listens there.
const CLOSED: u16 = 9;
const LISTENER: u16 = 10;

fn address(address: Ipv4Addr, port: u16) -> SockAddr {
    SocketAddr::from((address, port)).into()
}

fn bind(socket: &Socket, port: u16) {
    let address = address(Ipv4Addr::UNSPECIFIED, port);
    socket.bind(&address).expect("bind");
}

fn connect(socket: &Socket, port: u16) {
    let address = address(Ipv4Addr::LOCALHOST, port);
    socket.connect(&address).expect("connect");
}

fn refused(socket: &Socket) {
    let address = address(Ipv4Addr::LOCALHOST, CLOSED);
    let error = socket.connect(&address).expect_err("refused");
    assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED));
}

/// No TIME_WAIT stays, for which ports would be missing soon.
fn reset_on_close(socket: &Socket, _: u16) {
    socket
        .set_linger(Some(Duration::ZERO))
        .expect("set SO_LINGER");
}

const CALLS_ALONE: [Call; 7] = [
    Call {
        name: "TCP bind()",
        protocol: Protocol::Tcp,
        prepare: |_, _| {},
        call: bind,
    },
    Call {
        name: "UDP bind()",
        protocol: Protocol::Udp,
        prepare: |_, _| {},
        call: bind,
    },
    Call {
        name: "TCP connect() to a closed port",
        protocol: Protocol::Tcp,
        prepare: |_, _| {},
        call: |socket, _| refused(socket),
    },
    Call {
        name: "TCP connect() to a closed port, bound",
        protocol: Protocol::Tcp,
        prepare: bind,
        call: |socket, _| refused(socket),
    },
    Call {
        name: "TCP connect() to a listener",
        protocol: Protocol::Tcp,
        prepare: reset_on_close,
        call: |socket, _| connect(socket, LISTENER),
    },
    Call {
        name: "UDP connect()",
        protocol: Protocol::Udp,
        prepare: |_, _| {},
        call: |socket, _| connect(socket, CLOSED),
    },
    Call {
        name: "UDP connect(), bound",
        protocol: Protocol::Udp,
        prepare: bind,
        call: |socket, _| connect(socket, CLOSED),
    },
];

const OPTIONS: Call = Call {
    name: "setsockopt() and getsockopt() in a control cgroup",
    protocol: Protocol::Tcp,
    prepare: |_, _| {},
    call: |socket, _| {
        socket.set_reuse_address(true).expect("setsockopt");
        socket.reuse_address().expect("getsockopt");
    },
};

impl Call {
    /// The time of [`CALLS`] calls in a row.
    fn measure(&self, maker: &Maker) -> Duration {
        let sockets = maker.make(self.protocol);
        let ports = || (20000..).zip(&sockets);
        ports().for_each(|(port, socket)| (self.prepare)(socket, port));
        let call = |(port, socket): (u16, &Socket)| (self.call)(socket, port);
        ports().take(WARM_UP).for_each(call);
        time(|| ports().skip(WARM_UP).for_each(call))
    }
}

type Work<'a> = &'a dyn Fn(&Maker) -> Duration;

/// The times of each kind of work in each start.
fn measure_in<const LANES: usize>(
    sandbox: &Sandbox,
    lanes: [fn(&Sandbox) -> Lane; LANES],
    works: &[Work<'_>],
) -> Vec<Vec<Times<LANES>>> {
    let mut times: Vec<_> = works.iter().map(|_| Vec::new()).collect();
    for start in 0..STARTS {
        let mut made = [const { None }; LANES];
        // Which is attached first makes a difference, too.
        for turn in 0..LANES {
            let lane = (turn + start) % LANES;
            made[lane] = Some(lanes[lane](sandbox));
        }
        let lanes = made.map(|lane| lane.expect("each has its turn"));
        let makers = lanes.each_ref().map(Maker::new);
        for (times, work) in times.iter_mut().zip(works) {
            times.push(rounds(ROUNDS, |lane| work(&makers[lane])));
        }
    }
    times
}

fn listener() -> Socket {
    let listener = sock::tcp4();
    expect_ok(sock::bind(&listener, Ipv4Addr::LOCALHOST, LISTENER), "bind");
    listener.listen(1024).expect("listen");
    listener.set_nonblocking(true).expect("set O_NONBLOCK");
    listener
}

pub fn measure(sandbox: &Sandbox) {
    // The lanes are below its cgroup.
    remove(&enable::installation(sandbox)).expect("remove");
    let pinned = pin();
    let listener = listener();
    let alone = CALLS_ALONE.map(|call| {
        let accept = || while listener.accept().is_ok() {};
        move |maker: &Maker| {
            let taken = call.measure(maker);
            accept();
            taken
        }
    });
    let alone = alone.each_ref().map(|work| work as Work<'_>);
    against_idle(sandbox, &alone);
    if has_baseline() {
        against_baseline(sandbox, &alone);
    }
    drop(pinned);
    enable::enable(sandbox);
}

fn against_idle(sandbox: &Sandbox, alone: &[Work<'_>]) {
    section("bind() and connect() alone, against programs that do nothing at the same hooks");
    let options = |maker: &Maker| OPTIONS.measure(maker);
    let works: Vec<Work<'_>> = alone.iter().copied().chain([&options as _]).collect();
    let lanes = [Lane::bare, Lane::idle, Lane::portkeep];
    let calls = CALLS_ALONE.iter().chain([&OPTIONS]);
    for (call, times) in calls.zip(measure_in(sandbox, lanes, &works)) {
        let ratio = |one, other| ratio_of_starts(&times, one, other).to_string();
        let bare = median_of_starts(&times, 0) / CALLS as u32;
        let aim = if call.name == OPTIONS.name {
            ""
        } else {
            "<= 1.05"
        };
        let what = format!("{} ({bare:.0?}), Portkeep / idle programs", call.name);
        report(&what, ratio(2, 1), aim);
        report("… Portkeep / no programs", ratio(2, 0), "");
        report("… idle programs / no programs", ratio(1, 0), "");
    }
}

/// A port of its own for each socket.
fn acquire_one(socket: &Socket, _: u16) {
    expect_ok(raw::acquire4(socket, 0, 1), "acquire");
    expect_ok(raw::instance(socket).map(drop), "read the token");
}

const ACQUIRE_ONE: Call = Call {
    name: "acquire 1 port + read token",
    protocol: Protocol::Tcp,
    prepare: |_, _| {},
    call: acquire_one,
};

/// Always the same block, which the next one gets when the socket before is gone.
fn acquire_thousand(maker: &Maker) -> Duration {
    let mut sockets = maker.make(Protocol::Tcp).into_iter();
    let acquire =
        |socket: Socket| time(|| expect_ok(raw::acquire4(&socket, 20000, 1000), "acquire"));
    sockets.by_ref().take(WARM_UP).for_each(|socket| {
        acquire(socket);
    });
    sockets.map(acquire).sum()
}

fn against_baseline(sandbox: &Sandbox, alone: &[Work<'_>]) {
    let revision = std::env::var("PORTKEEP_BASELINE_REVISION").unwrap_or_default();
    section(&format!("Against revision {revision}"));
    let one = |maker: &Maker| ACQUIRE_ONE.measure(maker);
    let works: [Work<'_>; 2] = [&one, &acquire_thousand];
    let works: Vec<_> = works.iter().chain(alone).copied().collect();
    let names = [ACQUIRE_ONE.name, "acquire 1000 ports"];
    let names = names.into_iter().chain(CALLS_ALONE.map(|call| call.name));
    let lanes = [Lane::baseline, Lane::portkeep];
    for (name, times) in names.zip(measure_in(sandbox, lanes, &works)) {
        let before = median_of_starts(&times, 0) / CALLS as u32;
        // Its aim is that against idle programs: a revision may have no hook there.
        let aim = if name.contains("connect") {
            ""
        } else {
            "<= 1.00"
        };
        report(
            &format!("{name} ({before:.1?}), now / before"),
            ratio_of_starts(&times, 1, 0).to_string(),
            aim,
        );
    }
}

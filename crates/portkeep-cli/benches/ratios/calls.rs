//! bind(), connect() and others alone: with Portkeep, with programs that do nothing at the same
//! hooks, which is what the kernel takes for any, and without.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use portkeep_admin::remove;
use portkeep_tests::proc::{self, Child, fork_child};
use portkeep_tests::socket2::{SockAddr, Socket};
use portkeep_tests::{Channel, Sandbox, enable, expect_ok, libc, raw, sock};

use crate::lanes::{Lane, pin};
use crate::page::{report, section};
use crate::paired::{Times, rounds};
use crate::stopwatch::time;

const ROUNDS: usize = 400;

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

    fn measure_in<const LANES: usize>(
        &self,
        makers: &[Maker; LANES],
        listener: &Socket,
    ) -> Times<LANES> {
        rounds(ROUNDS, |lane| {
            let taken = self.measure(&makers[lane]);
            while listener.accept().is_ok() {}
            taken
        })
    }
}

fn listener() -> Socket {
    let listener = sock::tcp4();
    expect_ok(sock::bind(&listener, Ipv4Addr::LOCALHOST, LISTENER), "bind");
    listener.listen(1024).expect("listen");
    listener.set_nonblocking(true).expect("set O_NONBLOCK");
    listener
}

pub fn measure(sandbox: &Sandbox) {
    section("bind() and connect() alone, against programs that do nothing at the same hooks");
    // The lanes are below its cgroup.
    remove(&enable::installation(sandbox)).expect("remove");
    let _pinned = pin();
    let listener = listener();
    let lanes = [
        Lane::bare(sandbox),
        Lane::idle(sandbox),
        Lane::portkeep(sandbox),
    ];
    let makers = lanes.each_ref().map(Maker::new);
    for (call, aim) in CALLS_ALONE
        .iter()
        .map(|call| (call, "<= 1.05"))
        .chain([(&OPTIONS, "")])
    {
        let times = call.measure_in(&makers, &listener);
        let bare = times.median(0) / CALLS as u32;
        report(
            &format!("{} ({bare:.0?}), Portkeep / idle programs", call.name),
            times.ratio(2, 1).to_string(),
            aim,
        );
        report(
            "… Portkeep / no programs",
            times.ratio(2, 0).to_string(),
            "",
        );
        report(
            "… idle programs / no programs",
            times.ratio(1, 0).to_string(),
            "",
        );
    }
    drop(makers);
    drop(lanes);
    against_baseline(sandbox, &listener);
    enable::enable(sandbox);
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

fn against_baseline(sandbox: &Sandbox, listener: &Socket) {
    let Some(before) = Lane::baseline(sandbox) else {
        return;
    };
    let revision = std::env::var("PORTKEEP_BASELINE_REVISION").unwrap_or_default();
    section(&format!("Against revision {revision}"));
    let lanes = [before, Lane::portkeep(sandbox)];
    let makers = lanes.each_ref().map(Maker::new);
    let line = |name: &str, times: &Times<2>| {
        let before = times.median(0) / CALLS as u32;
        report(
            &format!("{name} ({before:.1?}), now / before"),
            times.ratio(1, 0).to_string(),
            "<= 1.00",
        );
    };
    line(ACQUIRE_ONE.name, &ACQUIRE_ONE.measure_in(&makers, listener));
    let times = rounds(ROUNDS, |lane| acquire_thousand(&makers[lane]));
    line("acquire 1000 ports", &times);
    for call in &CALLS_ALONE {
        line(call.name, &call.measure_in(&makers, listener));
    }
}

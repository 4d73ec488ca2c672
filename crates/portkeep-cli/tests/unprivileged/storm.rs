//! Datagrams to a held port.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use portkeep_tests::Sandbox;

use crate::scene::{PORT, build, run};

/// While the owner binds, closes and binds again, none is queued at any socket but its own.
pub fn nothing_is_delivered_to_the_holder(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let script = build(sandbox, "rebind.py");
    let script = script.to_str().expect("a path in UTF-8");
    let mut run = run(&["/usr/bin/python3", script, "udp"]);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for address in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
            let over = &over;
            scope.spawn(move || {
                let here: std::net::IpAddr = address;
                let client = UdpSocket::bind((here, 0)).expect("bind");
                while !over.load(Ordering::Relaxed) {
                    let _ = client.send_to(b"datagram", (here, PORT));
                }
            });
        }
        run.go_on();
        run.go_on();
        assert_eq!(run.line(), "done");
        over.store(true, Ordering::Relaxed);
    });
    // The owner has closed its last socket: those left at the port are the holder's.
    assert_eq!(queued_at_the_port(), [0]);
    // With nobody there a sender is not told so: the holder drops it.
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
    client
        .connect((Ipv4Addr::LOCALHOST, PORT))
        .expect("connect");
    client.send(b"datagram").expect("send");
    client.set_nonblocking(true).expect("set it");
    let error = client.recv(&mut [0; 8]).expect_err("nobody answers");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(queued_at_the_port(), [0]);
}

/// The bytes queued at each UDP socket at the port, proc_net_udp(5).
fn queued_at_the_port() -> Vec<u64> {
    let of_family = |name: &str| {
        let list = fs::read_to_string(format!("/proc/thread-self/net/{name}")).expect("read");
        let sockets = list.lines().filter_map(|line| {
            let columns: Vec<_> = line.split_ascii_whitespace().collect();
            let port = columns.get(1)?.rsplit_once(':')?.1;
            let (_, queued) = columns.get(4)?.split_once(':')?;
            (u16::from_str_radix(port, 16).ok()? == PORT)
                .then(|| u64::from_str_radix(queued, 16).expect("a number"))
        });
        sockets.collect::<Vec<_>>()
    };
    ["udp", "udp6"].into_iter().flat_map(of_family).collect()
}

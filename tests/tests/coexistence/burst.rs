//! Many processes that start at once and bind, as those of MPI do.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use portkeep_tests::socket2::Socket;
use portkeep_tests::{Channel, Sandbox, proc, sock};

use crate::twice::twice;

const PROCESSES: usize = 50;
const SOCKETS: usize = 100;
/// Every process has one port at a number that all know.
const WELL_KNOWN: u16 = 20000;

/// The port of a listener, or the errno.
fn listen(port: u16) -> Result<(Socket, u16), i32> {
    let socket = sock::tcp4();
    sock::bind(&socket, Ipv4Addr::LOCALHOST, port)?;
    sock::listen(&socket)?;
    let port = sock::local_port(&socket);
    Ok((socket, port))
}

/// Binds, tells its ports, connects where it is told to, and ends when all have.
fn process(rank: usize, channel: &Channel) -> i32 {
    let own = WELL_KNOWN + u16::try_from(rank).expect("a small number");
    assert_eq!(channel.recv(), 0);
    let _well_known = listen(own).expect("the well-known port");
    let sockets: Vec<_> = (0..SOCKETS).map(|_| listen(0)).collect();
    for socket in &sockets {
        let port = socket.as_ref().map_or(0, |(_, port)| u64::from(*port));
        channel.send(port);
    }
    let neighbour = u16::try_from(channel.recv()).expect("a port");
    let client = sock::tcp4();
    let connected = sock::connect(&client, Ipv4Addr::LOCALHOST, neighbour);
    channel.send(u64::from(connected.is_ok()));
    assert_eq!(channel.recv(), 0);
    0
}

/// How many ports were had, how many different ones, and how many connections.
fn burst() -> [usize; 3] {
    let processes: Vec<_> = (0..PROCESSES)
        .map(|rank| {
            let (own, others) = Channel::pair();
            let child = proc::fork_child(|| process(rank, &others));
            (child, own)
        })
        .collect();
    let tell = |number: u64| {
        processes
            .iter()
            .for_each(|(_, channel)| channel.send(number))
    };
    tell(0);
    let ports: Vec<u64> = processes
        .iter()
        .flat_map(|(_, channel)| (0..SOCKETS).map(|_| channel.recv()))
        .collect();
    for (rank, (_, channel)) in processes.iter().enumerate() {
        channel.send(ports[(rank + 1) % PROCESSES * SOCKETS]);
    }
    let connections = processes
        .iter()
        .filter(|(_, channel)| channel.recv() == 1)
        .count();
    tell(0);
    for (child, _) in processes {
        assert_eq!(child.code(), 0);
    }
    let had: Vec<_> = ports.into_iter().filter(|port| *port != 0).collect();
    let different: BTreeSet<_> = had.iter().collect();
    [had.len(), different.len(), connections]
}

pub(crate) fn binds_of_many_processes(sandbox: &Sandbox) {
    let [without, with] = twice(sandbox, burst);
    assert_eq!(
        without,
        [PROCESSES * SOCKETS, PROCESSES * SOCKETS, PROCESSES]
    );
    assert_eq!(without, with);
}

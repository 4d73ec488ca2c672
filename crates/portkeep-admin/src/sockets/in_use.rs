//! The sockets that are in the way of a persistent reservation.

use std::collections::{BTreeSet, HashSet};
use std::error::Error;

use portkeep::{Consumer, PortRange};

use crate::sockets::diag;
use crate::sockets::processes::{Processes, command_line, is_consumer};
use crate::sockets::socket::{Socket, State};
use crate::sockets::words::{printable, process};
use crate::store::{FindSockets, FoundSockets, Stranger, sysctl, user_name};

/// Finds them with sock_diag(7) and in /proc.
#[derive(Debug)]
pub struct InUse;

impl FindSockets for InUse {
    fn find(
        &self,
        ports: PortRange,
        consumers: &[Consumer],
    ) -> Result<FoundSockets, Box<dyn Error + Send + Sync>> {
        let mut sockets = diag::bound_in(ports.protocol(), ports.start()..=ports.end())?;
        sockets.retain(holds_its_port);
        let inodes: HashSet<u32> = sockets.iter().filter_map(|socket| socket.inode).collect();
        let processes = Processes::with_sockets(&inodes)?;
        let mut found = FoundSockets::default();
        let automatic = sysctl::automatic_range()?;
        let listening: HashSet<u16> = sockets
            .iter()
            .filter(|socket| socket.state == State::Listening)
            .map(|socket| socket.local.port())
            .collect();
        // By port. Several sockets of a process at one port are one line.
        let mut strangers = BTreeSet::new();
        for socket in sockets {
            let owners = socket
                .inode
                .map(|inode| processes.of_inode(inode))
                .unwrap_or_default();
            let by_user = consumers.contains(&Consumer::User(socket.uid));
            if by_user || owners.iter().any(|owner| is_consumer(owner.pid, consumers)) {
                found.of_consumers += 1;
                continue;
            }
            let port = socket.local.port();
            let protocol = ports.protocol();
            let connected = socket.peer.is_some() && !listening.contains(&port);
            let stranger = Stranger {
                port,
                pid: None,
                command: None,
                uid: socket.uid,
                automatic: connected && automatic.contains(&port),
                words: String::new(),
            };
            if owners.is_empty() {
                let words = format!("{port}/{protocol}: {}", without_process(&socket));
                strangers.insert(Stranger {
                    words,
                    ..stranger.clone()
                });
            }
            for owner in owners {
                let process = process(owner.pid, &owner.command, owner.uid);
                let line = command_line(owner.pid).map(|line| format!(": {}", printable(&line)));
                let line = line.unwrap_or_default();
                strangers.insert(Stranger {
                    pid: Some(owner.pid),
                    command: Some(printable(&owner.command)),
                    uid: owner.uid,
                    words: format!("{port}/{protocol}: {process}{line}"),
                    ..stranger.clone()
                });
            }
        }
        found.of_strangers = strangers.into_iter().collect();
        Ok(found)
    }
}

/// Not those in TIME_WAIT, nor connections that a listener has not accepted: the listener holds the
/// port.
fn holds_its_port(socket: &Socket) -> bool {
    socket.state != State::TimeWait && !socket.is_unaccepted()
}

fn without_process(socket: &Socket) -> String {
    match socket.inode {
        None => "the kernel, after its process closed it".to_owned(),
        Some(_) => format!(
            "a socket of an unknown process, user {}",
            user_name(socket.uid)
        ),
    }
}

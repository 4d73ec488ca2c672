//! What a process is told to do, and what it tells of it.

use portkeep_tests::libc;
use portkeep_tests::raw::Conflict;
use serde::{Deserialize, Serialize};

/// Names a descriptor of a worker.
pub(crate) type Slot = u32;

/// What a worker is told to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Call {
    /// A new socket.
    Socket {
        slot: Slot,
        udp: bool,
        v6: bool,
    },
    Close {
        slot: Slot,
    },
    Dup {
        slot: Slot,
        to: Slot,
    },
    /// Sends the descriptor back.
    Show {
        slot: Slot,
    },
    /// Keeps the descriptor that comes along.
    Keep {
        slot: Slot,
    },
    Acquire {
        slot: Slot,
        start: u16,
        count: u16,
        flags: u32,
        align: u16,
    },
    Associate {
        slot: Slot,
        token: u64,
    },
    Release {
        slot: Slot,
        token: u64,
    },
    Claim {
        slot: Slot,
        token: u64,
    },
    Bind {
        slot: Slot,
        loopback: bool,
        port: u16,
    },
    Listen {
        slot: Slot,
    },
    /// To the loopback address of the socket's family.
    Connect {
        slot: Slot,
        port: u16,
    },
    /// To no address: `AF_UNSPEC`.
    Disconnect {
        slot: Slot,
    },
    /// To an address alone (`IP_BIND_ADDRESS_NO_PORT`).
    BindAddress {
        slot: Slot,
        loopback: bool,
    },
    Accept {
        slot: Slot,
        to: Slot,
    },
    /// Until the TCP socket, whose other end is closed, has noticed.
    AwaitReset {
        slot: Slot,
    },
    Create {
        slot: Slot,
        start: u16,
        count: u16,
        flags: u32,
        consumers: Vec<(u32, u64)>,
    },
    Delete {
        slot: Slot,
        start: u16,
        count: u16,
        flags: u32,
    },
    LookUp {
        slot: Slot,
        start: u16,
        count: u16,
    },
    /// A child with the same descriptors, which is told what to do over the one that comes along.
    Fork,
    Exit,
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Of the call, 0 if it succeeded.
    pub(crate) errno: i32,
    /// Which the socket is bound to afterwards.
    pub(crate) port: u16,
    /// First port, count and token of what was acquired, created or looked up.
    pub(crate) instance: Option<(u16, u16, u64)>,
    /// `PORTKEEP_CONFLICT` of the socket afterwards.
    pub(crate) conflict: Option<Told>,
    /// The associated token afterwards.
    pub(crate) associated: u64,
    /// The network namespace of the socket.
    pub(crate) netns: u64,
    /// The process id of a child.
    pub(crate) pid: u32,
}

/// What `PORTKEEP_CONFLICT` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) kind: u8,
    pub(crate) udp: bool,
    pub(crate) port: u16,
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    pub(crate) since: u64,
}

impl From<Conflict> for Told {
    fn from(conflict: Conflict) -> Told {
        assert_eq!(conflict.reserved, 0);
        Told {
            kind: conflict.kind,
            udp: i32::from(conflict.protocol) == libc::IPPROTO_UDP,
            port: conflict.port,
            pid: conflict.owner_pid,
            uid: conflict.owner_uid,
            since: conflict.since,
        }
    }
}

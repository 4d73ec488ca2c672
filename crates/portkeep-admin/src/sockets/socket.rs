//! A socket and its state.

use std::net::SocketAddr;

/// A socket that is bound to the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// How far it is.
    pub state: State,
    /// Its own address.
    pub local: SocketAddr,
    /// The address of what it is connected to.
    pub peer: Option<SocketAddr>,
    /// The user who opened the socket.
    pub uid: u32,
    /// The inode, by which processes are found; `None` if no process has the socket open.
    pub inode: Option<u32>,
}

/// The state of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has a port, and that is all.
    Bound,
    /// It listens.
    Listening,
    /// A connection begins.
    Connecting,
    /// It is connected.
    Connected,
    /// The peer has closed it.
    PeerClosed,
    /// Closed by one side or both, and not yet done.
    Closing,
    /// The connection is over; the kernel keeps the port for a minute.
    TimeWait,
}

impl State {
    /// From the numbers in the kernel's include/net/tcp_states.h. UDP sockets use them, too: 1 if
    /// connected, else 7.
    pub fn from_kernel(number: u8) -> Self {
        match number {
            1 => Self::Connected,
            2 | 3 | 12 => Self::Connecting,
            6 => Self::TimeWait,
            10 => Self::Listening,
            7 | 13 => Self::Bound,
            8 => Self::PeerClosed,
            _ => Self::Closing,
        }
    }

    /// The name in JSON documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bound => "bound",
            Self::Listening => "listening",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::PeerClosed | Self::Closing => "closing",
            Self::TimeWait => "time-wait",
        }
    }
}

impl Socket {
    /// Whether it is a connection that its listener has not accepted yet: nobody has it open, and nobody
    /// has closed it.
    pub fn is_unaccepted(&self) -> bool {
        self.inode.is_none()
            && matches!(
                self.state,
                State::Connecting | State::Connected | State::PeerClosed
            )
    }
}

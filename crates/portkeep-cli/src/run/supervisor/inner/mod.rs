//! Runs within a run.
//!
//! A process can have only one filter that tells of calls, so an inner run has none. Its holder knocks at
//! the door of the outer run's: `listen(-1, DOOR)`, which fails wherever no supervisor sees it, and works
//! in any namespace and without a word in the environment. It is answered with a channel, by which the
//! inner holder registers its ports; the outer one then sends it the sockets that its own descendants, and
//! no others, want to bind to them. All runs register with the outermost, however deep they are.
//!
//! The sockets that hold the inner run's ports are bound by the kernel and meet the outer ones as a
//! stranger's do: the library marks them.

mod channel;
mod door;
mod registry;
mod served;

use serde::{Deserialize, Serialize};

use crate::run::supervisor::request::Request;

pub use door::{Door, knock};
pub use registry::{Place, Registry};
pub use served::serve;

/// What an inner holder sends.
#[derive(Debug, Serialize, Deserialize)]
enum ToOuter {
    /// Its ports, first and last.
    Register(Vec<(u16, u16)>),
    /// What a call came to: 0 or an errno, `None` if it is not about its ports.
    Answer { id: u64, result: Option<i32> },
}

/// What it is sent.
#[derive(Debug, Serialize, Deserialize)]
enum ToInner {
    Registered,
    /// To make a call, on the socket that comes with it.
    Make {
        id: u64,
        request: Request,
    },
}

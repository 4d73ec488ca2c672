//! Reserve TCP and UDP ports on Linux: from then on nobody else on the machine can take them, neither
//! by an explicit bind nor by chance as an automatic port, until the process that reserved them lets
//! go or ends, however it ends.
//!
//! The kernel enforces that through Portkeep's kernel part, which root installs once per boot with
//! `portkeep enable`; after that every user can reserve ports, up to a quota. Where it is not installed, bound sockets
//! of the process hold the ports instead, which takes no privilege at all; [they can do
//! less](#held-sockets), and [`Reservation::backend`] tells which it is.
//!
//! This crate does not install the kernel part and keeps no ports over a reboot: the command
//! `portkeep` does both. It is not a firewall either.
//!
//! # A short tour
//!
//! [`Reservation::builder`] asks for ports, of Portkeep's choice or of yours. The sockets that are
//! to use them are opened by the reservation:
//!
//! ```no_run
//! use std::net::Ipv4Addr;
//! use portkeep::Reservation;
//!
//! // An RTP session: an even port for the media, the next one for RTCP.
//! let ports = Reservation::builder().udp().count(2).align(2).acquire()?;
//! let rtp = ports.udp_socket(Ipv4Addr::UNSPECIFIED, Some(ports.start()))?;
//! let rtcp = ports.udp_socket(Ipv4Addr::UNSPECIFIED, Some(ports.end()))?;
//! # Ok::<(), portkeep::Error>(())
//! ```
//!
//! Sockets that come from elsewhere, as those that need options first, are bound by
//! [`Reservation::bind`]; with the kernel part they may also be
//! [associated](Reservation::associate) and bound by others. Where the code that binds is not yours, [`Consumers::PROCESS`] lets the whole process bind, and
//! [`Consumers::TREE`] the programs it starts too, with the kernel part:
//!
//! ```no_run
//! use std::process::Command;
//! use portkeep::{Consumers, Reservation};
//!
//! let port = Reservation::builder().consumers(Consumers::TREE).acquire()?;
//! let status = Command::new("pytest").env("PORT", port.start().to_string()).status()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`list()`] shows the reservations of everybody that the kernel part keeps, [`list_at`] those of
//!   an installation elsewhere, [`list_held`] those that this user's processes hold by sockets,
//!   [`version()`] whether the kernel part is there.
//! - A service hands its ports to its successor with [`Reservation::sockets`] and
//!   [`Reservation::claim`], without a moment in which they are free.
//! - [`sockopt`] has the socket options themselves, [`abi`] their layout for other bindings.
//!
//! A reservation is of the network namespace of the thread that makes it, and covers IPv4 and IPv6.
//!
//! # Errors
//!
//! Every refusal is an [`Error`]. It says which port and who is in the way, and what to do next;
//! [`Error::kind`] is for programs, [`Error::errno`] for those that pass it on:
//!
//! ```no_run
//! use portkeep::{ErrorKind, Reservation};
//!
//! match Reservation::builder().port(61000).acquire() {
//!     Ok(reservation) => println!("got {}/tcp", reservation.start()),
//!     Err(error) if error.kind() == ErrorKind::InUse => println!("doing without"),
//!     Err(error) => {
//!         // port 61000/tcp is reserved by process 1234 (postgres), user 1000
//!         eprintln!("{error}");
//!         if let Some(hint) = error.hint() {
//!             eprintln!("Hint: {hint}");
//!         }
//!     }
//! }
//! ```
//!
//! An [`Error`] becomes a [`std::io::Error`] that keeps its kind, its message and its source.
//!
//! # Held sockets
//!
//! Both backends keep strangers and automatic ports out of the block, name the port in the way, take
//! all ports or none, and end with the process. Where sockets hold the ports:
//!
//! | | kernel part | held sockets |
//! |---|---|---|
//! | needs | root, once per boot | a descriptor for each port and protocol; Linux 5.14 |
//! | an owner's socket is | associated, then bound by anybody's bind(2) | opened or bound by the [`Reservation`], which also listens |
//! | [`Consumers`] | `PROCESS`, `TREE`, `USER` | none |
//! | tokens, [`claim`](Reservation::claim) | yes | no; copies of the sockets hold the ports in any process |
//! | [`release`](Reservation::release) while others have copies | ends it | closes this process's |
//! | ports of the automatic range | those in `ip_local_reserved_ports`; [`Backend::Auto`] has sockets hold the others | all |
//! | a wildcard gets | the next free block | a free block from a random place on, without ports in `TIME_WAIT` while there are others |
//! | seen by | everybody, with [`list()`] | processes of the same user, with [`list_held`] |
//! | the pool | `portkeep enable --pool` | 61000-65535 |
//! | kept out | everybody | everybody; but a socket of the same user with `SO_REUSEPORT`, which to the kernel is like the owner's, can slip in while the owner binds or listens |
//!
//! # On Windows
//!
//! There the crate makes the calls that it is named after: the control codes
//! `SIO_ACQUIRE_PORT_RESERVATION` and its siblings, and the IP Helper functions for persistent
//! reservations, in `portkeep::persistent`. [`Reservation`] and its builder are the same.
//! [`Consumers`] are refused with [`ErrorKind::InvalidInput`], and what only the kernel part has with
//! [`ErrorKind::NotSupported`]: [`list()`], [`Reservation::claim`], most of [`sockopt`]. A refused
//! bind to a port that is reserved is [`ErrorKind::Reserved`], but a refused acquire does not tell
//! reservations from sockets: it is [`ErrorKind::InUse`]. C programs for Windows compile on Linux
//! with the library `portkeep-winsock`.
//!
//! # On other systems
//!
//! The crate compiles on the BSDs and on macOS, so that programs need no conditions. There every call
//! is refused with [`ErrorKind::NotSupported`].
//!
//! # Threads and fork
//!
//! A [`Reservation`] may be used from several threads at once; it belongs to the process, not to the
//! thread. The network namespace is the thread's, so after `setns(2)` a socket of another namespace
//! cannot be associated ([`ErrorKind::UnknownToken`]).
//!
//! A reservation ends with the *last* close of its acquiring socket. All descriptors are closed on
//! exec, so a program that is started does not keep it. A child of `fork(2)` that executes nothing
//! has a copy and does keep it, also after the parent has dropped its own; such a child should drop
//! the [`Reservation`], or the parent should end it with [`Reservation::release`], which holds
//! whoever has copies. The child does not own the reservation: until it [claims](Reservation::claim)
//! it, it can neither associate sockets nor release.
//!
//! # With tokio
//!
//! The sockets are those of the standard library, and tokio takes them once they do not block:
//!
//! ```no_run
//! use std::net::Ipv6Addr;
//! use portkeep::Reservation;
//!
//! async fn serve(ports: &Reservation) -> Result<(), Box<dyn std::error::Error>> {
//!     let listener = ports.tcp_listener(Ipv6Addr::UNSPECIFIED, None)?;
//!     listener.set_nonblocking(true)?;
//!     let listener = tokio::net::TcpListener::from_std(listener)?;
//!     loop {
//!         let (connection, peer) = listener.accept().await?;
//!         println!("{peer} on {}", connection.local_addr()?);
//!     }
//! }
//! ```
//!
//! Acquiring and opening take microseconds and wait for nobody, so they need no `spawn_blocking`.

mod acquire;
mod age;
#[cfg(any(target_os = "linux", windows))]
mod blocks;
mod claim;
#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod held;
#[cfg(target_os = "linux")]
mod kernel;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod netns;
mod reservation;
mod socket;
#[cfg(target_os = "linux")]
mod sys;
mod types;
#[cfg(windows)]
mod windows;

#[cfg(not(any(target_os = "linux", windows)))]
use crate::elsewhere as system;
#[cfg(target_os = "linux")]
use crate::linux as system;
#[cfg(windows)]
use crate::windows as system;

pub use crate::acquire::Acquire;
pub use crate::claim::ClaimError;
pub use crate::reservation::Reservation;
pub use crate::system::{list, list_at, list_held, netns_cookie, sockopt, version};
pub use crate::types::{
    Backend, Conflict, ConflictKind, Consumer, Consumers, Entry, EntryKind, Error, ErrorKind,
    HeldEntry, Owner, ParseError, PortRange, Protocol, Token, abi,
};
#[cfg(windows)]
pub use crate::windows::persistent;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn every_way_in_agrees_whether_the_kernel_part_is_there() -> Result<(), Error> {
        let acquired = Reservation::builder()
            .tcp()
            .udp()
            .backend(Backend::Kernel)
            .acquire();
        match version() {
            Ok(version) => {
                assert!(version >= abi::PORTKEEP_ABI_VERSION);
                assert_eq!(acquired?.count(), 1);
            }
            Err(error) => {
                // The list may be within reach: that of a kernel part which serves other cgroups.
                let refused = acquired.expect_err("refused");
                for error in [error, refused].into_iter().chain(list().err()) {
                    assert_eq!(error.kind(), ErrorKind::NotEnabled, "{error}");
                    assert_eq!(error.errno(), Some(libc::ENOPROTOOPT));
                    assert!(
                        error
                            .hint()
                            .is_some_and(|hint| hint.contains("portkeep enable"))
                    );
                }
            }
        }
        Ok(())
    }
}

//! Installs Portkeep's kernel part, and keeps persistent reservations and exclusions across reboots.
//!
//! An [`Installation`] consists of a cgroup on whose sockets reservations are enforced, a BPF file system
//! in which the kernel part is pinned, and a directory with the store.
//!
//! # The kernel part
//!
//! The kernel part is a handful of BPF programs and maps. Their source is in `bpf/` of this package. The
//! package contains the compiled object, so installing compiles nothing. The kernel part needs no daemon:
//! its programs and maps are pinned in a BPF file system (see bpf(2), "BPF filesystem and pinning"). It
//! lasts until [`remove`] or a reboot.
//!
//! ```no_run
//! use portkeep_admin::{InstallOptions, install};
//!
//! let installed = install(&InstallOptions::default())?;
//! println!("reservations: {}", installed.layout.reservations().display());
//! # Ok::<(), portkeep_admin::Error>(())
//! ```
//!
//! It creates these files below the BPF file system, usually `/sys/fs/bpf`:
//!
//! | path | content | mode |
//! |---|---|---|
//! | `portkeep/reservations` | the list, as text | 0444 |
//! | `portkeep/maps/` | the live state | 0700 |
//! | `portkeep/links/` | the programs' attachments to cgroups | 0700 |
//!
//! [`install`] and [`remove`] need root in practice: `CAP_SYS_ADMIN` to mount and to attach to a cgroup,
//! and in addition `CAP_BPF`, `CAP_PERFMON` and `CAP_NET_ADMIN`. Afterwards nobody needs a privilege to
//! reserve ports.
//!
//! # The store
//!
//! A reservation is in up to three places: the *store*, a text file in `/var/lib/portkeep`; the kernel
//! part, which enforces it; and, for automatic ports, the setting `net.ipv4.ip_local_reserved_ports`,
//! which keeps `connect(2)` away from them. [`Keeper`] changes all of them together: after a crash or a
//! power cut at any instant, [`Keeper::restore`] restores the old or the new state.
//!
//! ```no_run
//! use portkeep_admin::{Installation, Kind, Ports, Request};
//!
//! let keeper = Installation::default().keeper();
//! let request = Request {
//!     kind: Kind::Reservation,
//!     ports: Ports::These(vec!["10000-20000/udp".parse()?]),
//!     scope: None,
//!     users: vec!["asterisk".to_owned()],
//!     groups: Vec::new(),
//!     cgroups: Vec::new(),
//!     comment: None,
//! };
//! keeper.reserve(&request, None)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `reservations.toml` is TOML that everyone can read. Portkeep writes it, and so may administrators with
//! an editor while no command runs; `portkeep enable` then makes the kernel agree:
//!
//! ```toml
//! version = 1
//!
//! [[reservation]]
//! ports = "10000-20000/udp"
//! users = ["asterisk"]
//! comment = "RTP"
//!
//! [[exclusion]]
//! ports = "8080/tcp"
//! netns = "every"
//! ```
//!
//! If an entry is deleted from the file, [`Keeper::restore`] also deletes the reservation from the kernel
//! part. The notes in `notes.toml` beside it distinguish such reservations from those that another program
//! made through the ABI; the latter are added to the file. Portkeep keeps the comments, order and layout of
//! the file. If entries overlap, it refuses the whole file.
//!
//! The store keeps users and groups by name, and [`Keeper::restore`] looks them up. It keeps cgroups by path
//! or by the name of a systemd unit. Portkeep refuses a file of a later version, or one that it cannot parse,
//! and never overwrites it.

mod error;
mod install;
mod installation;
#[cfg(feature = "sockets")]
pub mod sockets;
mod store;

pub use error::{Error, ErrorKind};
pub use install::*;
pub use installation::Installation;
pub use store::*;

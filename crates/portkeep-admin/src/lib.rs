//! Installs Portkeep's kernel part, and keeps persistent reservations and exclusions over reboots.
//!
//! Everything is about one [`Installation`]: a cgroup whose sockets are enforced on, a BPF file system that
//! the kernel part is pinned in, and a directory with the store.
//!
//! # The kernel part
//!
//! It is a handful of BPF programs and maps, whose source is in `bpf/` of this package. It comes
//! as a compiled object, so nothing has to be compiled where it is installed. It needs
//! no daemon: what it needs to live is pinned in a BPF file system (see bpf(2), "BPF filesystem
//! and pinning"), and it ends with [`remove`] or a reboot.
//!
//! ```no_run
//! use portkeep_admin::{InstallOptions, install};
//!
//! let installed = install(&InstallOptions::default())?;
//! println!("reservations: {}", installed.layout.reservations().display());
//! # Ok::<(), portkeep_admin::Error>(())
//! ```
//!
//! Below the BPF file system, usually `/sys/fs/bpf`:
//!
//! | path | what | mode |
//! |---|---|---|
//! | `portkeep/reservations` | the list, as text | 0444 |
//! | `portkeep/maps/` | the live truth | 0700 |
//! | `portkeep/links/` | the programs' attachments to cgroups | 0700 |
//!
//! [`install`] and [`remove`] need `CAP_SYS_ADMIN` (to mount, and to attach to a cgroup, the
//! capabilities `CAP_BPF`, `CAP_PERFMON` and `CAP_NET_ADMIN` come on top), in practice root.
//! Afterwards nobody needs a privilege to reserve ports.
//!
//! # The store
//!
//! A reservation is in up to three places: in the *store*, a file of text in `/var/lib/portkeep`; in
//! the kernel part, which enforces it; and, where its ports are automatic ones, in the setting
//! `net.ipv4.ip_local_reserved_ports`, which keeps `connect(2)` off. [`Keeper`] changes all of them
//! together, such that a crash or a power cut at any instant leaves the old or the new state once
//! [`Keeper::restore`] has run.
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
//! `reservations.toml` is TOML, readable for everybody, written by Portkeep and, while no command
//! runs, by administrators with an editor; `portkeep enable` then makes the kernel agree:
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
//! What is deleted from it the kernel part gives back, too: a file of notes beside it, `notes.toml`,
//! tells what came from there from what another program reserved through the ABI, which is stored.
//! Portkeep changes in the file what it has to change; comments, order and layout stay. Entries that
//! overlap are refused, all of them.
//!
//! Users and groups are kept by name and looked up by [`Keeper::restore`], cgroups by path or by the
//! name of a systemd unit. A file of a later version, or one that cannot be understood, is refused
//! and never overwritten.

mod error;
mod install;
mod installation;
mod store;

pub use error::{Error, ErrorKind};
pub use install::*;
pub use installation::Installation;
pub use store::*;

//! Keeps Portkeep's persistent reservations and exclusions over reboots.
//!
//! A reservation is in up to three places: in the *store*, a file of text in `/var/lib/portkeep`; in
//! the kernel part, which enforces it; and, where its ports are automatic ones, in the setting
//! `net.ipv4.ip_local_reserved_ports`, which keeps `connect(2)` off. [`Keeper`] changes all of them
//! together, such that a crash or a power cut at any instant leaves the old or the new state once
//! [`Keeper::restore`] has run.
//!
//! ```no_run
//! use portkeep_store::{Keeper, Kind, Ports, Request};
//!
//! let keeper = Keeper::new(None, Default::default());
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
//! # The file
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

mod cgroups;
mod creation;
mod difference;
mod document;
mod entries;
mod error;
mod files;
mod grace;
mod keeper;
mod kernel;
mod names;
pub mod namespace;
mod notes;
mod obstacles;
mod port_set;
mod record;
mod remove;
mod request;
mod reserve;
mod restore;
mod scope;
mod session;
mod settings;
mod store;
pub mod sysctl;
mod warnings;
mod withdraw;

pub use crate::difference::Difference;
pub use crate::document::Record;
pub use crate::error::{Error, ErrorKind};
pub use crate::files::{Files, RealFiles};
pub use crate::keeper::{Contents, FindSockets, FoundSockets, Keeper, Kind};
pub use crate::names::{group_name, user_name};
pub use crate::notes::Settings;
pub use crate::port_set::PortSet;
pub use crate::request::{Outcome, Ports, Request};
pub use crate::restore::Report;
pub use crate::scope::Scope;
pub use crate::store::DEFAULT_DIRECTORY;

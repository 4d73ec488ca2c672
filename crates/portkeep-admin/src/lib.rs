//! Installs, upgrades, inspects and removes Portkeep's kernel part.
//!
//! The kernel part is a handful of BPF programs and maps (`bpf/` in the repository). It comes with
//! this crate as a compiled object, so nothing has to be compiled where it is installed. It needs
//! no daemon: what it needs to live is pinned in a BPF file system (see `bpf(2)`, "BPF filesystem
//! and pinning"), and it ends with [`remove`] or a reboot.
//!
//! ```no_run
//! use portkeep_kernel::{InstallOptions, install};
//!
//! let installed = install(&InstallOptions::default())?;
//! println!("reservations: {}", installed.layout.reservations().display());
//! # Ok::<(), portkeep_kernel::Error>(())
//! ```
//!
//! # What lies where
//!
//! Below the BPF file system, usually `/sys/fs/bpf`:
//!
//! | path | what | mode |
//! |---|---|---|
//! | `portkeep/reservations` | the list, as text | 0444 |
//! | `portkeep/maps/` | the live truth | 0700 |
//! | `portkeep/links/` | the programs' attachments to cgroups | 0700 |
//!
//! # Privilege
//!
//! [`install`] and [`remove`] need `CAP_SYS_ADMIN` (to mount, and to attach to a cgroup, the
//! capabilities `CAP_BPF`, `CAP_PERFMON` and `CAP_NET_ADMIN` come on top), in practice root.
//! Afterwards nobody needs a privilege to reserve ports.

mod error;
mod install;
mod installation;
mod store;

pub use error::{Error, ErrorKind};
pub use install::*;
pub use installation::Installation;
pub use store::*;

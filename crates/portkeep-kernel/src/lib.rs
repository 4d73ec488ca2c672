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

mod abi_check;
mod bpffs;
mod cgroup;
mod consumers;
mod diagnose;
mod error;
mod features;
mod inspect;
mod install;
mod layout;
mod links;
mod lock;
mod object;
mod others;
mod proof;
mod remove;
mod settings;
#[allow(warnings, clippy::all, clippy::undocumented_unsafe_blocks, clippy::unwrap_used, missing_docs)]
#[rustfmt::skip]
mod skeleton;
mod subordinates;
mod sys;

pub use consumers::set_consumers;
pub use diagnose::{Fault, check_features, faults, prove};
pub use error::{Error, ErrorKind};
pub use inspect::{MapMemory, Status, inspect};
pub use install::{DEFAULT_POOL, InstallOptions, Installed, Running, install, install_with};
pub use layout::{Layout, Location};
pub use others::{OtherProgram, other_programs};
pub use remove::remove;
pub use settings::DEFAULT_QUOTA;

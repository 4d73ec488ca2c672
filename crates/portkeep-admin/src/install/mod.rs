//! The kernel part: installed, upgraded, inspected and removed.

mod abi_check;
mod bpffs;
pub(crate) mod cgroup;
mod diagnose;
mod enable;
mod features;
mod inspect;
pub(crate) mod layout;
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
mod tags;

pub use diagnose::{Fault, check_features, faults, prove};
pub use enable::{InstallOptions, Installed, Running, install, install_with};
pub use features::{Feature, features};
pub use inspect::{MapMemory, Refusals, Status, inspect};
pub use layout::Layout;
pub use object::{NAMING_CONSUMERS_MAX, RESERVATIONS_MAX};
pub use others::{OtherProgram, other_programs};
pub use portkeep_host::DEFAULT_POOL;
pub use remove::remove;
pub use settings::DEFAULT_QUOTA;

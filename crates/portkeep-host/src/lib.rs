//! What Portkeep's crates share, mostly about the machine that they run on.
//!
//! The library reads the kernel part's list, the installer pins what is beside it, and neither may
//! believe what others than root have put there. The check exists once, here, so that it is no part
//! of the library's own interface. There is no promise of stability.
//!
//! On systems other than Linux the crate is empty.

#![cfg(target_os = "linux")]

pub mod bpffs;
pub mod environment;
pub mod mounts;
pub mod random;
pub mod regular_file;
mod sys;

/// The first and the last port for requests that name no port, unless `portkeep enable --pool` set others: above
/// Linux's default automatic range.
pub const DEFAULT_POOL: (u16, u16) = (61000, 65535);

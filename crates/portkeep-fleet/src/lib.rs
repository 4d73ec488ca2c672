//! Reserves the same ports on many machines, on all of them or on none, with etcd.
//!
//! The protocol is in `portkeep-fleet-core`, as state machines without I/O. This crate drives them:
//! [`engine`] reads and changes etcd, and the program's commands are built on it.

#![deny(missing_docs)]

pub mod agent;
pub mod cli;
pub mod commands;
pub mod config;
pub mod connect;
pub mod engine;
pub mod error;
#[path = "../../portkeep-cli/src/output.rs"]
pub mod output;
#[path = "../../portkeep-cli/src/sockets/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the command `portkeep` uses all of it"
)]
mod sockets;
#[cfg(feature = "testing")]
pub mod testing;
#[path = "../../portkeep-cli/src/words.rs"]
#[allow(dead_code, reason = "the command `portkeep` uses all of it")]
mod words;

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
pub mod jobs;
pub mod operator;
#[path = "../../portkeep-cli/src/output.rs"]
pub mod output;
pub mod points;
pub mod socket;
#[cfg(feature = "testing")]
pub mod testing;

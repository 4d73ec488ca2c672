//! Reserves the same ports on many machines, on all of them or on none: the protocol of `portkeep fleet`
//! as state machines. They make no system call, read no clock and start no thread.
//!
//! A driver feeds them: it reads the engine (etcd), changes the kernel and the store of its machine, waits,
//! and reports what came of it. A state machine answers each [input](agent::Input) with
//! [effects](agent::Effect) for the driver to carry out.
//!
//! - [`agent`] makes one node agree with what the engine wants of it, and votes.
//! - [`coordinator`] takes one reservation from its start to the decision, or finishes what another began.
//! - [`sweeper`] deletes what a coordinator that died left behind without a record.
//! - [`allocator`] chooses numbers that no node is known to refuse.
//! - [`data`] is what the engine holds, and [`engine`] how it is read and changed.
//! - [`rules`] lists what makes it safe; [`checker`] finds violations in a history of what clients saw.
//!
//! "Committed" means that every member's kernel refuses everybody else from that instant on. The guide
//! `docs/fleet.md` explains the protocol.

#![deny(missing_docs)]

pub mod agent;
pub mod allocator;
pub mod checker;
pub mod coordinator;
pub mod data;
pub mod engine;
pub mod points;
pub mod rules;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod sweeper;

//! The commands, a file for each.

pub mod adopt_engine;
pub mod agent;
pub mod drift;
pub mod exclude;
pub mod forget;
pub mod init;
pub mod join;
pub mod node;
pub mod repair;
pub mod reserve;
pub mod status;
pub mod unreserve;
pub mod who;
pub mod why;

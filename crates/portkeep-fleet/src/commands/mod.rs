//! The commands, a file for each.

pub mod adopt_engine;
pub mod agent;
pub mod init;
pub mod join;
pub mod node;

//! The commands, a file for each.

pub mod agent;
pub mod init;
pub mod node;

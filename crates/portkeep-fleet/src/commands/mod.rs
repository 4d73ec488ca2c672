//! The commands, a file for each.

pub mod init;
pub mod node;

//! The commands, a file for each.

pub mod drift;
pub mod exclude;
pub mod forget;
pub mod init;
pub mod node;
pub mod repair;
pub mod reserve;
pub mod status;
pub mod unreserve;
pub mod who;
pub mod why;

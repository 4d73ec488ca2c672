//! The commands, a file for each.

pub mod acquire;
pub mod agent;
pub mod attach;
pub mod init;
pub mod node;
pub mod quota;
pub mod release;
pub mod run;
pub mod steward;

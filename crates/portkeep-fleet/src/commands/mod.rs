//! The commands, a file for each.

pub mod acquire;
pub mod adopt_engine;
pub mod agent;
pub mod attach;
pub mod change;
pub mod drift;
pub mod exclude;
pub mod forget;
pub mod init;
pub mod join;
pub mod ls;
pub mod node;
pub mod quota;
pub mod release;
pub mod repair;
pub mod reserve;
pub mod run;
pub mod status;
pub mod steward;
pub mod strangers;
pub mod unreserve;
pub mod who;
pub mod why;

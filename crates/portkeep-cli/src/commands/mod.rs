//! The commands, one file each.

pub mod apply;
pub mod disable;
pub mod doctor;
pub mod enable;
pub mod exclude;
pub mod fleet;
pub mod hold;
pub mod include;
pub mod ls;
pub mod map;
pub mod metrics;
pub mod reserve;
pub mod run;
pub mod serve;
pub mod status;
pub mod unreserve;
pub mod watch;
pub mod why;

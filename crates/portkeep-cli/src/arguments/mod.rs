//! Arguments that several commands share.

pub mod color;
pub mod filters;
pub mod netns;
pub mod persistent;
pub mod ports;
pub mod removal;
pub mod variable_name;
pub mod wanted_port;

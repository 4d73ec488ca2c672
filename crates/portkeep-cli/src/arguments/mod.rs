//! Arguments that several commands share.

pub mod netns;
pub mod persistent;
pub mod ports;

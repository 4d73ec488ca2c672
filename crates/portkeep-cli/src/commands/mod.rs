//! One module for each command.

pub mod hold;
pub mod ls;
pub mod run;
pub mod why;

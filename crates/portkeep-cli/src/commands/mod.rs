//! One module for each command.

pub mod disable;
pub mod enable;
pub mod hold;
pub mod ls;
pub mod run;
pub mod status;
pub mod why;

//! User names.

pub use portkeep_store::user_name as name;

//! User names.

pub use portkeep_admin::user_name as name;

//! User names.

use nix::unistd::{Uid, User};

/// The name of a user, or the number where the user database has no name for it.
pub fn name(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => uid.to_string(),
    }
}

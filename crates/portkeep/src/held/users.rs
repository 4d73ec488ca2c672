//! The users that sockets count as: two that share a port must be of the same one.

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

use crate::held::holder::{Locked, Note};
use crate::sys;

/// Whoever may (`CAP_CHOWN`) gives holder and socket to a user that nobody is, for as long as they
/// share: then no other socket in the system passes.
#[derive(Debug)]
pub(super) struct OneUser<'a> {
    /// The user that both are of now.
    user: u32,
    /// Which of the spare users it is.
    turn: Option<bool>,
    given_back: Vec<(BorrowedFd<'a>, u32)>,
}

impl<'a> OneUser<'a> {
    /// Makes both sockets one user's. A socket that stays as it is gives its user to the holder: others
    /// are to share with it later. `None` if they are two users' and that cannot be changed.
    pub(super) fn of(
        holder: &Locked<'a>,
        socket: BorrowedFd<'a>,
        stays: bool,
    ) -> io::Result<Option<OneUser<'a>>> {
        let (of_holder, of_socket) = (sys::user_of(holder.socket)?, sys::user_of(socket)?);
        let mut one = OneUser {
            user: of_socket,
            turn: None,
            given_back: Vec::new(),
        };
        if !stays && let Some(spare) = spare_users() {
            // The kernel remembers the user of the last socket that shared, and lets that user's others
            // pass unchecked (`tb->fastuid`). So the next one is another, see `remembered`.
            let turn = holder.is_noted(Note::Turn)?;
            let user = spare[usize::from(turn)];
            if sys::set_user(socket, user).is_ok() {
                one.given_back.push((socket, of_socket));
                one.user = user;
                one.turn = Some(turn);
            }
        }
        if one.user != of_holder {
            if sys::set_user(holder.socket, one.user).is_err() {
                return Ok(None);
            }
            one.given_back.push((holder.socket, of_holder));
        }
        Ok(Some(one))
    }

    /// Whether it is a user that nobody is.
    pub(super) fn is_spare(&self) -> bool {
        self.turn.is_some()
    }

    /// The kernel has the user of a call that it did not refuse for a conflict, so it is the other one's
    /// turn. Of a refused one it still has the user before.
    pub(super) fn remembered(&self, holder: &Locked<'_>, result: &io::Result<()>) {
        let refused = |error: &io::Error| error.raw_os_error() == Some(libc::EADDRINUSE);
        if let Some(turn) = self.turn
            && !result.as_ref().is_err_and(refused)
        {
            // It can only fail where the call before it did.
            let _ = holder.note(Note::Turn, !turn);
        }
    }

    /// Makes one more socket of this process this user's.
    pub(super) fn join(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        if self.user == sys::effective_user() {
            return Ok(());
        }
        sys::set_user(socket, self.user)
    }
}

impl Drop for OneUser<'_> {
    fn drop(&mut self) {
        for (socket, user) in self.given_back.iter().rev() {
            // It was of that user before, and who could give it away can take it back.
            let _ = sys::set_user(*socket, *user);
        }
    }
}

/// Two users that nobody is, of those that this user namespace has.
fn spare_users() -> Option<[u32; 2]> {
    static SPARE: OnceLock<Option<[u32; 2]>> = OnceLock::new();
    *SPARE.get_or_init(|| spare_of(&fs::read_to_string("/proc/self/uid_map").ok()?))
}

/// The last of a map that are neither accounts nor those that systemd or containers are given: 65534 is
/// nobody, the ones below 65520 are systemd's dynamic users.
fn spare_of(map: &str) -> Option<[u32; 2]> {
    const NOBODY: u32 = 65534;
    const ACCOUNTS: u32 = 65519;
    let extent = |line: &str| -> Option<RangeInclusive<u32>> {
        let mut columns = line.split_ascii_whitespace().map(str::parse::<u32>);
        let (first, _, count) = (
            columns.next()?.ok()?,
            columns.next()?.ok()?,
            columns.next()?.ok()?,
        );
        Some(first..=first.checked_add(count.checked_sub(1)?)?)
    };
    let mut last: Vec<u32> = map
        .lines()
        .filter_map(extent)
        .flat_map(|extent| extent.rev().take(3))
        .filter(|user| *user > ACCOUNTS && *user != NOBODY)
        .collect();
    last.sort_unstable();
    let [.., one, other] = last[..] else {
        return None;
    };
    Some([other, one])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spare_users_of_a_map() {
        for (map, spare) in [
            (
                "         0          0 4294967295\n",
                Some([4_294_967_294, 4_294_967_293]),
            ),
            ("0 100000 65536", Some([65535, 65533])),
            ("0 1000 1", None),
            ("0 1000 1\n1 100000 65536", Some([65536, 65535])),
            ("0 1000 1\n1 100000 1000", None),
            (
                "0 1000 1\n70000 100000 1\n80000 100001 1\n",
                Some([80000, 70000]),
            ),
            ("", None),
            ("0 0 0\n", None),
            ("x y z\n4294967295 0 9\n", None),
        ] {
            assert_eq!(spare_of(map), spare, "{map}");
        }
    }
}

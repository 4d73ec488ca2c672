//! What the trials have in common.

use std::ops::RangeInclusive;

use portkeep_tests::ports::{PortMap, map};
use portkeep_tests::{Protocol, Sandbox, proc, sock};

/// Across two words of a bitmap, and outside the automatic range.
pub(crate) const START: u16 = 10100;
pub(crate) const COUNT: u16 = 200;
pub(crate) const END: u16 = START + COUNT - 1;

pub(crate) use crate::ledger::USER;
pub(crate) const STRANGER: u32 = 1001;

/// 0 or the errno of a plain bind, for the exit code of a child.
pub(crate) fn try_bind(port: u16) -> i32 {
    sock::bind_any(sock::tcp4(), port).err().unwrap_or(0)
}

pub(crate) fn try_bind_as(uid: u32, gid: u32, port: u16) -> i32 {
    proc::as_uid(uid, gid, || try_bind(port))
}

#[track_caller]
pub(crate) fn assert_reserved<const N: usize>(sandbox: &Sandbox, ranges: [RangeInclusive<u16>; N]) {
    let expected = PortMap::new(ranges.map(|ports| (Protocol::Tcp, ports)));
    assert_eq!(map(sandbox), expected);
}

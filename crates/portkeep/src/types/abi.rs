//! The kernel ABI, version 1, as `portkeep.h` defines it, the C header of the kernel part.
//!
//! The names of the constants are those of the header. Ports are in network byte order, which the
//! type [`Be16`] says; every other number is in host byte order. Reserved fields must be zero.
//! New fields come at the end, so the length of a value tells its version.

use std::mem::{align_of, offset_of, size_of};

/// The level of `getsockopt(2)` and `setsockopt(2)`: `PK`.
pub const SOL_PORTKEEP: i32 = 0x504B;

/// Set: an [`AcquireRequest`], or its [`Range`] alone. Get: an [`Instance`].
///
/// The number is that of Winsock's `SIO_ACQUIRE_PORT_RESERVATION`.
#[doc(alias = "SIO_ACQUIRE_PORT_RESERVATION")]
pub const PORTKEEP_ACQUIRE: i32 = 0x9800_0064_u32 as i32;
/// Set: a token, `u64`. The number is that of Winsock's `SIO_RELEASE_PORT_RESERVATION`.
#[doc(alias = "SIO_RELEASE_PORT_RESERVATION")]
pub const PORTKEEP_RELEASE: i32 = 0x9800_0065_u32 as i32;
/// Set: a token, `u64`. Get: the associated token, 0 if there is none.
///
/// The number is that of Winsock's `SIO_ASSOCIATE_PORT_RESERVATION`.
#[doc(alias = "SIO_ASSOCIATE_PORT_RESERVATION")]
pub const PORTKEEP_ASSOCIATE: i32 = 0x9800_0066_u32 as i32;
/// Get: a `u32`, [`PORTKEEP_ABI_VERSION`].
pub const PORTKEEP_VERSION: i32 = 1;
/// Get: a [`ConflictRecord`].
pub const PORTKEEP_CONFLICT: i32 = 2;
/// Set: a token, `u64`.
pub const PORTKEEP_CLAIM: i32 = 3;
/// Set: an [`AcquireRequest`], then none to [`PORTKEEP_CONSUMERS_MAX`] [`ConsumerRecord`]s.
/// Get: an [`Instance`].
pub const PORTKEEP_CREATE: i32 = 4;
/// Set: a [`DeleteRequest`], or its [`Range`] alone.
pub const PORTKEEP_DELETE: i32 = 5;
/// Set: a [`Range`]. Get: an [`Instance`].
pub const PORTKEEP_LOOKUP: i32 = 6;
/// Set: an [`Heir`], on the acquiring socket.
pub const PORTKEEP_HAND_OVER: i32 = 7;
/// Set: a `u64`, a bit `1 << kind` for each kind of event to watch, or 0 for all of them. Get: an
/// [`EventsHead`], then as many [`EventRecord`]s as it says.
pub const PORTKEEP_WATCH: i32 = 8;

/// The version that this module describes.
pub const PORTKEEP_ABI_VERSION: u32 = 1;
/// The length in bytes of the longest value a set call takes, but for [`PORTKEEP_CREATE`].
pub const PORTKEEP_VALUE_MAX: usize = 64;
/// How many consumers a persistent reservation can have.
pub const PORTKEEP_CONSUMERS_MAX: usize = 8;

/// The owning process may bind in the block without associating.
pub const PORTKEEP_PROCESS: u32 = 1;
/// The owning process and its descendants may bind in the block without associating.
pub const PORTKEEP_TREE: u32 = 2;
/// Processes with the owner's effective user id, in its user namespace, may bind in the block
/// without associating.
pub const PORTKEEP_USER: u32 = 16;
/// Of a create: sockets that are bound in the block are not in the way.
pub const PORTKEEP_ADOPT: u32 = 4;
/// Of a delete: the range may be a part of a block, the rest of which stays reserved.
pub const PORTKEEP_PART: u32 = 8;
/// `DELETE`: the range, the last part of a persistent block, becomes a block of its own; nothing ends.
pub const PORTKEEP_SPLIT: u32 = 0x20000;
/// `DELETE`: the range, a persistent block, becomes part of the one that ends right before it; nothing ends.
pub const PORTKEEP_JOIN: u32 = 0x40000;
/// Of a create: the range is a whole persistent block that is there already; it gets these consumers.
pub const PORTKEEP_CHANGE: u32 = 0x80000;
/// Of a create or delete: in every network namespace, those to come included.
pub const PORTKEEP_EVERY_NETNS: u32 = 0x1_0000;

/// An effective user id.
pub const PORTKEEP_CONSUMER_UID: u32 = 1;
/// An effective or supplementary group id.
pub const PORTKEEP_CONSUMER_GID: u32 = 2;
/// The id of a cgroup v2, descendants included.
pub const PORTKEEP_CONSUMER_CGROUP: u32 = 3;
/// The id of the root cgroup, in which every process is.
pub const PORTKEEP_ROOT_CGROUP: u64 = 1;

/// Nothing was refused.
pub const PORTKEEP_CONFLICT_NONE: u8 = 0;
/// A reservation holds the port.
pub const PORTKEEP_CONFLICT_RESERVED: u8 = 1;
/// A socket is bound to the port.
pub const PORTKEEP_CONFLICT_IN_USE: u8 = 2;
/// The port is an automatic one that `connect(2)` may take at any time.
pub const PORTKEEP_CONFLICT_AUTOMATIC: u8 = 3;
/// The user's quota is used up.
pub const PORTKEEP_CONFLICT_QUOTA: u8 = 4;
/// The port is privileged.
pub const PORTKEEP_CONFLICT_NOT_PERMITTED: u8 = 5;
/// The look through the kernel's sockets was too long to tell whether the port is in use.
pub const PORTKEEP_CONFLICT_CANNOT_TELL: u8 = 6;
/// The reservation that the socket is associated with has ended.
pub const PORTKEEP_CONFLICT_ENDED: u8 = 7;

/// A bind was refused.
pub const PORTKEEP_EVENT_BIND_REFUSED: u8 = 1;
/// A connect of an associated socket was refused.
pub const PORTKEEP_EVENT_CONNECT_REFUSED: u8 = 2;
/// An acquire or a create was refused.
pub const PORTKEEP_EVENT_ACQUIRE_REFUSED: u8 = 3;
/// A process acquired ports.
pub const PORTKEEP_EVENT_ACQUIRED: u8 = 4;
/// A reservation of a process ended.
pub const PORTKEEP_EVENT_RELEASED: u8 = 5;
/// A persistent reservation was created.
pub const PORTKEEP_EVENT_CREATED: u8 = 6;
/// A persistent reservation, or a part of one, was deleted.
pub const PORTKEEP_EVENT_DELETED: u8 = 7;
/// Ports of a persistent block have become a block of their own.
pub const PORTKEEP_EVENT_SPLIT: u8 = 8;
/// A persistent block has become part of the one before it.
pub const PORTKEEP_EVENT_JOINED: u8 = 9;
/// A persistent block has other consumers.
pub const PORTKEEP_EVENT_CHANGED: u8 = 10;

/// A number of 16 bits in network byte order (`__be16`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Be16([u8; 2]);

impl Be16 {
    /// From a number in host byte order.
    pub const fn new(number: u16) -> Be16 {
        Be16(number.to_be_bytes())
    }

    /// The number in host byte order.
    pub const fn get(self) -> u16 {
        u16::from_be_bytes(self.0)
    }
}

/// `struct portkeep_range`: a run of ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Range {
    /// The first port. In a request 0 asks for any free block of the pool.
    pub start: Be16,
    /// The number of ports.
    pub count: u16,
}

/// `struct portkeep_acquire`: what [`PORTKEEP_ACQUIRE`] sets, and [`PORTKEEP_CREATE`] first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct AcquireRequest {
    /// The wanted ports.
    pub range: Range,
    /// [`PORTKEEP_PROCESS`], [`PORTKEEP_TREE`], [`PORTKEEP_USER`]; of a create [`PORTKEEP_ADOPT`],
    /// [`PORTKEEP_EVERY_NETNS`].
    pub flags: u32,
    /// The start is a multiple of this power of two; 0 is 1.
    pub align: u16,
    /// Zero.
    pub reserved: [u8; 6],
}

/// `struct portkeep_consumer`: who may bind in a persistent reservation without associating.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ConsumerRecord {
    /// [`PORTKEEP_CONSUMER_UID`] and the others.
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
    /// Of a user or group: in the caller's user namespace.
    pub id: u64,
}

/// `struct portkeep_delete`: what [`PORTKEEP_DELETE`] sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct DeleteRequest {
    /// The ports.
    pub range: Range,
    /// [`PORTKEEP_PART`], [`PORTKEEP_SPLIT`] or [`PORTKEEP_JOIN`]; [`PORTKEEP_EVERY_NETNS`].
    pub flags: u32,
}

/// `struct portkeep_heir`: what [`PORTKEEP_HAND_OVER`] sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Heir {
    /// The reservation.
    pub token: u64,
    /// The process that becomes the owner, see `pidfd_open(2)`.
    pub pidfd: i32,
    /// Zero.
    pub reserved: u32,
}

/// `struct portkeep_instance`: what [`PORTKEEP_ACQUIRE`], [`PORTKEEP_CREATE`] and
/// [`PORTKEEP_LOOKUP`] get.
///
/// It tells what the calling thread last acquired, created or looked up on the socket; all zero if
/// nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Instance {
    /// The ports.
    pub range: Range,
    /// Zero.
    pub reserved: u32,
    /// The token; 0 only if there is nothing to tell.
    pub token: u64,
}

/// `struct portkeep_conflict`: what [`PORTKEEP_CONFLICT`] gets.
///
/// It tells about the last refused acquire or bind on the socket; all zero if none was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ConflictRecord {
    /// The port in the way; 0 if it is no single one.
    pub port: Be16,
    /// [`PORTKEEP_CONFLICT_RESERVED`] and the others.
    pub kind: u8,
    /// `IPPROTO_TCP` or `IPPROTO_UDP`.
    pub protocol: u8,
    /// The owner's process id in the initial process namespace, 0 if unknown.
    pub owner_pid: u32,
    /// The owner's user id in the initial user namespace.
    pub owner_uid: u32,
    /// Zero.
    pub reserved: u32,
    /// `CLOCK_BOOTTIME` in nanoseconds, 0 if unknown.
    pub since: u64,
}

/// `struct portkeep_event`: what [`PORTKEEP_WATCH`] gets, after the [`EventsHead`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct EventRecord {
    /// `CLOCK_BOOTTIME` in nanoseconds.
    pub time: u64,
    /// The cookie of the network namespace; 0: every one.
    pub netns: u64,
    /// The reservation's token, 0 if there is none or it is unknown.
    pub token: u64,
    /// When the reservation was acquired: `CLOCK_BOOTTIME` in nanoseconds, 0 if unknown.
    pub since: u64,
    /// The caller's process id in the initial process namespace.
    pub pid: u32,
    /// The caller's user id in the initial user namespace.
    pub uid: u32,
    /// The process that owns the reservation, 0 if unknown.
    pub owner_pid: u32,
    /// The user who owns the reservation.
    pub owner_uid: u32,
    /// The ports that were asked for; a start of 0: any.
    pub range: Range,
    /// The port in the way; 0 if it is no single one.
    pub port: Be16,
    /// [`PORTKEEP_EVENT_BIND_REFUSED`] and the others.
    pub kind: u8,
    /// [`PORTKEEP_CONFLICT_RESERVED`] and the others.
    pub conflict: u8,
    /// `IPPROTO_TCP` or `IPPROTO_UDP`.
    pub protocol: u8,
    /// 1 if the reservation is persistent.
    pub persistent: u8,
    /// The errno of a refusal.
    pub error: u16,
    /// Zero.
    pub reserved: u32,
    /// The name of the caller's command, ended by a 0.
    pub command: [u8; 16],
    /// The name of the owner's command.
    pub owner_command: [u8; 16],
}

/// `struct portkeep_events`: what [`PORTKEEP_WATCH`] gets first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct EventsHead {
    /// Events of any kind that were overwritten before this watcher read them.
    pub lost: u64,
    /// When Portkeep was last enabled: `CLOCK_BOOTTIME` in nanoseconds, 0 if unknown.
    pub enabled: u64,
    /// The number of events that follow.
    pub number: u32,
    /// 1 if there are more already.
    pub more: u32,
}

const _: () = {
    assert!(size_of::<Range>() == 4 && align_of::<Range>() == 2);
    assert!(offset_of!(Range, start) == 0);
    assert!(offset_of!(Range, count) == 2);

    assert!(size_of::<AcquireRequest>() == 16 && align_of::<AcquireRequest>() == 4);
    assert!(offset_of!(AcquireRequest, range) == 0);
    assert!(offset_of!(AcquireRequest, flags) == 4);
    assert!(offset_of!(AcquireRequest, align) == 8);
    assert!(offset_of!(AcquireRequest, reserved) == 10);

    assert!(size_of::<ConsumerRecord>() == 16);
    assert!(align_of::<ConsumerRecord>() == align_of::<u64>());
    assert!(offset_of!(ConsumerRecord, kind) == 0);
    assert!(offset_of!(ConsumerRecord, reserved) == 4);
    assert!(offset_of!(ConsumerRecord, id) == 8);

    assert!(size_of::<DeleteRequest>() == 8 && align_of::<DeleteRequest>() == 4);
    assert!(offset_of!(DeleteRequest, range) == 0);
    assert!(offset_of!(DeleteRequest, flags) == 4);

    assert!(size_of::<Heir>() == 16 && align_of::<Heir>() == align_of::<u64>());
    assert!(offset_of!(Heir, token) == 0);
    assert!(offset_of!(Heir, pidfd) == 8);
    assert!(offset_of!(Heir, reserved) == 12);

    assert!(size_of::<Instance>() == 16 && align_of::<Instance>() == align_of::<u64>());
    assert!(offset_of!(Instance, range) == 0);
    assert!(offset_of!(Instance, reserved) == 4);
    assert!(offset_of!(Instance, token) == 8);

    assert!(size_of::<ConflictRecord>() == 24);
    assert!(align_of::<ConflictRecord>() == align_of::<u64>());
    assert!(offset_of!(ConflictRecord, port) == 0);
    assert!(offset_of!(ConflictRecord, kind) == 2);
    assert!(offset_of!(ConflictRecord, protocol) == 3);
    assert!(offset_of!(ConflictRecord, owner_pid) == 4);
    assert!(offset_of!(ConflictRecord, owner_uid) == 8);
    assert!(offset_of!(ConflictRecord, reserved) == 12);
    assert!(offset_of!(ConflictRecord, since) == 16);

    assert!(size_of::<EventRecord>() == 96);
    assert!(align_of::<EventRecord>() == align_of::<u64>());
    assert!(offset_of!(EventRecord, range) == 48);
    assert!(offset_of!(EventRecord, port) == 52);
    assert!(offset_of!(EventRecord, error) == 58);
    assert!(offset_of!(EventRecord, command) == 64);
    assert!(offset_of!(EventRecord, owner_command) == 80);
    assert!(size_of::<EventsHead>() == 24);
    assert!(offset_of!(EventsHead, number) == 16);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_byte_order() {
        let port = Be16::new(0x1234);
        assert_eq!(port.0, [0x12, 0x34]);
        assert_eq!(port.get(), 0x1234);
    }

    #[test]
    fn options_are_the_winsock_codes() {
        assert_eq!(PORTKEEP_ACQUIRE, -1_744_830_364);
        assert_eq!(PORTKEEP_RELEASE, PORTKEEP_ACQUIRE + 1);
        assert_eq!(PORTKEEP_ASSOCIATE, PORTKEEP_ACQUIRE + 2);
    }
}

//! Portkeep's socket options as any program makes them: bare `setsockopt(2)` and `getsockopt(2)`.
//!
//! Deliberately independent of the crate `portkeep`, whose idea of the ABI the tests check. The
//! numbers and layouts are those of `bpf/portkeep.h`. Errors are errno values; ports are in host
//! byte order.

mod sockopt;

use std::os::fd::AsFd;

pub use sockopt::{get_bytes, get_unwritable, set_bytes, set_unreadable};

/// The level of Portkeep's options.
pub const SOL_PORTKEEP: i32 = 0x504B;
/// Acquires a block; read, the block that this thread last acquired on the socket.
pub const ACQUIRE: i32 = 0x9800_0064_u32.cast_signed();
/// Releases a token.
pub const RELEASE: i32 = 0x9800_0065_u32.cast_signed();
/// Associates the socket with a token; read, the associated token.
pub const ASSOCIATE: i32 = 0x9800_0066_u32.cast_signed();
/// Reads the ABI version.
pub const VERSION: i32 = 1;
/// Reads what was in the way of the last refused call.
pub const CONFLICT: i32 = 2;
/// Takes over a reservation through its acquiring socket.
pub const CLAIM: i32 = 3;
/// Creates a persistent reservation; read, what this thread last created on the socket.
pub const CREATE: i32 = 4;
/// Deletes a persistent reservation.
pub const DELETE: i32 = 5;
/// Looks up a persistent reservation; read, what this thread last looked up on the socket.
pub const LOOKUP: i32 = 6;

/// Watches for events; read, the events.
pub const WATCH: i32 = 8;
/// Makes another process the owner of a reservation.
pub const HAND_OVER: i32 = 7;

/// Flag of an acquire: the owning process may bind without associating.
pub const PROCESS: u32 = 1;
/// Flag of an acquire: the owning process and its descendants may bind without associating.
pub const TREE: u32 = 2;
/// Flag of an acquire: processes with the effective user id of the owner may bind without associating.
pub const USER: u32 = 16;

/// Flag of a create: sockets bound in the block are not in the way.
pub const ADOPT: u32 = 4;
/// Flag of a create: a block that is there already gets other consumers.
pub const CHANGE: u32 = 0x8_0000;
/// Flag of a delete: a part of a block.
pub const PART: u32 = 8;
/// Flag of a create or delete: in every network namespace.
pub const EVERY_NETNS: u32 = 0x1_0000;
/// `PORTKEEP_SPLIT`
pub const SPLIT: u32 = 0x2_0000;
/// `PORTKEEP_JOIN`
pub const JOIN: u32 = 0x4_0000;

/// A consumer by user id, `kind` and `id` of `struct portkeep_consumer`.
pub const fn user(uid: u32) -> (u32, u64) {
    (1, uid as u64)
}

/// A consumer by group id.
pub const fn group(gid: u32) -> (u32, u64) {
    (2, gid as u64)
}

/// A consumer by cgroup id.
pub const fn cgroup(id: u64) -> (u32, u64) {
    (3, id)
}

/// Conflict kind: a reservation holds the port.
pub const CONFLICT_RESERVED: u8 = 1;
/// Conflict kind: a socket is bound to the port.
pub const CONFLICT_IN_USE: u8 = 2;
/// Conflict kind: an unprotected automatic port.
pub const CONFLICT_AUTOMATIC: u8 = 3;
/// Conflict kind: the user's quota is used up.
pub const CONFLICT_QUOTA: u8 = 4;
/// Conflict kind: a privileged port.
pub const CONFLICT_NOT_PERMITTED: u8 = 5;
/// Conflict kind: the look through the kernel's sockets was too long.
pub const CONFLICT_CANNOT_TELL: u8 = 6;
/// Conflict kind: the reservation that the socket is associated with has ended.
pub const CONFLICT_ENDED: u8 = 7;

/// `struct portkeep_instance`: what an acquire gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The first port.
    pub start: u16,
    /// How many ports.
    pub count: u16,
    /// The reserved field.
    pub reserved: u32,
    /// The token.
    pub token: u64,
}

/// `struct portkeep_conflict`: what was in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The port, 0 if it is not about a single one.
    pub port: u16,
    /// One of the `CONFLICT_` constants, 0 for none.
    pub kind: u8,
    /// `IPPROTO_TCP` or `IPPROTO_UDP`.
    pub protocol: u8,
    /// The owner's process id in the initial namespace, 0 if unknown.
    pub owner_pid: u32,
    /// The owner's user id in the initial namespace.
    pub owner_uid: u32,
    /// The reserved field.
    pub reserved: u32,
    /// `CLOCK_BOOTTIME` in nanoseconds, 0 if unknown.
    pub since: u64,
}

/// Acquires with the 4-byte value: `start` 0 asks for any block of `count` ports.
pub fn acquire4(socket: impl AsFd, start: u16, count: u16) -> Result<(), i32> {
    set_bytes(socket, SOL_PORTKEEP, ACQUIRE, &range(start, count))
}

/// Acquires with the 16-byte value: flags and alignment.
pub fn acquire16(
    socket: impl AsFd,
    start: u16,
    count: u16,
    flags: u32,
    align: u16,
) -> Result<(), i32> {
    let mut value = [0; 16];
    value[..4].copy_from_slice(&range(start, count));
    value[4..8].copy_from_slice(&flags.to_ne_bytes());
    value[8..10].copy_from_slice(&align.to_ne_bytes());
    set_bytes(socket, SOL_PORTKEEP, ACQUIRE, &value)
}

/// What the calling thread last acquired on this socket.
pub fn instance(socket: impl AsFd) -> Result<Instance, i32> {
    get_instance(socket, ACQUIRE)
}

fn get_instance(socket: impl AsFd, option: i32) -> Result<Instance, i32> {
    let value = get::<16>(socket, option)?;
    Ok(Instance {
        start: u16::from_be_bytes(field(&value, 0)),
        count: u16::from_ne_bytes(field(&value, 2)),
        reserved: u32::from_ne_bytes(field(&value, 4)),
        token: u64::from_ne_bytes(field(&value, 8)),
    })
}

/// Creates a persistent reservation and reads what was created.
pub fn create(
    socket: impl AsFd,
    start: u16,
    count: u16,
    flags: u32,
    consumers: &[(u32, u64)],
) -> Result<Instance, i32> {
    let mut value = range(start, count).to_vec();
    value.extend(flags.to_ne_bytes());
    value.resize(16, 0);
    for (kind, id) in consumers {
        value.extend(kind.to_ne_bytes());
        value.extend([0; 4]);
        value.extend(id.to_ne_bytes());
    }
    set_bytes(&socket, SOL_PORTKEEP, CREATE, &value)?;
    get_instance(socket, CREATE)
}

/// Deletes a persistent reservation with the 4-byte value, or with flags the 8-byte one.
pub fn delete(socket: impl AsFd, start: u16, count: u16, flags: u32) -> Result<(), i32> {
    let mut value = range(start, count).to_vec();
    if flags != 0 {
        value.extend(flags.to_ne_bytes());
    }
    set_bytes(socket, SOL_PORTKEEP, DELETE, &value)
}

/// Looks up a persistent reservation and reads what was found.
pub fn look_up(socket: impl AsFd, start: u16, count: u16) -> Result<Instance, i32> {
    set_bytes(&socket, SOL_PORTKEEP, LOOKUP, &range(start, count))?;
    get_instance(socket, LOOKUP)
}

/// [`acquire4`], then [`instance`].
pub fn acquire(socket: impl AsFd, start: u16, count: u16) -> Result<Instance, i32> {
    acquire4(&socket, start, count)?;
    instance(&socket)
}

/// Releases a reservation of the calling process.
pub fn release(socket: impl AsFd, token: u64) -> Result<(), i32> {
    set_bytes(socket, SOL_PORTKEEP, RELEASE, &token.to_ne_bytes())
}

/// Associates an unbound socket with a reservation.
pub fn associate(socket: impl AsFd, token: u64) -> Result<(), i32> {
    set_bytes(socket, SOL_PORTKEEP, ASSOCIATE, &token.to_ne_bytes())
}

/// The token that the socket is associated with, 0 if none.
pub fn associated(socket: impl AsFd) -> Result<u64, i32> {
    get::<8>(socket, ASSOCIATE).map(u64::from_ne_bytes)
}

/// Takes over the reservation of this acquiring socket.
pub fn claim(socket: impl AsFd, token: u64) -> Result<(), i32> {
    set_bytes(socket, SOL_PORTKEEP, CLAIM, &token.to_ne_bytes())
}

/// Makes the process of a pidfd the owner of what this socket acquired.
pub fn hand_over(socket: impl AsFd, token: u64, pidfd: i32) -> Result<(), i32> {
    let mut value = [0; 16];
    value[..8].copy_from_slice(&token.to_ne_bytes());
    value[8..12].copy_from_slice(&pidfd.to_ne_bytes());
    set_bytes(socket, SOL_PORTKEEP, HAND_OVER, &value)
}

/// The ABI version of the kernel part.
pub fn version(socket: impl AsFd) -> Result<u32, i32> {
    get::<4>(socket, VERSION).map(u32::from_ne_bytes)
}

/// What was in the way of the last refused acquire or bind on this socket.
pub fn conflict(socket: impl AsFd) -> Result<Conflict, i32> {
    let value = get::<24>(socket, CONFLICT)?;
    Ok(Conflict {
        port: u16::from_be_bytes(field(&value, 0)),
        kind: value[2],
        protocol: value[3],
        owner_pid: u32::from_ne_bytes(field(&value, 4)),
        owner_uid: u32::from_ne_bytes(field(&value, 8)),
        reserved: u32::from_ne_bytes(field(&value, 12)),
        since: u64::from_ne_bytes(field(&value, 16)),
    })
}

fn range(start: u16, count: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (start.to_be_bytes(), count.to_ne_bytes());
    [a, b, c, d]
}

fn field<const N: usize>(value: &[u8], offset: usize) -> [u8; N] {
    value[offset..offset + N]
        .try_into()
        .expect("a slice of N bytes")
}

fn get<const N: usize>(socket: impl AsFd, option: i32) -> Result<[u8; N], i32> {
    let value = get_bytes(socket, SOL_PORTKEEP, option, N)?;
    Ok(value.try_into().unwrap_or_else(|short: Vec<u8>| {
        panic!("option {option:#x} returned {} bytes, not {N}", short.len())
    }))
}

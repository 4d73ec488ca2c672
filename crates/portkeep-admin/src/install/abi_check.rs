//! Fails the build if crate `portkeep` and the C header disagree about the ABI. The skeleton
//! carries the types and numbers of `bpf/portkeep.h`, as the compiler of the kernel part saw them.

use std::mem::{offset_of, size_of};

use portkeep::abi;

use crate::install::skeleton::types as header;

macro_rules! same_number {
    ($($rust:ident = $group:ident),* $(,)?) => {
        $(const _: () = assert!(abi::$rust as i64 == header::$group::$rust.0 as i64);)*
    };
}

macro_rules! same_layout {
    ($rust:ident = $c:ident { $($rust_field:ident = $c_field:ident),* $(,)? }) => {
        const _: () = assert!(size_of::<abi::$rust>() == size_of::<header::$c>());
        $(const _: () = assert!(
            offset_of!(abi::$rust, $rust_field) == offset_of!(header::$c, $c_field)
        );)*
    };
}

same_number! {
    PORTKEEP_ACQUIRE = portkeep_option,
    PORTKEEP_RELEASE = portkeep_option,
    PORTKEEP_ASSOCIATE = portkeep_option,
    PORTKEEP_VERSION = portkeep_option,
    PORTKEEP_CONFLICT = portkeep_option,
    PORTKEEP_CLAIM = portkeep_option,
    PORTKEEP_CREATE = portkeep_option,
    PORTKEEP_DELETE = portkeep_option,
    PORTKEEP_LOOKUP = portkeep_option,
    PORTKEEP_HAND_OVER = portkeep_option,
    PORTKEEP_WATCH = portkeep_option,
    PORTKEEP_ABI_VERSION = portkeep_abi,
    PORTKEEP_VALUE_MAX = portkeep_abi,
    PORTKEEP_CONSUMERS_MAX = portkeep_abi,
    PORTKEEP_PROCESS = portkeep_flag,
    PORTKEEP_TREE = portkeep_flag,
    PORTKEEP_USER = portkeep_flag,
    PORTKEEP_ADOPT = portkeep_flag,
    PORTKEEP_PART = portkeep_flag,
    PORTKEEP_EVERY_NETNS = portkeep_flag,
    PORTKEEP_SPLIT = portkeep_flag,
    PORTKEEP_JOIN = portkeep_flag,
    PORTKEEP_CHANGE = portkeep_flag,
    PORTKEEP_CONFLICT_NONE = portkeep_conflict_kind,
    PORTKEEP_CONFLICT_RESERVED = portkeep_conflict_kind,
    PORTKEEP_CONFLICT_IN_USE = portkeep_conflict_kind,
    PORTKEEP_CONFLICT_AUTOMATIC = portkeep_conflict_kind,
    PORTKEEP_CONFLICT_QUOTA = portkeep_conflict_kind,
    PORTKEEP_CONFLICT_NOT_PERMITTED = portkeep_conflict_kind,
    PORTKEEP_CONFLICT_CANNOT_TELL = portkeep_conflict_kind,
    PORTKEEP_CONFLICT_ENDED = portkeep_conflict_kind,
    PORTKEEP_CONSUMER_UID = portkeep_consumer_kind,
    PORTKEEP_CONSUMER_GID = portkeep_consumer_kind,
    PORTKEEP_CONSUMER_CGROUP = portkeep_consumer_kind,
    PORTKEEP_EVENT_BIND_REFUSED = portkeep_event_kind,
    PORTKEEP_EVENT_CONNECT_REFUSED = portkeep_event_kind,
    PORTKEEP_EVENT_ACQUIRE_REFUSED = portkeep_event_kind,
    PORTKEEP_EVENT_ACQUIRED = portkeep_event_kind,
    PORTKEEP_EVENT_RELEASED = portkeep_event_kind,
    PORTKEEP_EVENT_CREATED = portkeep_event_kind,
    PORTKEEP_EVENT_DELETED = portkeep_event_kind,
    PORTKEEP_EVENT_SPLIT = portkeep_event_kind,
    PORTKEEP_EVENT_JOINED = portkeep_event_kind,
    PORTKEEP_EVENT_CHANGED = portkeep_event_kind,
}

same_layout!(Range = portkeep_range { start = start, count = count });
same_layout!(AcquireRequest = portkeep_acquire {
    range = range,
    flags = flags,
    align = align,
    reserved = reserved,
});
same_layout!(Instance = portkeep_instance { range = range, reserved = reserved, token = token });
same_layout!(Heir = portkeep_heir { token = token, pidfd = pidfd, reserved = reserved });
same_layout!(ConsumerRecord = portkeep_consumer { kind = kind, reserved = reserved, id = id });
same_layout!(DeleteRequest = portkeep_delete { range = range, flags = flags });
same_layout!(ConflictRecord = portkeep_conflict {
    port = port,
    kind = kind,
    protocol = protocol,
    owner_pid = owner_pid,
    owner_uid = owner_uid,
    reserved = reserved,
    since = since,
});
same_layout!(EventRecord = portkeep_event {
    time = time,
    netns = netns,
    token = token,
    since = since,
    pid = pid,
    uid = uid,
    owner_pid = owner_pid,
    owner_uid = owner_uid,
    range = range,
    port = port,
    kind = kind,
    conflict = conflict,
    protocol = protocol,
    persistent = persistent,
    error = error,
    reserved = reserved,
    command = command,
    owner_command = owner_command,
});
same_layout!(EventsHead = portkeep_events {
    lost = lost,
    enabled = enabled,
    number = number,
    more = more,
});

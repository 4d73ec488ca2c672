/* SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0 */
/*
 * Portkeep's kernel ABI, version 1: the socket options at level SOL_PORTKEEP.
 *
 * This header is the one definition of the ABI. It needs nothing but
 * <linux/types.h>, so that C and C++ programs, the kernel part and binding
 * generators can all include it. The Rust side is compared with it at compile
 * time (src/install/abi_check.rs of crate portkeep-admin).
 *
 * Ports are in network byte order where the type is __be16; every other number
 * is in host byte order. Reserved fields must be zero (EINVAL otherwise). New
 * fields come at the end: a longer value whose extra bytes are all zero means
 * what the shorter one means, up to PORTKEEP_VALUE_MAX bytes.
 */
#ifndef PORTKEEP_H
#define PORTKEEP_H

#include <linux/types.h>

/* The level of get- and setsockopt(2): 'P' 'K'. */
#define SOL_PORTKEEP 0x504B

/*
 * The options. Where Winsock has a control code for the operation
 * (SIO_ACQUIRE_PORT_RESERVATION and its siblings), the option is that code
 * taken as an int.
 */
enum portkeep_option {
	PORTKEEP_ACQUIRE = (int)0x98000064, /* set: portkeep_acquire; get: portkeep_instance */
	PORTKEEP_RELEASE = (int)0x98000065, /* set: __u64 token */
	PORTKEEP_ASSOCIATE = (int)0x98000066, /* set, get: __u64 token (get: 0 if none) */
	PORTKEEP_VERSION = 1, /* get: __u32, PORTKEEP_ABI_VERSION */
	PORTKEEP_CONFLICT = 2, /* get: portkeep_conflict */
	PORTKEEP_CLAIM = 3, /* set: __u64 token */
	PORTKEEP_CREATE = 4, /* set: portkeep_acquire, portkeep_consumer…; get: portkeep_instance */
	PORTKEEP_DELETE = 5, /* set: portkeep_delete */
	PORTKEEP_LOOKUP = 6, /* set: portkeep_range; get: portkeep_instance */
	PORTKEEP_HAND_OVER = 7, /* set: portkeep_heir, on the acquiring socket */
	PORTKEEP_WATCH = 8, /* set: __u64 kinds; get: portkeep_events, portkeep_event… */
};

enum portkeep_abi {
	PORTKEEP_ABI_VERSION = 1,
	PORTKEEP_VALUE_MAX = 64, /* bytes of the longest value of a set call, except CREATE */
	PORTKEEP_CONSUMERS_MAX = 8, /* per persistent reservation */
};

enum portkeep_flag {
	/* ACQUIRE: who may bind in the block without associating; 0: nobody, as on Windows. */
	PORTKEEP_PROCESS = 1, /* the owning process */
	PORTKEEP_TREE = 2, /* the owning process and its descendants */
	PORTKEEP_USER =
		16, /* processes with the owner's effective user id, in its user namespace */
	/* CREATE: sockets that are bound in the block stay bound and do not prevent it. */
	PORTKEEP_ADOPT = 4,
	/* DELETE: the range may be part of a block; the rest stays reserved. */
	PORTKEEP_PART = 8,
	/*
	 * CREATE, DELETE: in every network namespace, present and future, except where an
	 * older reservation holds a port. Needs CAP_NET_ADMIN over the initial namespace.
	 */
	PORTKEEP_EVERY_NETNS = 0x10000,
	/*
	 * CREATE: the range is a whole persistent block that is there already. It gets these
	 * consumers at one instant; nothing else of it changes.
	 */
	PORTKEEP_CHANGE = 0x80000,
	/*
	 * DELETE: ends nothing, and no port is free in between. SPLIT: the range, the last part
	 * of a persistent block, becomes a block of its own with the same consumers. JOIN: the
	 * range, a whole persistent block, becomes part of the one that ends right before it;
	 * that one's consumers and token count from then on.
	 */
	PORTKEEP_SPLIT = 0x20000,
	PORTKEEP_JOIN = 0x40000,
};

/* A port range. start 0 in an acquire: any free block of the pool. */
struct portkeep_range {
	__be16 start;
	__u16 count;
};

/* PORTKEEP_ACQUIRE, set: the range alone (4 bytes) or the whole structure (16 bytes). */
struct portkeep_acquire {
	struct portkeep_range range;
	__u32 flags; /* enum portkeep_flag */
	__u16 align; /* start is a multiple of this power of two; 0 is 1 */
	__u8 reserved[6];
};

/*
 * PORTKEEP_HAND_OVER, set: makes another process the owner, as if that process had
 * claimed the reservation. The reservation still lasts as long as the acquiring
 * socket and is charged to the same user. The process's real user must be the
 * caller's effective user, or the caller needs CAP_NET_ADMIN over the socket's
 * network namespace.
 */
struct portkeep_heir {
	__u64 token;
	__s32 pidfd; /* a descriptor of the calling process, see pidfd_open(2) */
	__u32 reserved;
};

enum portkeep_consumer_kind {
	PORTKEEP_CONSUMER_UID = 1, /* effective user id */
	PORTKEEP_CONSUMER_GID = 2, /* effective or supplementary group id */
	PORTKEEP_CONSUMER_CGROUP = 3, /* cgroup v2 id, descendants included */
};

/* Every process is in the root cgroup: with it as a consumer, anyone may bind explicitly. */
#define PORTKEEP_ROOT_CGROUP 1

/*
 * A user, group or cgroup that may bind in a persistent reservation without
 * associating. PORTKEEP_CREATE sets a portkeep_acquire followed directly by 0 to
 * PORTKEEP_CONSUMERS_MAX of these. The reservation lasts until DELETE. Both need
 * CAP_NET_ADMIN over the socket's network namespace.
 */
struct portkeep_consumer {
	__u32 kind; /* enum portkeep_consumer_kind */
	__u32 reserved;
	__u64 id; /* for users and groups: in the caller's user namespace */
};

/* PORTKEEP_DELETE, set: the range alone (4 bytes), which must be a whole block, or all of this. */
struct portkeep_delete {
	struct portkeep_range range;
	__u32 flags; /* enum portkeep_flag */
};

/*
 * PORTKEEP_ACQUIRE, CREATE and LOOKUP, get: the block that the calling thread last
 * acquired, created or looked up on this socket; all zero if none.
 */
struct portkeep_instance {
	struct portkeep_range range;
	__u32 reserved;
	__u64 token; /* never 0 */
};

enum portkeep_conflict_kind {
	PORTKEEP_CONFLICT_NONE = 0,
	PORTKEEP_CONFLICT_RESERVED = 1, /* a reservation holds the port */
	PORTKEEP_CONFLICT_IN_USE = 2, /* a socket is bound to the port */
	PORTKEEP_CONFLICT_AUTOMATIC = 3, /* an automatic port that connect() may take at any time */
	PORTKEEP_CONFLICT_QUOTA = 4, /* the user's quota is used up */
	PORTKEEP_CONFLICT_NOT_PERMITTED = 5, /* a privileged port */
	/* Too many sockets in the kernel's tables to tell whether the port is in use. */
	PORTKEEP_CONFLICT_CANNOT_TELL = 6,
	PORTKEEP_CONFLICT_ENDED = 7, /* the reservation that the socket is associated with */
};

/*
 * PORTKEEP_CONFLICT, get: describes the last refused acquire or bind on this
 * socket; all zero if none was refused. For kinds 1 and 2 the owner fields name
 * the owner, as far as the kernel knows: the process id in the initial process
 * namespace (0: unknown), the user id in the initial user namespace.
 */
struct portkeep_conflict {
	__be16 port; /* 0: no single port, as for a wildcard or the quota */
	__u8 kind; /* enum portkeep_conflict_kind */
	__u8 protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	__u32 owner_pid;
	__u32 owner_uid;
	__u32 reserved;
	__u64 since; /* CLOCK_BOOTTIME, ns; 0: unknown */
};

enum portkeep_event_kind {
	PORTKEEP_EVENT_BIND_REFUSED = 1,
	PORTKEEP_EVENT_CONNECT_REFUSED = 2, /* of an associated socket */
	PORTKEEP_EVENT_ACQUIRE_REFUSED = 3, /* or CREATE */
	PORTKEEP_EVENT_ACQUIRED = 4,
	PORTKEEP_EVENT_RELEASED = 5,
	PORTKEEP_EVENT_CREATED = 6,
	PORTKEEP_EVENT_DELETED = 7,
	/* Of persistent blocks that stay, so that no port is free; the token is the new block's. */
	PORTKEEP_EVENT_SPLIT = 8, /* the range has become a block of its own */
	PORTKEEP_EVENT_JOINED = 9, /* … part of the block that ended right before it */
	PORTKEEP_EVENT_CHANGED = 10, /* the block has other consumers */
};

/*
 * PORTKEEP_WATCH, set: a bit, 1 << kind, for each kind of event to watch; 0: all kinds. From
 * the first call until it is closed, the socket is a watcher.
 *
 * An event that a watcher is told of: one of every user with CAP_NET_ADMIN over the initial
 * user namespace, one of the socket's network namespace with CAP_NET_ADMIN over that, and
 * otherwise one of its own user: what that user did, and what was refused at ports that
 * the user reserves. The process that makes the first call is the one whose capabilities count.
 */
struct portkeep_event {
	__u64 time; /* CLOCK_BOOTTIME, ns */
	__u64 netns; /* cookie of the network namespace; 0: every one */
	__u64 token; /* of the reservation, 0: none or unknown */
	__u64 since; /* when it was acquired, as in portkeep_conflict; 0: unknown */
	__u32 pid; /* of the caller, in the initial process namespace */
	__u32 uid; /* in the initial user namespace */
	__u32 owner_pid; /* whose reservation, as in portkeep_conflict */
	__u32 owner_uid;
	struct portkeep_range range; /* that was asked for; start 0: any */
	__be16 port; /* in the way, 0: no single one */
	__u8 kind; /* enum portkeep_event_kind */
	__u8 conflict; /* enum portkeep_conflict_kind */
	__u8 protocol;
	__u8 persistent; /* 1: the reservation is persistent */
	__u16 error; /* errno of the refusal */
	__u32 reserved;
	char command[16]; /* the caller's; as in the list, but with any bytes */
	char owner_command[16];
};

/* PORTKEEP_WATCH, get: the events since the last call, as many as have room in the value. */
struct portkeep_events {
	__u64 lost; /* since the first call: overwritten before this watcher read them, of any kind */
	__u64 enabled; /* when Portkeep was last enabled, CLOCK_BOOTTIME, ns; 0: unknown */
	__u32 number; /* of the events that follow */
	__u32 more; /* 1: there are more already */
};

#endif /* PORTKEEP_H */

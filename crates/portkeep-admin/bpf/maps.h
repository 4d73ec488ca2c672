/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The live state: reserved ports, owners, lifetimes. The maps are pinned and
 * survive an upgrade of the programs, so any change of a layout here needs a
 * new PORTKEEP_LAYOUT_VERSION; the installer refuses to mix two versions.
 *
 * Nothing is preallocated (BPF_F_NO_PREALLOC): an idle system pays only for the
 * hash heads, 16 bytes for each of max_entries.
 */
#ifndef PORTKEEP_MAPS_H
#define PORTKEEP_MAPS_H

#include "kernel_types.h"
#include "portkeep.h"

enum portkeep_layout {
	PORTKEEP_LAYOUT_VERSION = 3,
	SUBORDINATES_MAX = 4096, /* ranges: one per user, as useradd(8) makes them */
};

#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define SOCK_DGRAM 2

enum portkeep_errno {
	ENOENT = 2,
	ESRCH = 3,
	E2BIG = 7,
	EBADF = 9,
	EAGAIN = 11,
	EACCES = 13,
	EINVAL = 22,
	ENOPROTOOPT = 92,
	EOPNOTSUPP = 95,
	EADDRINUSE = 98,
	EADDRNOTAVAIL = 99,
	ENOBUFS = 105,
	EDQUOT = 122,
};

/* ---- settings: the operator's choices, written by the installer ---- */

struct settings {
	__u32 abi_version;
	__u32 layout_version;
	__u16 pool_start; /* where wildcard requests are served from, inclusive */
	__u16 pool_end;
	__u32 quota; /* ports an unprivileged user may hold */
	__u32 added_mode; /* bits that the installer gave the BPF file system's root */
	__u32 subordinates; /* ranges in the map of that name */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

/* ---- counters: shared by all calls, changed atomically ---- */

/* Counts for one user, or for all users that have a quota. */
struct holdings {
	__u32 ports;
	__u32 reservations;
	__u32 chunks;
	__u32 consumers; /* records of them */
};

struct counters {
	__u64 sequence; /* of the last token */
	__u32 next_port; /* where the next wildcard search starts */
	__u32 persistent; /* persistent reservations */
	__u32 in_every_netns; /* … that hold in every network namespace */
	__u32 reserved;
	struct holdings charged; /* sum over all users */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} counters SEC(".maps");

/* ---- port_chunks: two bitmaps per protocol and network namespace, in pieces ---- */

/*
 * With at most 122 words, a chunk fits a 2 KiB slab object together with the 72 bytes that the
 * kernel adds for this key size. Nine chunks, 18 KiB, cover the ports; most namespaces need one.
 */
#define CHUNK_WORDS 122
#define CHUNK_PORTS (CHUNK_WORDS * 64)

/* The cookie for reservations in every namespace; no namespace has it. */
#define EVERY_NETNS 0

struct port_chunk_key {
	__u64 netns; /* cookie */
	__u16 protocol;
	__u16 index;
	__u32 reserved;
};

struct port_chunk {
	__u64 net; /* the struct net, to recognize its end; 0: being created, or EVERY_NETNS */
	__u32 charged_uid; /* the user who created the chunk */
	__u32 unused;
	__u64 reserved[CHUNK_WORDS]; /* one bit per port */
	__u64 first[CHUNK_WORDS]; /* set at the first port of each reservation */
};

_Static_assert(sizeof(struct port_chunk_key) == 16, "port_chunk_key has padding");
_Static_assert(48 + sizeof(struct port_chunk_key) + sizeof(struct port_chunk) + 8 <= 2048,
	       "a chunk fits its slab object");

#define CHUNKS_MAX 8192

/*
 * 8192 chunks: two protocols, one or two chunks each, in some 2000 to 4000
 * network namespaces at once. Beyond that, acquire fails with ENOBUFS.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, CHUNKS_MAX);
	__type(key, struct port_chunk_key);
	__type(value, struct port_chunk);
} port_chunks SEC(".maps");

/* The template of new chunks and consumer lists: 2 KiB do not fit the stack. Always zero. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct port_chunk);
} empty_chunk SEC(".maps");

/* ---- occupied: does anyone reserve near a port? ---- */

/*
 * For each word of the port space, the number of reservations (any namespace, any
 * protocol) with ports in it. It is usually zero, and then a stranger's bind needs
 * no lookup by namespace. That keeps the cost of binds low.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u32);
} occupied SEC(".maps");

/*
 * By hash, the number of bound sockets that began to connect while their port was
 * being acquired: an acquire compares it before and after (in_use.h).
 */
#define MOVE_SLOTS 4096

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MOVE_SLOTS);
	__type(key, __u32);
	__type(value, __u32);
} moves SEC(".maps");

static __always_inline __u32 *moves_of(__u64 net, __u32 port)
{
	__u32 slot = (port * 0x9e3779b1u ^ (__u32)(net >> 6) * 0x85ebca6bu) >> 20;

	return bpf_map_lookup_elem(&moves, &slot);
}

/* ---- reservations: one record each, found by its first port ---- */

struct reservation_key {
	__u64 netns; /* cookie */
	__u16 protocol;
	__u16 start; /* host order */
	__u32 reserved;
};

/* Id and start time identify a process: ids are reused, start times are not. */
struct process {
	__u64 started; /* CLOCK_BOOTTIME ns; 0: nobody */
	__u32 pid; /* in the initial process namespace */
	__u32 uid; /* in the initial user namespace */
};

#define NOT_CHARGED 0xffffffff /* the invalid user id */

/* Flags of a record besides those of the ABI. */
#define PERSISTENT (1U << 31)
#define CHANGING (1U << 30) /* a call is changing it; changed with the lock held */

struct reservation {
	/*
	 * Held to end the reservation (token becomes 0, once) and to change its
	 * owner. So a claim can never write to a record that has ended and whose
	 * memory another reservation reuses.
	 */
	struct bpf_spin_lock lock;
	__u16 start; /* host order */
	__u16 count;
	__u64 token;
	struct process owner;
	__u64 since; /* CLOCK_BOOTTIME ns */
	__u64 acquirer; /* address of the acquiring socket, which outlives it; 0: PERSISTENT */
	__u64 socket_cookie; /* SO_COOKIE of that socket, 0 if it had none yet */
	__u32 thread; /* the acquiring thread */
	__u32 charged_uid; /* whose quota it counts against */
	__u32 flags; /* enum portkeep_flag, PERSISTENT, CHANGING */
	__u32 next_port; /* where the next automatic choice in the block starts */
	char command[16];
	__u32 binding; /* connects that are binding in the block; changed with the lock held */
	__u32 owner_euid; /* in the initial user namespace */
	/*
	 * The address of the owner's user namespace. It may have ended and another one may
	 * have its address; but there, too, the user is the same one.
	 */
	__u64 owner_user_ns;
};

_Static_assert(sizeof(struct reservation_key) == 16, "reservation_key has padding");
_Static_assert(sizeof(struct reservation) == 104, "reservation has padding");

#define RESERVATIONS_MAX 32768

/*
 * 32768 reservations: eight unprivileged users with one port in each, or the
 * whole pool port by port in seven namespaces. A record takes 192 bytes.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, RESERVATIONS_MAX);
	__type(key, struct reservation_key);
	__type(value, struct reservation);
} reservations SEC(".maps");

/* ---- consumers: who may bind in a persistent reservation ---- */

struct consumers {
	__u32 number;
	__u32 reserved;
	struct portkeep_consumer consumers[PORTKEEP_CONSUMERS_MAX];
};

_Static_assert(sizeof(struct consumers) == 136, "consumers has padding");

#define CONSUMERS_RECORDS_MAX 16384

/*
 * Keyed by token. Tokens are never reused, so a writer never changes the consumers of the next
 * reservation of the same ports.
 */
struct consumers_key {
	__u64 netns; /* cookie */
	__u64 token;
};

_Static_assert(sizeof(struct consumers_key) == 16, "consumers_key has padding");

/*
 * A reservation without consumers has no record here. 16384 are more than an operator needs, and
 * their empty heads take a quarter of a megabyte.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, CONSUMERS_RECORDS_MAX);
	__type(key, struct consumers_key);
	__type(value, struct consumers);
} consumers SEC(".maps");

/* ---- charges: each user's holdings that count against the quota ---- */

/*
 * A chunk stays until its namespace ends, with or without reservations. Anyone
 * can create namespaces and is their administrator. So each user may have this
 * many chunks at a time (in 512 namespaces, say) and this many consumer records.
 */
#define CHUNK_QUOTA 512
#define CONSUMERS_QUOTA 512

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u32); /* user id in the initial user namespace */
	__type(value, struct holdings);
} charges SEC(".maps");

/*
 * The last eighth of each table is kept for administrators of the initial user
 * namespace, however many users there are.
 */
#define SHARE_OF_USERS(entries) ((entries) - (entries) / 8)

/* ---- subordinates: the owners of the user ids of subuid(5) ---- */

/*
 * Users can run set-user-ID programs as each of their subordinate ids, even outside
 * their namespaces, so these ids count as their owner. The installer writes the
 * ranges in ascending order; they do not overlap.
 */
struct subordinates {
	__u32 first;
	__u32 last; /* inclusive */
	__u32 owner;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SUBORDINATES_MAX);
	__type(key, __u32);
	__type(value, struct subordinates);
} subordinates SEC(".maps");

/* ---- sockets: the state of one socket, freed with it ---- */

/* A call's result, kept for the call that reads it. */
struct outcome {
	struct portkeep_instance instance;
	__u32 thread; /* the calling thread */
	__u32 reserved;
};

struct socket_state {
	__u64 associated; /* token, 0 if none */
	struct outcome acquired;
	struct outcome created;
	struct outcome looked_up;
	__u32 watches; /* 1: the socket is a watcher (watch.h) */
	__u16 lowest; /* everything acquired lies in lowest..highest; highest 0: nothing */
	__u16 highest;
	struct portkeep_conflict conflict;
};

_Static_assert(sizeof(struct socket_state) == 112, "socket_state has padding");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct socket_state);
} sockets SEC(".maps");

/* ---- access ---- */

static __always_inline struct settings *the_settings(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}

static __always_inline void *zeroes(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&empty_chunk, &zero);
}

static __always_inline struct counters *the_counters(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&counters, &zero);
}

static __always_inline bool anything_in_every_netns(void)
{
	struct counters *counters = the_counters();

	return counters && *(volatile __u32 *)&counters->in_every_netns;
}

#endif /* PORTKEEP_MAPS_H */

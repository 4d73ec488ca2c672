/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Is a socket bound to a port? The answer comes from the kernel's own tables of
 * bound sockets. So it covers sockets bound before Portkeep was enabled, sockets
 * that the kernel bound, IPv6-only ones, and children of a listener.
 *
 * The walk takes no lock. An entry that is removed and reused in another bucket
 * while the walk stands on it would lead the walk astray. So each entry must
 * belong to this bucket; otherwise the walk starts again.
 */
#ifndef PORTKEEP_IN_USE_H
#define PORTKEEP_IN_USE_H

#include "port_space.h"

/*
 * The entries that all walks of one call may visit together. The tables are sized for
 * a few entries per bucket. But a user can have a namespace with a small table of its
 * own and many sockets, or many sockets in TIME_WAIT on one port, and one call must not
 * keep the CPU for long. A visit takes 20 to 200 ns, depending on caches, and more if each read
 * goes through a helper (before Linux 6.2). A port with only TIME_WAITs is walked four
 * times, so the limit is 20000 of them on one port.
 */
#ifndef CALL_ENTRIES
#define CALL_ENTRIES 80000
#endif

/*
 * The share of one port if another port will do: a crowd in one bucket does not keep
 * the search from the ports after it.
 */
#ifndef PORT_ENTRIES
#define PORT_ENTRIES 4096
#endif

#define WALK_TRIES 4

enum usage {
	UNUSED,
	TIME_WAIT_ONLY,
	UNTOLD, /* more entries than the budget allows */
	IN_USE,
	ASTRAY, /* the walk has to start again */
};

struct walk {
	const struct port_space *space;
	__u64 node;
	__u32 port;
	__u32 bucket;
	__u32 uid; /* of a socket that uses the port */
	__u32 until; /* limit of space->visited */
	enum usage usage;
	bool ended; /* the list, before the walk's bound */
	bool met_port; /* the port has an entry of its own, so a socket is bound to it */
};

static __always_inline bool is_budget_used_up(const struct port_space *space)
{
	return space->visited >= CALL_ENTRIES;
}

static __always_inline __u32 visits_left(const struct walk *walk)
{
	__u32 visited = walk->space->visited;

	return visited < walk->until ? walk->until - visited : 0;
}

/* bpf_loop() returns the number of turns, so counting costs nothing per entry. */
#define visit_all(walk, visit, context)                                                            \
	(((struct port_space *)(walk)->space)->visited +=                                          \
	 (__u32)bpf_loop(visits_left(walk), visit, context, 0))

/*
 * The address of the value that tells whether next can be trusted; it must be read
 * after next. A CPU that reorders loads (arm64) keeps their order if the address of
 * the second depends on the value of the first.
 */
static __always_inline __u64 read_after(__u64 address, __u64 next)
{
#ifdef __bpf__
	asm volatile("%0 ^= %0" : "+r"(next));
	return address + next;
#else
	return address;
#endif
}

static __always_inline bool in_bucket(const struct port_space *space, struct net *net, __u32 port,
				      __u32 bucket)
{
	return ((port + kernel_read(net, hash_mix)) & space->sockets_mask) == bucket;
}

/* The sockets of one port in a TCP bucket: one list of sockets per address. */
struct port_walk {
	struct walk *walk;
	__u64 address_node;
	__u64 socket_node;
	bool any; /* socket */
	enum usage usage; /* UNTOLD until a live socket or the end of all lists is reached */
};

static __always_inline bool is_of_port(const struct walk *walk, __u32 port, const void *net)
{
	return port == walk->port && address_of(net) == walk->space->net;
}

/* The next list: the sockets bound to one address. Up to Linux 6.7 there is only one list. */
static __always_inline long visit_tcp_address(struct port_walk *walk)
{
	struct inet_bind2_bucket *list;
	__u64 address;

	if (!walk->address_node) {
		/* An empty list is being created or removed, or its socket is moving. */
		walk->usage = walk->any ? TIME_WAIT_ONLY : ASTRAY;
		return 1;
	}
	address = address_of(
		container_of((void *)walk->address_node, struct inet_bind2_bucket, bhash_node));
	list = kernel_object(inet_bind2_bucket, address);
	walk->address_node = address_of(kernel_read(list, bhash_node.next));
	walk->socket_node = address_of(kernel_read(list, owners.first));
	/* Its memory may be another port's list by now. */
	list = kernel_object(inet_bind2_bucket,
			     read_after(address, walk->address_node | walk->socket_node));
	if (!is_of_port(walk->walk, kernel_read(list, port), kernel_read(list, ib_net.net))) {
		walk->usage = ASTRAY;
		return 1;
	}
	return 0;
}

static long visit_tcp_socket(__u32 index, struct port_walk *walk)
{
	struct sock *sock;
	__u64 address;

	if (!walk->socket_node)
		return visit_tcp_address(walk);
	address = address_of(
		container_of((void *)walk->socket_node, struct sock, __sk_common.skc_bind_node));
	sock = kernel_object(sock, address);
	walk->socket_node = address_of(kernel_read(sock, __sk_common.skc_bind_node.next));
	sock = kernel_object(sock, read_after(address, walk->socket_node));
	if (!is_of_port(walk->walk, kernel_read(sock, __sk_common.skc_num),
			kernel_read(sock, __sk_common.skc_net.net))) {
		walk->usage = ASTRAY;
		return 1;
	}
	walk->any = true;
	if (kernel_read(sock, __sk_common.skc_state) == TCP_TIME_WAIT)
		return 0;
	walk->walk->uid = kernel_read(sock, sk_uid.val);
	walk->usage = IN_USE;
	return 1;
}

static __always_inline enum usage tcp_bucket_use(struct walk *walk, __u64 address)
{
	struct inet_bind_bucket *bucket = kernel_object(inet_bind_bucket, address);
	struct port_walk sockets = { .walk = walk, .any = zero_for_loops, .usage = UNTOLD };

	if (bpf_core_field_exists(bucket->bhash2)) {
		sockets.address_node = address_of(kernel_read(bucket, bhash2.first));
	} else {
		struct inet_bind_bucket___owners *old = (void *)bucket;

		bpf_core_read(&sockets.socket_node, sizeof(sockets.socket_node),
			      &old->owners.first);
	}
	visit_all(walk, visit_tcp_socket, &sockets);
	return sockets.usage;
}

static long visit_tcp(__u32 index, struct walk *walk)
{
	struct inet_bind_bucket *entry;
	struct net *net;
	__u64 address;
	__u32 port;

	if (!walk->node) {
		walk->ended = true;
		return 1;
	}
	address = address_of(container_of((void *)walk->node, struct inet_bind_bucket, node));
	entry = kernel_object(inet_bind_bucket, address);
	walk->node = address_of(kernel_read(entry, node.next));
	entry = kernel_object(inet_bind_bucket, read_after(address, walk->node));
	port = kernel_read(entry, port);
	net = kernel_object(net, kernel_read(entry, ib_net.net));
	if (is_of_port(walk, port, net)) {
		enum usage usage = tcp_bucket_use(walk, address);

		/* There is one entry per port and VRF: the worst of them counts. */
		walk->met_port = true;
		if (usage > walk->usage)
			walk->usage = usage;
		return walk->usage >= UNTOLD;
	}
	if (!in_bucket(walk->space, net, port, walk->bucket)) {
		walk->usage = ASTRAY;
		return 1;
	}
	return 0;
}

static long visit_udp(__u32 index, struct walk *walk)
{
	struct sock *sock;
	struct net *net;
	__u64 address;
	__u32 port;

	if (!walk->node) {
		walk->ended = true;
		return 1;
	}
	address = address_of(container_of((void *)walk->node, struct sock, __sk_common.skc_node));
	sock = kernel_object(sock, address);
	walk->node = address_of(kernel_read(sock, __sk_common.skc_node.next));
	sock = kernel_object(sock, read_after(address, walk->node));
	port = kernel_read(sock, __sk_common.skc_num);
	net = kernel_object(net, kernel_read(sock, __sk_common.skc_net.net));
	if (is_of_port(walk, port, net)) {
		walk->uid = kernel_read(sock, sk_uid.val);
		walk->usage = IN_USE;
		return 1;
	}
	if (!in_bucket(walk->space, net, port, walk->bucket)) {
		walk->usage = ASTRAY;
		return 1;
	}
	return 0;
}

static __always_inline __u64 bucket_head(const struct port_space *space, __u32 bucket)
{
	__u64 address = space->sockets + (__u64)bucket * space->sockets_stride;
	struct hlist_head *head = kernel_object(hlist_head, address);

	return address_of(kernel_read(head, first));
}

static __always_inline enum usage walk_bucket(struct walk *walk)
{
	for (int tries = 0; tries < WALK_TRIES; tries++) {
		walk->usage = UNUSED + zero_for_loops;
		walk->ended = false;
		walk->node = bucket_head(walk->space, walk->bucket);
		if (walk->space->protocol == IPPROTO_TCP)
			visit_all(walk, visit_tcp, walk);
		else
			visit_all(walk, visit_udp, walk);
		if (walk->usage == IN_USE || walk->usage == UNTOLD)
			return walk->usage;
		if (walk->usage != ASTRAY)
			return walk->ended ? walk->usage : UNTOLD;
	}
	/* If a port has an entry for so long without a socket in it, its socket is moving. */
	return walk->met_port ? IN_USE : UNTOLD;
}

static __always_inline __u32 bucket_of(const struct port_space *space, __u32 port)
{
	return (port + space->hash_mix) & space->sockets_mask;
}

/* Fast, and sufficient for most ports: no socket of any namespace hashes there. */
static __always_inline bool is_surely_unused(const struct port_space *space, __u32 port)
{
	return !bucket_head(space, bucket_of(space, port));
}

/*
 * How port is used, an enum usage, with the user of a socket that uses it in the
 * high half.
 */
__verified_alone __u64 port_use(const struct port_space *space, __u32 port)
{
	struct walk walk = { .space = space, .port = port };
	enum usage usage;

	if (!space)
		return IN_USE;
	walk.bucket = bucket_of(space, port);
	if (!bucket_head(space, walk.bucket))
		return UNUSED;
	walk.until = CALL_ENTRIES;
	if (space->any_port && space->visited + PORT_ENTRIES < CALL_ENTRIES)
		walk.until = space->visited + PORT_ENTRIES;
	usage = walk_bucket(&walk);
	return (__u64)walk.uid << 32 | usage;
}

/* ---- only TIME_WAIT? ---- */

/*
 * Since Linux 6.8 the sockets of a port are on one list per address. A socket that
 * connects or disconnects (even if it is not connected) moves from list to list,
 * under the lock of the port's bucket, and a walk can miss it. While the port is
 * marked:
 *
 * - connect() is announced: the hook counts it in moves, before the socket moves. A
 *   socket may have passed the hook just before the mark: once, as it is locked.
 * - so, apart from that once, a socket moves only to the lists of no address, which
 *   have no TIME_WAITs and can be looked up directly: use_without_address().
 * - a listener may leave a connection behind and be closed: once, for that connection
 *   neither listens nor binds.
 *
 * Each walk that misses a socket takes one of these from it. The third sees it.
 */
#define DECISIVE_WALKS 3

#define LOOK_TRIES 8

/* jhash_1word(0, mix) of <linux/jhash.h>: ipv4_ and ipv6_portaddr_hash() of no address. */
static __always_inline __u32 hash_of_no_address(__u32 mix)
{
	__u32 a = mix + 0xdeadbeef + 4, b = a, c = a;

#define MIX(to, from, bits)                                                                        \
	do {                                                                                       \
		to ^= from;                                                                        \
		to -= from << (bits) | from >> (32 - (bits));                                      \
	} while (0)
	MIX(c, b, 14);
	MIX(a, c, 11);
	MIX(b, a, 25);
	MIX(c, b, 16);
	MIX(a, c, 4);
	MIX(b, a, 14);
	MIX(c, b, 24);
#undef MIX
	return c;
}

/* Sockets bound to no address: the bucket of that hash has a port's two lists, and other lists. */
struct look {
	const struct port_space *space;
	__u64 node;
	__u64 came_from; /* the address of the pointer that led to node */
	__u32 port;
	__u32 uid;
	enum usage usage; /* UNTOLD until the end or a live socket is met */
};

static __always_inline bool is_live_socket(struct look *look, __u64 node)
{
	struct sock *sock = kernel_object(
		sock, container_of((void *)node, struct sock, __sk_common.skc_bind_node));

	if (kernel_read(sock, __sk_common.skc_num) != look->port ||
	    kernel_read(sock, __sk_common.skc_state) == TCP_TIME_WAIT)
		return false;
	look->uid = kernel_read(sock, sk_uid.val);
	return true;
}

static long visit_list(__u32 index, struct look *look)
{
	struct inet_bind2_bucket *list;
	__u64 address, next, first;

	if (!look->node) {
		look->usage = UNUSED;
		return 1;
	}
	address = address_of(container_of((void *)look->node, struct inet_bind2_bucket, node));
	list = kernel_object(inet_bind2_bucket, address);
	next = address_of(kernel_read(list, node.next));
	first = address_of(kernel_read(list, owners.first));
	list = kernel_object(inet_bind2_bucket, read_after(address, next | first));
	/* Entries are added at the head, so one reused in another bucket has another back link. */
	if (address_of(kernel_read(list, node.pprev)) != look->came_from) {
		look->usage = ASTRAY;
		return 1;
	}
	if (kernel_read(list, port) == look->port &&
	    address_of(kernel_read(list, ib_net.net)) == look->space->net && first &&
	    is_live_socket(look, first)) {
		look->usage = IN_USE;
		return 1;
	}
	look->came_from = look->node + bpf_core_field_offset(struct hlist_node, next);
	look->node = next;
	return 0;
}

/* Not 0 while the port's bucket is locked, or if the kind of lock is unknown (doubt refuses). */
static __always_inline __u32 lock_word(const struct port_space *space, __u32 port)
{
	__u64 address = space->sockets + (__u64)bucket_of(space, port) * space->sockets_stride -
			bpf_core_field_offset(struct inet_bind_hashbucket, chain);
	struct inet_bind_hashbucket *head = kernel_object(inet_bind_hashbucket, address);
	struct inet_bind_hashbucket___rt *sleeping = (void *)head;
	__u64 owner = 0;

	if (bpf_core_field_exists(head->lock.rlock.raw_lock.val))
		return kernel_read(head, lock.rlock.raw_lock.val.counter);
	if (!bpf_core_field_exists(sleeping->lock.lock.owner))
		return 1;
	bpf_core_read(&owner, sizeof(owner), &sleeping->lock.lock.owner);
	return !!owner;
}

/* In the answer of a look: a socket may have been on no list. */
#define SEEN_LOCKED (1 << 8)

/*
 * One look at the lists: an enum usage, SEEN_LOCKED beside it, and the user of a socket in the
 * high half. Verified by itself, since it is looked often.
 */
__verified_alone __u64 look_at_lists(const struct port_space *space, __u32 port)
{
	struct look look = { .space = space, .port = port };
	struct inet_bind_hashbucket *head;
	__u32 bucket, left, locked;
	__u64 address;

	if (!space)
		return UNTOLD;
	bucket = (hash_of_no_address(space->hash_mix) ^ port) & space->sockets_mask;
	address = space->by_address + (__u64)bucket * space->sockets_stride;
	head = kernel_object(inet_bind_hashbucket, address);
	left = space->visited < CALL_ENTRIES ? CALL_ENTRIES - space->visited : 0;
	look.usage = UNTOLD - zero_for_loops;
	locked = lock_word(space, port);
	look.node = address_of(kernel_read(head, chain.first));
	locked |= lock_word(space, port);
	look.came_from = address + bpf_core_field_offset(struct inet_bind_hashbucket, chain.first);
	((struct port_space *)space)->visited += (__u32)bpf_loop(left, visit_list, &look, 0);
	return (__u64)look.uid << 32 | (locked ? SEEN_LOCKED : 0) | look.usage;
}

/*
 * How sockets that are bound to no address use the port. A moving socket is on no list
 * only while its mover holds the lock of the port's bucket; then it goes to a list's head.
 * So if the lock is free just before and just after we read the head, the socket can be
 * reached from there. It can move again while we walk toward it; for the second walk it is
 * nearer the head.
 */
__verified_alone __u64 use_without_address(const struct port_space *space, __u32 port)
{
	for (int tries = 0; tries < LOOK_TRIES; tries++) {
		__u64 first = look_at_lists(space, port), second;

		if ((__u8)first == IN_USE)
			return first & ~(__u64)SEEN_LOCKED;
		second = look_at_lists(space, port);
		if ((__u8)second == IN_USE)
			return second & ~(__u64)SEEN_LOCKED;
		/* Nobody, twice, and never locked. */
		if ((first | second) == UNUSED)
			return UNUSED;
	}
	return UNTOLD;
}

/* Decisive check of a marked port that seems to have only TIME_WAITs; returns like port_use(). */
static __always_inline __u64 confirm_time_wait(const struct port_space *space, __u32 port)
{
	struct inet_bind_bucket *bucket = NULL;
	__u32 *moves = moves_of(space->net, port), before;
	__u64 usage = TIME_WAIT_ONLY;

	if (!bpf_core_field_exists(bucket->bhash2))
		return TIME_WAIT_ONLY;
	if (!moves)
		return UNTOLD;
	before = *(volatile __u32 *)moves;
	for (int walks = 0; walks < DECISIVE_WALKS; walks++) {
		usage = port_use(space, port);
		if ((__u32)usage != TIME_WAIT_ONLY)
			return usage;
		usage = use_without_address(space, port);
		if ((__u32)usage != UNUSED)
			return usage;
		if (*(volatile __u32 *)moves != before)
			return IN_USE;
	}
	return TIME_WAIT_ONLY;
}

#endif /* PORTKEEP_IN_USE_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Is a socket bound to a port? Answered from the kernel's own tables of bound
 * sockets, so it sees those that were bound before Portkeep was there, those
 * that the kernel bound, IPv6-only ones, and children of a listener.
 *
 * The walk takes no lock. An entry that is removed and used again in another
 * bucket while the walk stands on it would lead the walk astray; so each entry
 * passed must belong to this bucket, or the walk starts again.
 */
#ifndef PORTKEEP_IN_USE_H
#define PORTKEEP_IN_USE_H

#include "port_space.h"

/*
 * What a walk visits at most; a list that is longer counts as in use. The tables
 * are sized so that a bucket holds a few entries, but a user can have a namespace
 * with a small table of its own and many sockets: one call must not keep the CPU
 * for long all the same. Sockets in TIME_WAIT on one port can be many.
 */
#define BUCKET_ENTRIES 1024
#define PORT_SOCKETS (1 << 16)

#define WALK_TRIES 4

/* What all walks of one call visit together: some 2 ms. */
#define CALL_ENTRIES 100000

static __always_inline __u32 entries_left(const struct port_space *space, __u32 most)
{
	__u32 visited = space->visited, left = visited < CALL_ENTRIES ? CALL_ENTRIES - visited : 0;

	return left < most ? left : most;
}

/* bpf_loop() returns how many turns it took: counting costs nothing an entry. */
#define count_visits(space, turns) (((struct port_space *)(space))->visited += (__u32)(turns))

enum usage {
	UNUSED,
	TIME_WAIT_ONLY,
	IN_USE,
	ASTRAY, /* the walk has to start again */
};

struct walk {
	const struct port_space *space;
	__u64 node;
	__u32 port;
	__u32 bucket;
	__u32 uid; /* of a socket that uses the port */
	enum usage usage;
	bool ended; /* the list, before the walk's bound */
};

static __always_inline bool in_bucket(const struct port_space *space, struct net *net, __u32 port,
				      __u32 bucket)
{
	return ((port + kernel_read(net, hash_mix)) & space->sockets_mask) == bucket;
}

/* The sockets of one port in a TCP bucket: a list an address, each of sockets. */
struct port_walk {
	struct walk *walk;
	__u64 address_node;
	__u64 socket_node;
	bool any; /* socket */
	enum usage usage; /* IN_USE until the end of all lists is reached */
};

static long visit_tcp_socket(__u32 index, struct port_walk *walk)
{
	struct inet_bind2_bucket *address;
	struct sock *sock;

	if (!walk->socket_node) {
		if (!walk->address_node) {
			/* Without a socket it is being made or removed. */
			walk->usage = walk->any ? TIME_WAIT_ONLY : ASTRAY;
			return 1;
		}
		address = kernel_object(inet_bind2_bucket,
					container_of((void *)walk->address_node,
						     struct inet_bind2_bucket, bhash_node));
		walk->address_node = address_of(kernel_read(address, bhash_node.next));
		walk->socket_node = address_of(kernel_read(address, owners.first));
		/* Its memory may be another port's list by now. */
		if (kernel_read(address, port) != walk->walk->port ||
		    address_of(kernel_read(address, ib_net.net)) != walk->walk->space->net) {
			walk->usage = ASTRAY;
			return 1;
		}
		return 0;
	}
	sock = kernel_object(sock, container_of((void *)walk->socket_node, struct sock,
						__sk_common.skc_bind_node));
	walk->socket_node = address_of(kernel_read(sock, __sk_common.skc_bind_node.next));
	if (kernel_read(sock, __sk_common.skc_num) != walk->walk->port ||
	    address_of(kernel_read(sock, __sk_common.skc_net.net)) != walk->walk->space->net) {
		walk->usage = ASTRAY;
		return 1;
	}
	walk->any = true;
	if (kernel_read(sock, __sk_common.skc_state) == TCP_TIME_WAIT)
		return 0;
	walk->walk->uid = kernel_read(sock, sk_uid.val);
	return 1;
}

static __always_inline enum usage tcp_bucket_use(struct walk *walk, __u64 address)
{
	struct inet_bind_bucket *bucket = kernel_object(inet_bind_bucket, address);
	struct port_walk sockets = { .walk = walk, .any = zero_for_loops, .usage = IN_USE };

	if (bpf_core_field_exists(bucket->bhash2)) {
		sockets.address_node = address_of(kernel_read(bucket, bhash2.first));
	} else {
		struct inet_bind_bucket___owners *old = (void *)bucket;

		bpf_core_read(&sockets.socket_node, sizeof(sockets.socket_node),
			      &old->owners.first);
	}
	count_visits(walk->space, bpf_loop(entries_left(walk->space, PORT_SOCKETS),
					   visit_tcp_socket, &sockets, 0));
	return sockets.usage;
}

static long visit_tcp(__u32 index, struct walk *walk)
{
	struct inet_bind_bucket *entry;
	struct net *net;
	__u32 port;

	if (!walk->node) {
		walk->ended = true;
		return 1;
	}
	entry = kernel_object(inet_bind_bucket,
			      container_of((void *)walk->node, struct inet_bind_bucket, node));
	walk->node = address_of(kernel_read(entry, node.next));
	port = kernel_read(entry, port);
	net = kernel_object(net, kernel_read(entry, ib_net.net));
	if (port == walk->port && address_of(net) == walk->space->net) {
		enum usage usage = tcp_bucket_use(walk, address_of(entry));

		/* There is one entry a port and VRF: the worst of them counts. */
		if (usage > walk->usage)
			walk->usage = usage;
		return walk->usage >= IN_USE;
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
	__u32 port;

	if (!walk->node) {
		walk->ended = true;
		return 1;
	}
	sock = kernel_object(sock,
			     container_of((void *)walk->node, struct sock, __sk_common.skc_node));
	walk->node = address_of(kernel_read(sock, __sk_common.skc_node.next));
	port = kernel_read(sock, __sk_common.skc_num);
	net = kernel_object(net, kernel_read(sock, __sk_common.skc_net.net));
	if (port == walk->port && address_of(net) == walk->space->net) {
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
		if (walk->space->protocol == IPPROTO_TCP)
			count_visits(walk->space,
				     bpf_loop(entries_left(walk->space, BUCKET_ENTRIES), visit_tcp,
					      walk, 0));
		else
			count_visits(walk->space,
				     bpf_loop(entries_left(walk->space, BUCKET_ENTRIES), visit_udp,
					      walk, 0));
		if (walk->usage == UNUSED && walk->ended)
			return UNUSED;
		if (walk->usage == IN_USE)
			return IN_USE;
		if (walk->usage == TIME_WAIT_ONLY && walk->ended)
			return TIME_WAIT_ONLY;
		walk->ended = false;
		walk->node = bucket_head(walk->space, walk->bucket);
	}
	return IN_USE;
}

static __always_inline __u32 bucket_of(const struct port_space *space, __u32 port)
{
	return (port + space->hash_mix) & space->sockets_mask;
}

/* Quick, and right for most ports: no socket of any namespace hashes there. */
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
	walk.node = bucket_head(space, walk.bucket);
	if (!walk.node)
		return UNUSED;
	usage = walk_bucket(&walk);
	return (__u64)walk.uid << 32 | usage;
}

/* ---- only TIME_WAIT? ---- */

/*
 * Since Linux 6.8 the sockets of a port hang from a list for each address, and one
 * that connects, or disconnects (also if it is not connected), moves from list to
 * list, under the lock of the port's bucket. A walk can miss it then. With a mark on
 * the port:
 *
 * - connect() is announced: the hook counts it in moves, before the socket moves. A
 *   socket may have passed the hook just before the mark: once, as it is locked.
 * - so, apart from that once, a socket moves to the lists of no address only, which
 *   have no TIME_WAITs and can be looked up at once: look_by_address().
 * - a listener may leave a connection behind and be closed: once, for that connection
 *   neither listens nor binds.
 *
 * Each walk that misses a socket takes one of these from it. The third sees it.
 */
#define DECISIVE_WALKS 3

#define LOOK_TRIES 8

static __always_inline __u32 hash_of_no_address(__u32 mix)
{
	__u32 a = mix + 0xdeadbeef + 4, b = a, c = a;
#define rol32_(x, n) ((x) << (n) | (x) >> (32 - (n)))
	c ^= b;
	c -= rol32_(b, 14);
	a ^= c;
	a -= rol32_(c, 11);
	b ^= a;
	b -= rol32_(a, 25);
	c ^= b;
	c -= rol32_(b, 16);
	a ^= c;
	a -= rol32_(c, 4);
	b ^= a;
	b -= rol32_(a, 14);
	c ^= b;
	c -= rol32_(b, 24);
	return c;
}

static long visit_address(__u32 index, struct walk *walk)
{
	struct inet_bind2_bucket *address;
	struct sock *sock;
	__u64 first;

	if (!walk->node) {
		walk->ended = true;
		return 1;
	}
	address = kernel_object(inet_bind2_bucket,
				container_of((void *)walk->node, struct inet_bind2_bucket, node));
	walk->node = address_of(kernel_read(address, node.next));
	if (kernel_read(address, port) != walk->port ||
	    address_of(kernel_read(address, ib_net.net)) != walk->space->net)
		return 0;
	first = address_of(kernel_read(address, owners.first));
	if (!first)
		return 0;
	sock = kernel_object(sock,
			     container_of((void *)first, struct sock, __sk_common.skc_bind_node));
	if (kernel_read(sock, __sk_common.skc_num) != walk->port ||
	    kernel_read(sock, __sk_common.skc_state) == TCP_TIME_WAIT)
		return 0;
	walk->uid = kernel_read(sock, sk_uid.val);
	walk->usage = IN_USE;
	return 1;
}

/* Whether a live socket is bound to the port and to no address. */
static __always_inline bool look_by_address(struct walk *walk)
{
	__u32 bucket = (hash_of_no_address(walk->space->hash_mix) ^ walk->port) &
		       walk->space->sockets_mask;
	struct inet_bind_hashbucket *head = kernel_object(
		inet_bind_hashbucket,
		walk->space->by_address + (__u64)bucket * walk->space->sockets_stride);

	walk->usage = UNUSED + zero_for_loops;
	walk->ended = false;
	walk->node = address_of(kernel_read(head, chain.first));
	bpf_loop(BUCKET_ENTRIES, visit_address, walk, 0);
	return walk->usage == IN_USE || !walk->ended;
}

static __always_inline bool is_bucket_locked(const struct walk *walk)
{
	__u64 address = walk->space->sockets + (__u64)walk->bucket * walk->space->sockets_stride -
			bpf_core_field_offset(struct inet_bind_hashbucket, chain);
	struct inet_bind_hashbucket *head = kernel_object(inet_bind_hashbucket, address);

	if (!bpf_core_field_exists(head->lock.rlock))
		return false;
	return kernel_read(head, lock.rlock.raw_lock.val.counter);
}

/*
 * A socket on the move is on no list while its mover holds the bucket's lock. Where
 * the lock is free between two looks it is on a list; it would have to be taken off
 * again within the few nanoseconds to the second.
 */
__verified_alone bool is_on_no_address(const struct port_space *space, __u32 port)
{
	struct walk walk = { .space = space, .port = port };

	if (!space)
		return true;
	walk.bucket = bucket_of(space, port);
	for (int tries = 0; tries < LOOK_TRIES; tries++) {
		bool held;

		if (look_by_address(&walk))
			return true;
		held = is_bucket_locked(&walk);
		if (look_by_address(&walk))
			return true;
		if (!held)
			return false;
	}
	return true;
}

/* A decisive look at a marked port that seems to have TIME_WAITs only; returns as port_use() does. */
static __always_inline __u64 confirm_time_wait(const struct port_space *space, __u32 port)
{
	struct inet_bind_bucket *bucket = NULL;
	__u32 *moves = moves_of(space->net, port), before;
	__u64 usage = TIME_WAIT_ONLY;

	if (!bpf_core_field_exists(bucket->bhash2))
		return TIME_WAIT_ONLY;
	if (!moves)
		return IN_USE;
	before = *(volatile __u32 *)moves;
	for (int walks = 0; walks < DECISIVE_WALKS; walks++) {
		usage = port_use(space, port);
		if ((__u32)usage != TIME_WAIT_ONLY)
			return usage;
		if (is_on_no_address(space, port))
			return IN_USE;
		if (*(volatile __u32 *)moves != before)
			return IN_USE;
	}
	return usage;
}

#endif /* PORTKEEP_IN_USE_H */

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
	bool confirming;
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
	bpf_loop(PORT_SOCKETS, visit_tcp_socket, &sockets, 0);
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
			bpf_loop(BUCKET_ENTRIES, visit_tcp, walk, 0);
		else
			bpf_loop(BUCKET_ENTRIES, visit_udp, walk, 0);
		if (walk->usage == UNUSED && walk->ended)
			return UNUSED;
		if (walk->usage == IN_USE)
			return IN_USE;
		/*
		 * A socket that connects moves to the list of another address, and is on none
		 * for an instant: only twice TIME_WAIT is TIME_WAIT.
		 */
		if (walk->usage == TIME_WAIT_ONLY && walk->ended) {
			if (walk->confirming)
				return TIME_WAIT_ONLY;
			walk->confirming = true;
		}
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

#endif /* PORTKEEP_IN_USE_H */

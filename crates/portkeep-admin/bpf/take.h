/* SPDX-License-Identifier: GPL-2.0 */
/* Taking a block: one that was named, or one that was found. */
#ifndef PORTKEEP_TAKE_H
#define PORTKEEP_TAKE_H

#include "conflict.h"
#include "in_use.h"

/*
 * One acquire under way. It is with the socket, which is locked, and not in the
 * program's frame: that counts, in the 512 bytes that a program has, for the
 * deepest calls below it, and Linux before 6.8 rounds every frame up to 32 bytes.
 */
struct acquisition {
	struct port_space space;
	struct portkeep_acquire request;
	struct portkeep_conflict conflict; /* kind 0: none to tell of */
	__u64 token;
	__u32 start; /* of the block, once it is taken */
	__u32 charged_uid;
	__u32 owner_uid; /* of a persistent reservation */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct acquisition);
} acquisitions SEC(".maps");

struct obstacle_search {
	const struct port_space *space;
	__u32 uid;
	__u16 first;
	__u16 last;
	__u16 port; /* that is in the way, 0 if none is */
	bool untold; /* whether it is in use */
	bool decisive; /* the ports are marked */
};

/* Ports looked at in one turn of the loop: a turn costs more than a port. */
#define PORTS_AT_ONCE 16

static long search_obstacle(__u32 turn, struct obstacle_search *search)
{
	const struct port_space *space = search->space;
	__u32 port = search->first + turn * PORTS_AT_ONCE, last = search->last;

	for (int i = 0; i < PORTS_AT_ONCE; i++, port++) {
		__u64 usage;

		if (port > last)
			return 1;
		if (is_surely_unused(space, port))
			continue;
		usage = port_use(space, port);
		if ((__u32)usage == TIME_WAIT_ONLY && search->decisive &&
		    space->protocol == IPPROTO_TCP)
			usage = confirm_time_wait(space, port);
		if ((__u32)usage >= UNTOLD) {
			search->port = port;
			search->uid = usage >> 32;
			search->untold = (__u32)usage == UNTOLD;
			return 1;
		}
	}
	return 0;
}

static __always_inline bool find_obstacle(struct obstacle_search *search)
{
	bpf_loop((__u32)(search->last - search->first) / PORTS_AT_ONCE + 1, search_obstacle, search,
		 0);
	return search->port;
}

/* Not inlined: its frame would count for the deepest calls below take_block(). */
static __noinline int describe_obstacle(struct portkeep_conflict *conflict,
					const struct obstacle_search *search)
{
	__u16 protocol = search->space->protocol;

	if (search->untold) {
		*conflict = make_conflict(PORTKEEP_CONFLICT_CANNOT_TELL, protocol, search->port);
		return -ENOBUFS;
	}
	*conflict = make_conflict(PORTKEEP_CONFLICT_IN_USE, protocol, search->port);
	conflict->owner_uid = search->uid;
	return -EADDRINUSE;
}

/*
 * Marks first..last unless a port of it is reserved or in use.
 *
 * The sockets are looked for after the marking: a bind that passed the first bind
 * hook before it is either seen here, or sees the mark in the second hook. They
 * are looked for before, too: otherwise a user who asks again and again for a port in
 * use would keep it marked, and its owner from binding more sockets to it. ADOPT skips
 * both checks.
 */
__verified_alone int take_block(const struct port_space *space, __u32 first, __u32 last,
				struct portkeep_conflict *conflict, bool adopt)
{
	struct obstacle_search search = { .space = space, .first = first, .last = last };
	__u32 taken = 0;
	int error;

	if (!space || !conflict)
		return -EINVAL;
	if (!adopt && find_obstacle(&search))
		goto in_the_way;
	error = mark_block(space, first, last, &taken);
	if (error) {
		if (taken)
			describe_reserved(conflict, space, taken);
		return error;
	}
	search.decisive = true;
	if (adopt || !find_obstacle(&search))
		return 0;
	give_block_back(space, first, last);
in_the_way:
	return describe_obstacle(conflict, &search);
}

struct unprotected_search {
	const struct port_space *space;
	__u32 first;
	__u32 last;
	__u32 found;
};

static long search_unprotected(__u32 index, struct unprotected_search *search)
{
	__u32 word = search->first / 64 + index;
	__u64 ports = unprotected_ports(search->space, word) &
		      word_mask(word, search->first, search->last);

	if (!ports)
		return 0;
	search->found = word * 64 + lowest_bit(ports);
	return 1;
}

__verified_alone int take_specific(const struct port_space *space, __u32 first, __u32 last,
				   struct portkeep_conflict *conflict, bool adopt)
{
	struct unprotected_search search = { .space = space, .first = first, .last = last };

	if (!space || !conflict)
		return -EINVAL;
	if (first < space->unprivileged_start && !capable_over(space->net, CAP_NET_BIND_SERVICE)) {
		*conflict = make_conflict(PORTKEEP_CONFLICT_NOT_PERMITTED, space->protocol, first);
		return -EACCES;
	}
	bpf_loop(last / 64 - first / 64 + 1, search_unprotected, &search, 0);
	if (search.found) {
		*conflict =
			make_conflict(PORTKEEP_CONFLICT_AUTOMATIC, space->protocol, search.found);
		return -EADDRNOTAVAIL;
	}
	return take_block(space, first, last, conflict, adopt);
}

#endif /* PORTKEEP_TAKE_H */

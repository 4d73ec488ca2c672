/* SPDX-License-Identifier: GPL-2.0 */
/* Finding a block and taking it. */
#ifndef PORTKEEP_ACQUIRE_H
#define PORTKEEP_ACQUIRE_H

#include "conflict.h"
#include "in_use.h"

struct in_use_search {
	const struct port_space *space;
	__u32 first;
	__u32 last;
	__u32 port; /* in use, 0 if none is */
	__u32 uid;
};

/* Ports looked at in one turn of the loop: a turn costs more than a port. */
#define PORTS_AT_ONCE 16

static long search_in_use(__u32 turn, struct in_use_search *search)
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
		if ((__u32)usage == IN_USE) {
			search->port = port;
			search->uid = usage >> 32;
			return 1;
		}
	}
	return 0;
}

/*
 * Marks first..last unless a port of it is reserved or in use. The sockets are
 * looked for after the marking: a bind that passed the first bind hook before it
 * is either seen here, or sees the mark in the second hook.
 */
__verified_alone int take_block(const struct port_space *space, __u32 first, __u32 last,
				 struct portkeep_conflict *conflict)
{
	struct in_use_search search = { .space = space, .first = first, .last = last };
	__u32 taken = 0;
	int error;

	if (!space || !conflict)
		return -EINVAL;
	error = mark_block(space, first, last, &taken);
	if (error) {
		if (taken)
			describe_reserved(conflict, space->netns, space->protocol, taken);
		return error;
	}
	bpf_loop((last - first) / PORTS_AT_ONCE + 1, search_in_use, &search, 0);
	if (!search.port)
		return 0;
	unmark_block(space->netns, space->protocol, first, last);
	*conflict = make_conflict(PORTKEEP_CONFLICT_IN_USE, space->protocol, search.port);
	conflict->owner_uid = search.uid;
	return -EADDRINUSE;
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
				    struct portkeep_conflict *conflict)
{
	struct unprotected_search search = { .space = space, .first = first, .last = last };

	if (!space || !conflict)
		return -EINVAL;
	if (first < space->unprivileged_start &&
	    !capable_over(space->user_ns, CAP_NET_BIND_SERVICE)) {
		*conflict = make_conflict(PORTKEEP_CONFLICT_NOT_PERMITTED, space->protocol, first);
		return -EACCES;
	}
	bpf_loop(last / 64 - first / 64 + 1, search_unprotected, &search, 0);
	if (search.found) {
		*conflict = make_conflict(PORTKEEP_CONFLICT_AUTOMATIC, space->protocol,
					  search.found);
		return -EADDRNOTAVAIL;
	}
	return take_block(space, first, last, conflict);
}

/* ---- wildcard ---- */

/* A search for a run of usable ports that goes through the bitmap word by word. */
struct run_search {
	const struct port_space *space;
	__u32 from; /* inclusive, both */
	__u32 to;
	__u32 count;
	__u32 align;
	__u32 run; /* where the run of usable ports that reaches the last word's end began */
	__u32 found; /* 0: nothing yet */
};

static __always_inline __u32 align_up(__u32 port, __u32 align)
{
	return (port + align - 1) & ~(align - 1);
}

/* The bits of a word at multiples of align; at most the first if align is larger. */
static __always_inline __u64 aligned_bits(__u32 word, __u32 align)
{
	if (align < 64)
		return ~0ULL / ((1ULL << align) - 1);
	return word * 64 & (align - 1) ? 0 : 1;
}

static long search_run(__u32 index, struct run_search *search)
{
	__u32 word = search->from / 64 + index, port = word * 64, start;
	struct port_chunk *chunk =
		find_chunk(search->space->netns, search->space->protocol, word);
	__u64 usable = word_mask(word, search->from, search->to) &
		       ~unprotected_ports(search->space, word);

	if (chunk)
		usable &= ~*chunk_word(chunk, reserved, word);

	/* A run that began in an earlier word and goes on into this one. */
	start = align_up(search->run, search->align);
	if (port + (~usable ? lowest_bit(~usable) : 64) >= start + search->count) {
		search->found = start;
		return 1;
	}
	/* A run inside this word: a bit stays set where count usable ports begin. */
	if (search->count <= 64) {
		__u64 begins = usable;
		__u32 length = search->count;

		for (int i = 0; i < 6 && length > 1; i++) {
			__u32 half = length / 2;

			begins &= begins >> half;
			length -= half;
		}
		begins &= aligned_bits(word, search->align);
		if (begins) {
			search->found = port + lowest_bit(begins);
			return 1;
		}
	}
	if (~usable)
		search->run = port + highest_bit(~usable) + 1;
	return 0;
}

__verified_alone __u32 find_run(const struct port_space *space, __u32 from, __u32 to,
				 __u32 count, __u32 align)
{
	struct run_search search = {
		.space = space,
		.from = from,
		.to = to,
		.count = count,
		.align = align,
		.run = from,
	};

	if (!space || from > to)
		return 0;
	bpf_loop(to / 64 - from / 64 + 1, search_run, &search, 0);
	return search.found;
}

struct wildcard {
	const struct port_space *space;
	struct portkeep_conflict conflict;
	__u32 pool_start;
	__u32 pool_end;
	__u32 from;
	__u32 count;
	__u32 align;
	__u32 start; /* of the block that was taken */
	int error;
	bool wrapped;
};

static long try_run(__u32 index, struct wildcard *wildcard)
{
	__u32 start = find_run(wildcard->space, wildcard->from, wildcard->pool_end,
			       wildcard->count, wildcard->align);

	if (!start) {
		if (wildcard->wrapped)
			return 1;
		wildcard->wrapped = true;
		wildcard->from = wildcard->pool_start;
		return 0;
	}
	wildcard->error = take_block(wildcard->space, start, start + wildcard->count - 1,
				     &wildcard->conflict);
	if (!wildcard->error)
		wildcard->start = start;
	if (wildcard->error != -EADDRINUSE)
		return 1;
	wildcard->from = bpf_ntohs(wildcard->conflict.port) + 1;
	return 0;
}

/*
 * Any block of the pool. The search starts behind the last one that was found,
 * so that a block just released, with late packets still under way to it, is the
 * last to be given out again, and two CPUs seldom try the same block.
 */
static __always_inline int take_wildcard(const struct port_space *space, __u32 count, __u32 align,
				    __u32 *start, struct portkeep_conflict *conflict)
{
	struct settings *settings = the_settings();
	struct counters *counters = the_counters();
	struct wildcard wildcard = { .space = space, .count = count, .align = align ?: 1 };

	if (!settings || !counters)
		return -ENOBUFS;
	wildcard.pool_start = settings->pool_start;
	wildcard.pool_end = settings->pool_end;
	if (wildcard.pool_start < space->unprivileged_start &&
	    !capable_over(space->user_ns, CAP_NET_BIND_SERVICE))
		wildcard.pool_start = space->unprivileged_start;
	wildcard.from = counters->next_port;
	if (wildcard.from < wildcard.pool_start || wildcard.from > wildcard.pool_end)
		wildcard.from = wildcard.pool_start;
	wildcard.error = -EADDRINUSE;
	/* Every try but two moves from forward, so the port space bounds them. */
	bpf_loop(2 * 65536 + 2, try_run, &wildcard, 0);
	if (wildcard.start) {
		*start = wildcard.start;
		counters->next_port = wildcard.start + count;
		return 0;
	}
	if (wildcard.error == -EADDRINUSE)
		*conflict = make_conflict(PORTKEEP_CONFLICT_RESERVED, space->protocol, 0);
	return wildcard.error;
}

/* ---- the record ---- */

static __always_inline void copy_command(char *to)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();

	bpf_probe_read_kernel(to, 16, &task->group_leader->comm);
}

/* One acquire under way. */
struct acquisition {
	struct port_space space;
	struct portkeep_acquire request;
	struct portkeep_conflict conflict; /* kind 0: none to tell of */
	__u64 token;
	__u32 start; /* of the block, once it is taken */
	__u32 charged_uid;
};

/* Stores the record of the block, which is marked. */
static __always_inline int store_reservation(struct acquisition *acquisition, const void *sk)
{
	const struct port_space *space = &acquisition->space;
	struct reservation_key key = {
		.netns = space->netns,
		.protocol = space->protocol,
		.start = acquisition->start,
	};
	struct sock *sock = kernel_object(sock, sk);
	struct reservation reservation = {
		.start = acquisition->start,
		.count = acquisition->request.range.count,
		.owner = current_process(),
		.since = bpf_ktime_get_boot_ns(),
		.acquirer = address_of(sk),
		.socket_cookie = kernel_read(sock, __sk_common.skc_cookie.counter),
		.thread = current_thread(),
		.charged_uid = acquisition->charged_uid,
		.flags = acquisition->request.flags,
	};
	struct counters *counters = the_counters();

	if (!counters)
		return -ENOBUFS;
	copy_command(reservation.command);
	reservation.token = make_token(__sync_fetch_and_add(&counters->sequence, 1) + 1,
				       space->protocol, acquisition->start);
	if (bpf_map_update_elem(&reservations, &key, &reservation, BPF_NOEXIST))
		return -ENOBUFS;
	mark_first(space->netns, space->protocol, acquisition->start);
	acquisition->token = reservation.token;
	return 0;
}

static __always_inline int take(struct acquisition *acquisition)
{
	const struct portkeep_acquire *request = &acquisition->request;
	__u32 start = bpf_ntohs(request->range.start), count = request->range.count;

	if (!start)
		return take_wildcard(&acquisition->space, count, request->align,
				     &acquisition->start, &acquisition->conflict);
	acquisition->start = start;
	return take_specific(&acquisition->space, start, start + count - 1,
			     &acquisition->conflict);
}

static __always_inline int acquire_block(struct acquisition *acquisition, const void *sk)
{
	const struct port_space *space = &acquisition->space;
	__u32 count = acquisition->request.range.count;
	int error;

	acquisition->charged_uid = user_to_charge();
	error = charge(acquisition->charged_uid, count);
	if (error == -EDQUOT)
		acquisition->conflict = make_conflict(PORTKEEP_CONFLICT_QUOTA, space->protocol, 0);
	if (error)
		return error;
	error = take(acquisition);
	if (error)
		goto uncharge;
	error = store_reservation(acquisition, sk);
	if (!error)
		return 0;
	unmark_block(space->netns, space->protocol, acquisition->start,
		     acquisition->start + count - 1);
uncharge:
	uncharge(acquisition->charged_uid, count);
	return error;
}

#endif /* PORTKEEP_ACQUIRE_H */

/* SPDX-License-Identifier: GPL-2.0 */
/* Finding a free block in the pool. */
#ifndef PORTKEEP_WILDCARD_H
#define PORTKEEP_WILDCARD_H

#include "take.h"

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
	struct port_chunk *chunk = find_chunk(search->space->netns, search->space->protocol, word);
	__u64 usable =
		word_mask(word, search->from, search->to) & ~unprotected_ports(search->space, word);

	if (chunk)
		usable &= ~*chunk_word(chunk, reserved, word);
	usable &= ~reserved_beside(search->space, word);

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

__verified_alone __u32 find_run(const struct port_space *space, __u32 from, __u32 to, __u32 count,
				__u32 align)
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
	struct acquisition *acquisition;
	__u32 from;
	__u16 pool_start;
	__u16 pool_end;
	int error;
	bool wrapped;
};

static long try_run(__u32 index, struct wildcard *wildcard)
{
	struct acquisition *acquisition = wildcard->acquisition;
	__u32 count = acquisition->request.range.count;
	__u32 start = find_run(&acquisition->space, wildcard->from, wildcard->pool_end, count,
			       acquisition->request.align ?: 1);

	if (!start) {
		if (wildcard->wrapped)
			return 1;
		wildcard->wrapped = true;
		wildcard->from = wildcard->pool_start;
		return 0;
	}
	wildcard->error = take_block(&acquisition->space, start, start + count - 1,
				     &acquisition->conflict, false);
	if (!wildcard->error) {
		acquisition->start = start;
		return 1;
	}
	/* Another block will do, also where one port of this one has a crowded bucket. */
	if (wildcard->error != -EADDRINUSE &&
	    (acquisition->conflict.kind != PORTKEEP_CONFLICT_CANNOT_TELL ||
	     is_budget_used_up(&acquisition->space)))
		return 1;
	wildcard->error = -EADDRINUSE;
	wildcard->from = bpf_ntohs(acquisition->conflict.port) + 1;
	return 0;
}

/* Many a machine has an automatic range that takes in the pool. */
static __always_inline enum portkeep_conflict_kind why_no_run(const struct port_space *space,
							      __u32 pool_start)
{
	__u64 unprotected = unprotected_ports(space, pool_start / 64);

	return unprotected >> (pool_start % 64) & 1 ? PORTKEEP_CONFLICT_AUTOMATIC :
						      PORTKEEP_CONFLICT_RESERVED;
}

/*
 * Any block of the pool. The search starts behind the last one that was found,
 * so that a block just released, with late packets still under way to it, is the
 * last to be given out again, and two CPUs seldom try the same block.
 */
static __always_inline int take_wildcard(struct acquisition *acquisition)
{
	struct port_space *space = &acquisition->space;
	struct wildcard wildcard = {
		.acquisition = acquisition,
		.error = -EADDRINUSE,
		.wrapped = zero_for_loops,
	};
	struct settings *settings = the_settings();
	struct counters *counters = the_counters();

	if (!settings || !counters)
		return -ENOBUFS;
	space->any_port = true;
	wildcard.pool_start = settings->pool_start;
	wildcard.pool_end = settings->pool_end;
	if (wildcard.pool_start < space->unprivileged_start &&
	    !capable_over(space->net, CAP_NET_BIND_SERVICE))
		wildcard.pool_start = space->unprivileged_start;
	wildcard.from = counters->next_port;
	if (wildcard.from < wildcard.pool_start || wildcard.from > wildcard.pool_end)
		wildcard.from = wildcard.pool_start;
	/* Every try but two moves from forward, so the port space bounds them. */
	bpf_loop(2 * 65536 + 2, try_run, &wildcard, 0);
	if (acquisition->start)
		counters->next_port = acquisition->start + acquisition->request.range.count;
	else if (wildcard.error == -EADDRINUSE)
		acquisition->conflict =
			make_conflict(why_no_run(space, wildcard.pool_start), space->protocol, 0);
	return wildcard.error;
}

#endif /* PORTKEEP_WILDCARD_H */

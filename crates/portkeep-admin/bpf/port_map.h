/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The bitmaps: which ports are reserved, and where each reservation starts.
 *
 * A block is marked word by word with atomic operations and taken back when a
 * bit was set already, so no lock is held and no interrupt waits, however big
 * the block. Two overlapping acquires can both be refused that way; never both
 * granted.
 *
 * A chunk is never deleted while its namespace lives: somebody may be about to
 * set a bit in it, and the memory of a deleted one is used again at once. Chunks
 * of namespaces that have gone are dropped when the next chunk is made.
 */
#ifndef PORTKEEP_PORT_MAP_H
#define PORTKEEP_PORT_MAP_H

#include "port_space.h"
#include "quota.h"

/*
 * The word of a chunk's bitmap, by its number in the port space. The verifier
 * does not know the range of a remainder, hence the bound that always holds.
 */
#define chunk_word(chunk, bitmap, word)                                                            \
	({                                                                                         \
		__u32 index_ = (word) % CHUNK_WORDS;                                               \
		barrier_var(index_);                                                               \
		if (index_ >= CHUNK_WORDS)                                                         \
			index_ = 0;                                                                \
		&(chunk)->bitmap[index_];                                                          \
	})

static __always_inline struct port_chunk *find_chunk(__u64 netns, __u16 protocol, __u32 word)
{
	struct port_chunk_key key = {
		.netns = netns,
		.protocol = protocol,
		.index = word / CHUNK_WORDS,
	};

	return bpf_map_lookup_elem(&port_chunks, &key);
}

/* Never for a chunk that somebody is just making, nor for EVERY_NETNS. */
static __always_inline bool is_namespace_gone(__u64 netns, __u64 address)
{
	struct net *net = kernel_object(net, address);
	int references = 1;

	if (!address)
		return false;
	if (bpf_core_field_exists(net->ns.__ns_ref)) {
		references = kernel_read(net, ns.__ns_ref.refs.counter);
	} else {
		struct ns_common___count *ns = (void *)&net->ns;

		if (bpf_core_field_exists(ns->count))
			bpf_core_read(&references, sizeof(references), &ns->count.refs.counter);
	}
	/* Memory of a namespace that has gone may hold another one by now. */
	return references <= 0 || kernel_read(net, net_cookie) != netns;
}

/* A persistent reservation outlives its namespace until it is swept (sweep.h). */
static __always_inline bool has_reservations(const struct port_chunk *chunk)
{
	__u64 any = 0;

#pragma unroll
	for (int i = 0; i < CHUNK_WORDS; i++)
		any |= chunk->reserved[i];
	return any;
}

static long drop_if_namespace_gone(void *map, struct port_chunk_key *key, struct port_chunk *chunk,
				   void *unused)
{
	__u32 charged_uid = chunk->charged_uid;

	if (!is_namespace_gone(key->netns, chunk->net) || has_reservations(chunk))
		return 0;
	if (!bpf_map_delete_elem(map, key))
		uncharge_chunk(charged_uid);
	return 0;
}

/* 0 if there is a chunk for the word afterwards. */
__verified_alone int make_chunk(const struct port_space *space, __u32 word)
{
	struct port_chunk_key key = {};
	__u32 uid = user_to_charge();
	struct port_chunk *chunk;
	void *empty = zeroes();
	int error;

	if (!space || !empty)
		return -ENOBUFS;
	key.netns = space->netns;
	key.protocol = space->protocol;
	key.index = word / CHUNK_WORDS;
	bpf_for_each_map_elem(&port_chunks, drop_if_namespace_gone, NULL, 0);
	error = charge_chunk(uid);
	if (error)
		return error;
	/* Another CPU may make it first; then its chunk is the chunk. */
	if (bpf_map_update_elem(&port_chunks, &key, empty, BPF_NOEXIST)) {
		uncharge_chunk(uid);
		return bpf_map_lookup_elem(&port_chunks, &key) ? 0 : -ENOBUFS;
	}
	chunk = bpf_map_lookup_elem(&port_chunks, &key);
	if (!chunk)
		return -ENOBUFS;
	chunk->charged_uid = uid;
	/* From now on it can be dropped. */
	if (space->netns != EVERY_NETNS)
		chunk->net = space->net;
	return 0;
}

static __always_inline __u32 *occupied_word(__u32 word)
{
	return bpf_map_lookup_elem(&occupied, &word);
}

/* False only if the port is reserved in no namespace and for no protocol. */
static __always_inline bool may_be_reserved(__u32 port)
{
	__u32 *reservations = occupied_word(port / 64);

	return !reservations || *reservations;
}

static __always_inline bool is_reserved(__u64 netns, __u16 protocol, __u32 port)
{
	__u32 word = port / 64;
	struct port_chunk *chunk = find_chunk(netns, protocol, word);

	return chunk && (*chunk_word(chunk, reserved, word) >> (port % 64) & 1);
}

/* The cookie of no namespace. */
#define NO_NETNS (~0ULL)

/* Whose reservation counts there: the namespace's own before one for every namespace. */
static __always_inline __u64 reserving_netns(__u64 netns, __u16 protocol, __u32 port)
{
	if (is_reserved(netns, protocol, port))
		return netns;
	if (anything_in_every_netns() && is_reserved(EVERY_NETNS, protocol, port))
		return EVERY_NETNS;
	return NO_NETNS;
}

/* The ports of a word that are reserved beside the bitmap that is marked. */
static __noinline __u64 reserved_beside(const struct port_space *space, __u32 word)
{
	struct port_chunk *chunk;

	if (space->other_netns == EVERY_NETNS && !anything_in_every_netns())
		return 0;
	chunk = find_chunk(space->other_netns, space->protocol, word);
	return chunk ? *chunk_word(chunk, reserved, word) : 0;
}

struct marking {
	const struct port_space *space;
	__u32 first;
	__u32 last;
	__u32 taken; /* a port of the block that was marked already, 0 if none was */
	int error; /* why there is no chunk to mark in */
};

static long mark_word(__u32 index, struct marking *marking)
{
	__u32 word = marking->first / 64 + index;
	__u64 mask = word_mask(word, marking->first, marking->last), before, taken;
	__u32 *reservations = occupied_word(word);
	struct port_chunk *chunk =
		find_chunk(marking->space->netns, marking->space->protocol, word);

	if (!chunk) {
		marking->error = make_chunk(marking->space, word);
		if (marking->error)
			return 1;
		chunk = find_chunk(marking->space->netns, marking->space->protocol, word);
	}
	if (!chunk || !reservations) {
		marking->error = -ENOBUFS;
		return 1;
	}
	__sync_fetch_and_add(reservations, 1);
	before = __sync_fetch_and_or(chunk_word(chunk, reserved, word), mask);
	/* Marked before the other bitmap is looked at: of two who do so one sees the other. */
	taken = (before | reserved_beside(marking->space, word)) & mask;
	if (taken) {
		__sync_fetch_and_and(chunk_word(chunk, reserved, word), ~(mask & ~before));
		__sync_fetch_and_sub(reservations, 1);
		marking->taken = word * 64 + lowest_bit(taken);
		return 1;
	}
	if (!index)
		__sync_fetch_and_or(chunk_word(chunk, first, word), 1ULL << (marking->first % 64));
	return 0;
}

struct unmarking {
	__u64 netns;
	__u32 first;
	__u32 last;
	__u16 protocol;
};

static long unmark_word(__u32 index, struct unmarking *unmarking)
{
	__u32 word = unmarking->first / 64 + index;
	struct port_chunk *chunk = find_chunk(unmarking->netns, unmarking->protocol, word);
	__u32 *reservations = occupied_word(word);

	if (!chunk || !reservations)
		return 0;
	__sync_fetch_and_and(chunk_word(chunk, reserved, word),
			     ~word_mask(word, unmarking->first, unmarking->last));
	__sync_fetch_and_sub(reservations, 1);
	return 0;
}

__verified_alone int unmark_block(__u64 netns, __u16 protocol, __u32 first, __u32 last)
{
	struct unmarking unmarking = {
		.netns = netns,
		.first = first,
		.last = last,
		.protocol = protocol,
	};

	bpf_loop(last / 64 - first / 64 + 1, unmark_word, &unmarking, 0);
	return 0;
}

static __always_inline void unmark_first(__u64 netns, __u16 protocol, __u32 port)
{
	__u32 word = port / 64;
	struct port_chunk *chunk = find_chunk(netns, protocol, word);

	if (chunk)
		__sync_fetch_and_and(chunk_word(chunk, first, word), ~(1ULL << (port % 64)));
}

/*
 * Marks all of first..last, and first as the first of a block, or nothing. 0 or an
 * error; *taken as in marking.
 */
__verified_alone int mark_block(const struct port_space *space, __u32 first, __u32 last,
				__u32 *taken)
{
	struct marking marking = { .space = space, .first = first, .last = last };
	long words;

	if (!space || !taken)
		return -EINVAL;
	words = bpf_loop(last / 64 - first / 64 + 1, mark_word, &marking, 0);
	if (!marking.taken && !marking.error)
		return 0;
	/* The word that stopped the loop took its own bits back. */
	if (words > 1) {
		__u32 end = (first / 64 + (__u32)words - 1) * 64 - 1;

		unmark_first(space->netns, space->protocol, first);
		unmark_block(space->netns, space->protocol, first, end);
	}
	*taken = marking.taken;
	return marking.error ?: -EADDRINUSE;
}

static __always_inline void give_block_back(const struct port_space *space, __u32 first, __u32 last)
{
	unmark_first(space->netns, space->protocol, first);
	unmark_block(space->netns, space->protocol, first, last);
}

struct first_search {
	__u64 netns;
	__u32 port;
	__u32 found;
	__u16 protocol;
};

static long search_first(__u32 index, struct first_search *search)
{
	__u32 word = search->port / 64 - index;
	struct port_chunk *chunk = find_chunk(search->netns, search->protocol, word);
	__u64 firsts =
		chunk ? *chunk_word(chunk, first, word) & word_mask(word, 0, search->port) : 0;

	if (!firsts)
		return 0;
	search->found = word * 64 + highest_bit(firsts);
	return 1;
}

/* The nearest start of a reservation at or below port, 0 if there is none. */
__verified_alone __u32 first_at_or_below(__u64 netns, __u16 protocol, __u32 port)
{
	struct first_search search = { .netns = netns, .port = port, .protocol = protocol };

	bpf_loop(port / 64 + 1, search_first, &search, 0);
	return search.found;
}

#endif /* PORTKEEP_PORT_MAP_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The records: finding a reservation by token or by port, and ending it.
 *
 * The order leaves no window. Creating: look for sockets, mark the ports and the
 * first port, look for sockets again, store the record. Ending: take the record's
 * token, delete the record, unmark its first port, unmark the ports. So a reader
 * that sees a record sees its marks. A marked port without a record belongs to a
 * reservation that is just being created or ended; nobody can bind to it.
 */
#ifndef PORTKEEP_RESERVATION_H
#define PORTKEEP_RESERVATION_H

#include "events.h"
#include "port_map.h"

/*
 * A token is a sequence number with the first port and the protocol below it:
 * unique, never 0, and it leads to its record. It is not a secret: the process
 * that presents it is checked.
 */
#define TOKEN_UDP (1ULL << 16)
#define TOKEN_SEQUENCE_SHIFT 17

static __always_inline __u64 make_token(__u64 sequence, __u16 protocol, __u16 start)
{
	return sequence << TOKEN_SEQUENCE_SHIFT | (protocol == IPPROTO_UDP ? TOKEN_UDP : 0) | start;
}

static __always_inline __u16 token_protocol(__u64 token)
{
	return token & TOKEN_UDP ? IPPROTO_UDP : IPPROTO_TCP;
}

static __always_inline struct reservation *reservation_at(__u64 netns, __u16 protocol, __u16 start)
{
	struct reservation_key key = { .netns = netns, .protocol = protocol, .start = start };

	return bpf_map_lookup_elem(&reservations, &key);
}

static __always_inline struct reservation *reservation_in(__u64 netns, __u64 token)
{
	struct reservation *reservation =
		reservation_at(netns, token_protocol(token), (__u16)token);

	return reservation && reservation->token == token ? reservation : NULL;
}

/*
 * The reservation with this token that counts in a network namespace; *holder is that
 * namespace's cookie, or EVERY_NETNS.
 */
static __always_inline struct reservation *find_reservation(__u64 netns, __u64 token, __u64 *holder)
{
	struct reservation *reservation;

	if (!token)
		return NULL;
	*holder = netns;
	reservation = reservation_in(netns, token);
	if (!reservation && anything_in_every_netns()) {
		*holder = EVERY_NETNS;
		reservation = reservation_in(EVERY_NETNS, token);
	}
	return reservation;
}

static __always_inline struct reservation *reservation_of(__u64 netns, __u64 token)
{
	__u64 holder;

	return find_reservation(netns, token, &holder);
}

static __always_inline bool covers(const struct reservation *reservation, __u32 port)
{
	return port >= reservation->start && port < (__u32)reservation->start + reservation->count;
}

/* Also NULL for a port of a reservation that is just being created or ended. */
static __always_inline struct reservation *reservation_with(__u64 netns, __u16 protocol, __u32 port)
{
	__u32 start = first_at_or_below(netns, protocol, port);
	struct reservation *reservation = start ? reservation_at(netns, protocol, start) : NULL;

	return reservation && covers(reservation, port) ? reservation : NULL;
}

/* Keeps count of the persistent reservations; change is 1 or -1. */
static __always_inline void count_persistent(__u32 flags, __s32 change)
{
	struct counters *counters = the_counters();

	if (!counters || !(flags & PERSISTENT))
		return;
	__sync_fetch_and_add(&counters->persistent, change);
	if (flags & PORTKEEP_EVERY_NETNS)
		__sync_fetch_and_add(&counters->in_every_netns, change);
}

/*
 * Nobody else changes a record without a token: until it is deleted, it is the ended one's.
 * DELETE tells of the persistent ones.
 */
static __noinline int report_released(const struct reservation_key *key, __u64 token)
{
	struct reservation_key own = *key;
	struct portkeep_event event = {};
	struct reservation *ended;

	if (!anyone_watches())
		return 0;
	ended = bpf_map_lookup_elem(&reservations, &own);
	if (!ended)
		return 0;
	start_event(&event, PORTKEEP_EVENT_RELEASED);
	event.netns = own.netns;
	event.token = token;
	event.since = ended->since;
	event.owner_pid = ended->owner.pid;
	event.owner_uid = ended->owner.uid;
	event.range.start = bpf_htons(own.start);
	event.range.count = ended->count;
	event.protocol = own.protocol;
	__builtin_memcpy(event.owner_command, ended->command, sizeof(event.owner_command));
	write_event(&event);
	return 0;
}

/* Completes the end of a reservation, once its token is gone and nobody is binding. */
static __noinline int finish_end(const struct reservation_key *key, __u32 count, __u32 charged_uid,
				 __u32 flags, __u64 token)
{
	struct reservation_key own = *key;
	struct consumers_key its = { .netns = own.netns, .token = token };

	if (!(flags & PERSISTENT))
		report_released(key, token);
	bpf_map_delete_elem(&reservations, &own);
	if ((flags & PERSISTENT) && !bpf_map_delete_elem(&consumers, &its))
		uncharge_consumers(charged_uid);
	unmark_first(own.netns, own.protocol, own.start);
	unmark_block(own.netns, own.protocol, own.start, own.start + count - 1);
	uncharge(charged_uid, count);
	count_persistent(flags, -1);
	return 0;
}

/*
 * The call that takes the token away ends the reservation; others get EINVAL. If
 * acquirer is given, the record must be that socket's: it may have been replaced
 * since the caller read it.
 */
__verified_alone int end_reservation(__u64 netns, __u64 token, __u64 acquirer)
{
	struct reservation_key key = {
		.netns = netns,
		.protocol = token_protocol(token),
		.start = (__u16)token,
	};
	struct reservation *reservation = bpf_map_lookup_elem(&reservations, &key);
	__u32 count, charged_uid, flags, binding;
	bool ours;

	if (!reservation)
		return -EINVAL;
	bpf_spin_lock(&reservation->lock);
	flags = reservation->flags;
	ours = reservation->token == token && !(flags & CHANGING) &&
	       (!acquirer || reservation->acquirer == acquirer);
	if (ours)
		reservation->token = 0;
	count = reservation->count;
	charged_uid = reservation->charged_uid;
	binding = reservation->binding;
	bpf_spin_unlock(&reservation->lock);
	if (!ours)
		return -EINVAL;
	/* The ports stay marked until the last connect that binds there ends: stop_binding(). */
	return binding ? 0 : finish_end(&key, count, charged_uid, flags, token);
}

/* How often a cut and a connect in one block check whether the other is done: some 10 us. */
#define BINDING_TRIES 512

struct binding_start {
	struct reservation *reservation;
	__u64 token;
	int error; /* -EAGAIN while the reservation is being cut */
};

static long try_start_binding(__u32 index, struct binding_start *start)
{
	struct reservation *reservation = start->reservation;
	bool ours, changing;

	bpf_spin_lock(&reservation->lock);
	ours = reservation->token == start->token;
	changing = reservation->flags & CHANGING;
	if (ours && !changing)
		reservation->binding++;
	bpf_spin_unlock(&reservation->lock);
	start->error = !ours ? -EADDRNOTAVAIL : changing ? -EAGAIN : 0;
	return start->error != -EAGAIN;
}

/*
 * From here to stop_binding() the ports stay marked, even if the reservation ends: nobody
 * else is granted them before the socket being bound is in the tables.
 */
static __always_inline bool start_binding(struct reservation *reservation, __u64 token)
{
	struct binding_start start = { .reservation = reservation, .token = token };

	start.error = -EAGAIN + zero_for_loops;
	bpf_loop(BINDING_TRIES, try_start_binding, &start, 0);
	return !start.error;
}

static __noinline int stop_binding(struct reservation *reservation, __u64 netns, __u64 token)
{
	struct reservation_key key = {
		.netns = netns,
		.protocol = token_protocol(token),
		.start = (__u16)token,
	};
	__u32 count, charged_uid, flags;
	bool last;

	bpf_spin_lock(&reservation->lock);
	last = !--reservation->binding && !reservation->token;
	count = reservation->count;
	charged_uid = reservation->charged_uid;
	flags = reservation->flags;
	bpf_spin_unlock(&reservation->lock);
	return last ? finish_end(&key, count, charged_uid, flags, token) : 0;
}

/*
 * Visits the reservations of one socket: checks every reservation that starts
 * between the lowest and the highest port it ever had. Usually there is one. This
 * needs no list that a release through another socket would have to update.
 */
struct acquired_visit {
	__u64 netns;
	__u64 acquirer;
	__u64 firsts; /* of the current word */
	__u64 newest; /* token of the newest one acquired by thread */
	__u32 word;
	__u32 lowest;
	__u32 highest;
	__u32 thread;
	__u16 protocol;
	bool end; /* end them all, rather than find the newest */
};

static long visit_acquired(__u32 index, struct acquired_visit *visit)
{
	struct reservation *reservation;
	__u32 bit;

	if (!visit->firsts)
		return 1;
	bit = lowest_bit(visit->firsts);
	visit->firsts &= visit->firsts - 1;
	reservation = reservation_at(visit->netns, visit->protocol, visit->word * 64 + bit);
	if (!reservation || reservation->acquirer != visit->acquirer)
		return 0;
	if (visit->end)
		end_reservation(visit->netns, reservation->token, visit->acquirer);
	else if (reservation->thread == visit->thread && reservation->token > visit->newest)
		visit->newest = reservation->token;
	return 0;
}

static long visit_acquired_word(__u32 index, struct acquired_visit *visit)
{
	struct port_chunk *chunk;

	visit->word = visit->lowest / 64 + index;
	chunk = find_chunk(visit->netns, visit->protocol, visit->word);
	if (!chunk)
		return 0;
	visit->firsts = *chunk_word(chunk, first, visit->word) &
			word_mask(visit->word, visit->lowest, visit->highest);
	if (visit->firsts)
		bpf_loop(64, visit_acquired, visit, 0);
	return 0;
}

static __always_inline void visit_all_acquired(struct acquired_visit *visit)
{
	bpf_loop(visit->highest / 64 - visit->lowest / 64 + 1, visit_acquired_word, visit, 0);
}

#endif /* PORTKEEP_RESERVATION_H */

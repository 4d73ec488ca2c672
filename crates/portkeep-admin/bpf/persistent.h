/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Persistent reservations: an administrator of the network namespace creates,
 * looks up and deletes them. They belong to no socket and no process.
 */
#ifndef PORTKEEP_PERSISTENT_H
#define PORTKEEP_PERSISTENT_H

#include "acquire.h"
#include "consumers.h"
#include "watch.h"

/* Only the machine's administrators change reservations in every namespace. */
static __always_inline bool is_administrator(const void *sk, __u32 flags)
{
	if (flags & PORTKEEP_EVERY_NETNS)
		return capable(CAP_NET_ADMIN);
	return capable_over(address_of(net_of(sk)), CAP_NET_ADMIN);
}

static __always_inline __u64 netns_of(__u64 netns, __u32 flags)
{
	return flags & PORTKEEP_EVERY_NETNS ? EVERY_NETNS : netns;
}

/* ---- create ---- */

static __always_inline int read_create(struct bpf_sockopt *ctx, struct portkeep_acquire *request)
{
	struct portkeep_acquire *whole = ctx->optval;
	__u32 length = value_length(ctx);

	if (length < sizeof(*whole) || length % sizeof(struct portkeep_consumer) ||
	    (void *)(whole + 1) > ctx->optval_end)
		return -EINVAL;
	if (number_of_consumers(ctx) > PORTKEEP_CONSUMERS_MAX)
		return -EINVAL;
	*request = *whole;
	return has_zero_reserved(request) ? 0 : -EINVAL;
}

/* Stores the consumers before the record: a reader that finds the record finds them. */
static __noinline int store_persistent(struct bpf_sockopt *ctx, void *sk,
				       struct acquisition *acquisition)
{
	struct consumers_key key = { .netns = acquisition->space.netns };
	struct counters *counters = the_counters();
	bool for_consumers = number_of_consumers(ctx);
	int error;

	if (!counters)
		return -ENOBUFS;
	error = for_consumers ? charge_consumers(acquisition->charged_uid) : 0;

	if (error == -EDQUOT)
		acquisition->conflict =
			make_conflict(PORTKEEP_CONFLICT_QUOTA, acquisition->space.protocol, 0);
	if (error)
		return error;
	key.token = make_token(__sync_fetch_and_add(&counters->sequence, 1) + 1,
			       acquisition->space.protocol, acquisition->start);
	acquisition->token = key.token;
	error = store_consumers(ctx, &key) ?: store_reservation(acquisition, sk);
	if (error && for_consumers) {
		bpf_map_delete_elem(&consumers, &key);
		uncharge_consumers(acquisition->charged_uid);
	}
	return error;
}

static __always_inline int create_block(struct bpf_sockopt *ctx, void *sk,
					struct acquisition *acquisition)
{
	__u32 flags = acquisition->request.flags;
	int error;

	/* Counted before anything is marked: an acquire that marks later looks for it. */
	count_persistent(flags, 1);
	error = acquire_block(acquisition);
	if (!error) {
		error = store_persistent(ctx, sk, acquisition);
		if (error)
			give_up_block(acquisition);
	}
	if (error)
		count_persistent(flags, -1);
	return error;
}

static __always_inline int check_create(struct bpf_sockopt *ctx, struct bpf_sock *sk,
					struct acquisition *acquisition)
{
	struct portkeep_acquire *request = &acquisition->request;
	__u32 known = PORTKEEP_ADOPT | PORTKEEP_EVERY_NETNS | PORTKEEP_CHANGE;
	int error;

	error = read_create(ctx, request)	      ?:
			check_acquire(request, known) ?:
							check_consumers(ctx, &acquisition->owner_uid);
	if (error)
		return error;
	if (request->flags & PORTKEEP_CHANGE &&
	    (request->flags & PORTKEEP_ADOPT || !request->range.start))
		return -EINVAL;
	return is_administrator(sk, request->flags) ? 0 : -EACCES;
}

static __always_inline int create_new(struct bpf_sockopt *ctx, struct bpf_sock *sk, __u64 netns,
				      struct acquisition *acquisition)
{
	struct portkeep_acquire *request = &acquisition->request;
	struct socket_state *state = state_of(sk);
	int error;

	if (!state)
		return -ENOBUFS;
	port_space_of(&acquisition->space, sk, netns, sk->protocol);
	if (request->flags & PORTKEEP_EVERY_NETNS) {
		acquisition->space.netns = EVERY_NETNS;
		acquisition->space.other_netns = netns;
	}
	request->flags |= PERSISTENT;
	error = create_block(ctx, sk, acquisition);
	if (is_worth_another_try(error, acquisition))
		error = create_block(ctx, sk, acquisition);
	if (!error)
		note_outcome(&state->created, acquisition);
	else
		state->conflict = acquisition->conflict;
	return error;
}

/* ---- look up ---- */

/*
 * The token of a persistent reservation of count ports, else 0. Reads the token first: another
 * record may reuse the memory at any time, and then has another token.
 */
static __always_inline __u64 token_of(struct reservation *reservation, __u32 count)
{
	__u64 token;

	if (!reservation)
		return 0;
	token = *(volatile __u64 *)&reservation->token;
	return (reservation->flags & PERSISTENT) && reservation->count == count ? token : 0;
}

static __noinline int look_up(struct bpf_sockopt *ctx, struct bpf_sock *sk, __u64 netns)
{
	struct portkeep_delete request = {};
	struct socket_state *state;
	__u32 start, count;
	__u64 token;
	int error = read_range(ctx, &request);

	if (error)
		return error;
	if (request.flags)
		return -EINVAL;
	state = state_of(sk);
	if (!state)
		return -ENOBUFS;
	__builtin_memset(&state->looked_up, 0, sizeof(state->looked_up));
	start = bpf_ntohs(request.range.start);
	count = request.range.count;
	token = token_of(reservation_at(netns, sk->protocol, start), count) ?:
			token_of(reservation_at(EVERY_NETNS, sk->protocol, start), count);
	if (!token)
		return -ENOENT;
	state->looked_up.instance.range = request.range;
	state->looked_up.instance.token = token;
	state->looked_up.thread = current_thread();
	return 0;
}

/* ---- delete ---- */

/*
 * A cut through a reservation: it removes first..last. A split removes nothing: last is before
 * first, and tail_end is where the part from first on has to end.
 */
struct cut {
	__u64 netns;
	__u64 token;
	__u16 protocol;
	__u16 start; /* of the whole */
	__u16 first;
	__u16 last;
	__u32 end; /* of the whole, inclusive */
	__u32 charged_uid;
	__u32 tail_end; /* 0: no split */
	__u32 owner_uid; /* for the event */
	__u64 since;
};

/* For a block that shares its first or last word with another block: both count. */
static __always_inline void occupy_once_more(__u32 port, __u32 neighbour)
{
	__u32 *reservations = occupied_word(port / 64);

	if (reservations && port / 64 == neighbour / 64)
		__sync_fetch_and_add(reservations, 1);
}

static __always_inline struct reservation_key tail_key(const struct cut *cut)
{
	struct reservation_key key = {
		.netns = cut->netns,
		.protocol = cut->protocol,
		.start = cut->last + 1,
	};

	return key;
}

static __noinline int store_consumers_of_tail(const struct cut *cut, __u64 token)
{
	struct consumers_key key = { .netns = cut->netns, .token = cut->token };
	struct consumers *those;
	int error;

	those = bpf_map_lookup_elem(&consumers, &key);
	if (!those)
		return 0;
	error = charge_consumers(cut->charged_uid);
	if (error)
		return error;
	key.token = token;
	if (!bpf_map_update_elem(&consumers, &key, those, BPF_ANY))
		return 0;
	uncharge_consumers(cut->charged_uid);
	return -ENOBUFS;
}

static __always_inline void drop_consumers(const struct cut *cut, __u64 token)
{
	struct consumers_key key = { .netns = cut->netns, .token = token };

	if (!bpf_map_delete_elem(&consumers, &key))
		uncharge_consumers(cut->charged_uid);
}

/*
 * Gives the ports after the cut a record and a token of their own. Its consumers may bind at
 * once. Nobody can end or cut it before finish_tail(), which sets its counts.
 */
static __noinline int store_tail(const struct cut *cut, struct reservation *whole)
{
	struct reservation_key key = tail_key(cut);
	struct reservation tail = {};
	struct port_chunk *chunk = find_chunk(cut->netns, cut->protocol, key.start / 64);
	struct counters *counters = the_counters();
	int error;

	if (!chunk || !counters)
		return -ENOBUFS;
	tail.start = key.start;
	tail.count = cut->end - cut->last;
	tail.owner = whole->owner;
	tail.since = whole->since;
	tail.thread = whole->thread;
	tail.charged_uid = cut->charged_uid;
	tail.flags = whole->flags | CHANGING;
	tail.token = make_token(__sync_fetch_and_add(&counters->sequence, 1) + 1, cut->protocol,
				key.start);
	__builtin_memcpy(tail.command, whole->command, sizeof(tail.command));
	error = charge_reservation(cut->charged_uid);
	if (error)
		return error;
	error = store_consumers_of_tail(cut, tail.token);
	if (!error && bpf_map_update_elem(&reservations, &key, &tail, BPF_NOEXIST)) {
		drop_consumers(cut, tail.token);
		error = -ENOBUFS;
	}
	if (error) {
		uncharge_reservation(cut->charged_uid);
		return error;
	}
	count_persistent(tail.flags, 1);
	/* Until now its ports lead to the whole block, from now on to the tail. */
	__sync_fetch_and_or(chunk_word(chunk, first, key.start / 64), 1ULL << (key.start % 64));
	return 0;
}

static __noinline int finish_tail(const struct cut *cut)
{
	struct reservation_key key = tail_key(cut);
	struct reservation *tail = bpf_map_lookup_elem(&reservations, &key);

	if (!tail)
		return -ENOENT;
	bpf_spin_lock(&tail->lock);
	tail->flags &= ~CHANGING;
	bpf_spin_unlock(&tail->lock);
	return 0;
}

/* Ends the change: sets a new count or, for 0, ends the record. */
static __noinline void store_head(const struct cut *cut, struct reservation *whole, __u32 count)
{
	struct reservation_key key = {
		.netns = cut->netns,
		.protocol = cut->protocol,
		.start = cut->start,
	};
	__u32 flags = whole->flags;

	bpf_spin_lock(&whole->lock);
	whole->flags &= ~CHANGING;
	if (count)
		whole->count = count;
	else
		whole->token = 0;
	bpf_spin_unlock(&whole->lock);
	if (count)
		return;
	bpf_map_delete_elem(&reservations, &key);
	drop_consumers(cut, cut->token);
	unmark_first(cut->netns, cut->protocol, cut->start);
	uncharge_reservation(cut->charged_uid);
	count_persistent(flags, -1);
}

struct cut_start {
	struct cut *cut;
	struct reservation *whole;
	int error;
};

/* Keeps others from ending or cutting the reservation, and sockets from being bound in it. */
static long start_cut(__u32 index, struct cut_start *start)
{
	struct reservation *whole = start->whole;
	struct cut *cut = start->cut;
	bool ours, busy;

	bpf_spin_lock(&whole->lock);
	ours = whole->token == cut->token;
	busy = whole->binding || whole->flags & CHANGING;
	if (ours && !busy)
		whole->flags |= CHANGING;
	cut->start = whole->start;
	cut->end = (__u32)whole->start + whole->count - 1;
	cut->charged_uid = whole->charged_uid;
	bpf_spin_unlock(&whole->lock);
	start->error = !ours ? -ENOENT : busy ? -EAGAIN : 0;
	return !ours || !busy;
}

static __always_inline bool is_within(const struct cut *cut)
{
	if (cut->tail_end)
		return cut->first > cut->start && cut->tail_end == cut->end;
	return cut->first >= cut->start && cut->last <= cut->end;
}

/*
 * A port that stays reserved is never free in between. CHANGING keeps others from
 * ending, cutting or changing the reservation: they get EAGAIN.
 */
__verified_alone int cut_out(struct cut *cut)
{
	struct cut_start start = { .cut = cut };
	struct reservation *whole;
	int error = 0;

	if (!cut)
		return -EINVAL;
	whole = reservation_in(cut->netns, cut->token);
	if (!whole)
		return -ENOENT;
	start.whole = whole;
	start.error = -ENOENT + zero_for_loops;
	bpf_loop(BINDING_TRIES, start_cut, &start, 0);
	if (start.error)
		return start.error;
	if (!is_within(cut))
		error = -ENOENT;
	else if (cut->last < cut->end)
		error = store_tail(cut, whole);
	if (error) {
		store_head(cut, whole, cut->end - cut->start + 1);
		return error;
	}
	if (cut->first > cut->start)
		occupy_once_more(cut->first, cut->first - 1);
	if (cut->last < cut->end)
		occupy_once_more(cut->last, cut->last + 1);
	store_head(cut, whole, cut->first - cut->start);
	unmark_block(cut->netns, cut->protocol, cut->first, cut->last);
	uncharge_ports(cut->charged_uid, cut->last - cut->first + 1);
	return cut->last < cut->end ? finish_tail(cut) : 0;
}

/* ---- join ---- */

static __always_inline void occupy_once_less(__u32 port, __u32 neighbour)
{
	__u32 *reservations = occupied_word(port / 64);

	if (reservations && port / 64 == neighbour / 64)
		__sync_fetch_and_sub(reservations, 1);
}

/* Finds a persistent reservation, and keeps others from changing it until store_head(). */
static __noinline int start_join(struct cut *cut, __u32 port)
{
	struct reservation *reservation = reservation_with(cut->netns, cut->protocol, port);
	struct cut_start start = { .cut = cut, .whole = reservation };

	if (!reservation)
		return -ENOENT;
	cut->token = *(volatile __u64 *)&reservation->token;
	if (!(reservation->flags & PERSISTENT))
		return -ENOENT;
	start.error = -ENOENT + zero_for_loops;
	bpf_loop(BINDING_TRIES, start_cut, &start, 0);
	return start.error;
}

/* Only while the record is CHANGING: until then its memory is no other's. */
static __noinline int set_count(const struct cut *cut, __u32 count)
{
	struct reservation *whole = reservation_at(cut->netns, cut->protocol, cut->start);

	if (!whole)
		return -ENOENT;
	bpf_spin_lock(&whole->lock);
	whole->count = count;
	bpf_spin_unlock(&whole->lock);
	return 0;
}

static __noinline int end_change(const struct cut *cut, __u32 count)
{
	struct reservation *whole = reservation_at(cut->netns, cut->protocol, cut->start);

	if (!whole)
		return -ENOENT;
	store_head(cut, whole, count);
	return 0;
}

/*
 * The first block covers the ports of the second one before they stop leading to that one's
 * record, so that no bind finds a port without a record longer than between two loads.
 */
__verified_alone int join(struct cut *second)
{
	struct cut first = {};
	__u32 joint;
	int error;

	if (!second)
		return -EINVAL;
	first.netns = second->netns;
	first.protocol = second->protocol;
	joint = second->first;
	error = start_join(&first, joint - 1);
	if (error)
		return error;
	error = first.end + 1 == joint ? start_join(second, joint) : -ENOENT;
	if (error)
		goto undo_first;
	error = -ENOENT;
	if (second->start != joint || second->end != second->last ||
	    first.charged_uid != second->charged_uid)
		goto undo_both;
	set_count(&first, second->end - first.start + 1);
	unmark_first(second->netns, second->protocol, joint);
	end_change(second, 0);
	occupy_once_less(joint, joint - 1);
	end_change(&first, second->end - first.start + 1);
	return 0;
undo_both:
	end_change(second, second->end - second->start + 1);
undo_first:
	end_change(&first, first.end - first.start + 1);
	return error;
}

static __always_inline int delete_part(struct cut *cut)
{
	struct reservation *reservation = reservation_with(cut->netns, cut->protocol, cut->first);

	if (!reservation)
		return -ENOENT;
	cut->token = *(volatile __u64 *)&reservation->token;
	return reservation->flags & PERSISTENT ? cut_out(cut) : -ENOENT;
}

static __always_inline int delete_whole(const struct cut *cut)
{
	__u64 token = token_of(reservation_at(cut->netns, cut->protocol, cut->first),
			       cut->last - cut->first + 1);

	if (!token)
		return -ENOENT;
	if (!end_reservation(cut->netns, token, 0))
		return 0;
	/* Another call is changing it, unless one has ended it. */
	return reservation_in(cut->netns, token) ? -EAGAIN : -ENOENT;
}

/* ---- telling of it ---- */

/* For the event: whose block it is. Its memory may become another's at any time. */
static __noinline int note_block(struct cut *cut)
{
	struct reservation *reservation = reservation_with(cut->netns, cut->protocol, cut->first);

	if (!reservation)
		return 0;
	cut->token = *(volatile __u64 *)&reservation->token;
	cut->since = reservation->since;
	cut->owner_uid = reservation->owner.uid;
	if (*(volatile __u64 *)&reservation->token != cut->token)
		cut->token = cut->since = 0;
	return 0;
}

static __noinline int report_block(const struct cut *cut, __u32 kind)
{
	struct portkeep_event event = {};

	if (!anyone_watches())
		return 0;
	start_event(&event, kind);
	event.netns = cut->netns;
	event.token = cut->token;
	event.since = cut->since;
	event.owner_uid = cut->owner_uid;
	event.range.start = bpf_htons(cut->first);
	event.range.count = (cut->tail_end ?: cut->last) - cut->first + 1;
	event.protocol = cut->protocol;
	event.persistent = 1;
	write_event(&event);
	return 0;
}

/* ---- change ---- */

/*
 * Finds the block. Until end_change_of() nobody else ends, cuts or changes it; binds of consumers
 * go on.
 */
static __noinline int start_change(struct acquisition *acquisition, struct reservation *found)
{
	__u32 count = acquisition->request.range.count;
	__u64 netns = acquisition->space.netns;
	bool ours, busy;

	if (!found)
		return -ENOENT;
	bpf_spin_lock(&found->lock);
	acquisition->token = found->token;
	acquisition->charged_uid = found->charged_uid;
	ours = found->token && found->count == count && found->flags & PERSISTENT;
	busy = found->flags & CHANGING;
	if (ours && !busy)
		found->flags |= CHANGING;
	bpf_spin_unlock(&found->lock);
	if (!ours || busy)
		return ours ? -EAGAIN : -ENOENT;
	/* Its memory may have become another's in between; that one now stays until here. */
	if (reservation_in(netns, acquisition->token) == found)
		return 0;
	bpf_spin_lock(&found->lock);
	found->flags &= ~CHANGING;
	bpf_spin_unlock(&found->lock);
	return -EAGAIN;
}

static __noinline int end_change_of(struct reservation *reservation, __u32 owner_uid, int error)
{
	bpf_spin_lock(&reservation->lock);
	reservation->flags &= ~CHANGING;
	if (!error)
		reservation->owner.uid = owner_uid;
	bpf_spin_unlock(&reservation->lock);
	return error;
}

/* Writes them beside first: a bind finds the old ones or the new ones. */
static __noinline int replace_consumers(struct bpf_sockopt *ctx,
					const struct acquisition *acquisition)
{
	struct consumers_key key = {
		.netns = acquisition->space.netns,
		.token = acquisition->token,
	};
	struct consumers_key draft = key;
	struct counters *counters = the_counters();
	__u32 uid = acquisition->charged_uid;
	struct consumers *those;
	bool had = bpf_map_lookup_elem(&consumers, &key);
	int error = 0;

	if (!counters)
		return -ENOBUFS;
	if (!number_of_consumers(ctx)) {
		if (had && !bpf_map_delete_elem(&consumers, &key))
			uncharge_consumers(uid);
		return 0;
	}
	if (!had)
		error = charge_consumers(uid);
	if (error)
		return error;
	draft.token = make_token(__sync_fetch_and_add(&counters->sequence, 1) + 1,
				 acquisition->space.protocol, acquisition->start);
	error = store_consumers(ctx, &draft);
	those = bpf_map_lookup_elem(&consumers, &draft);
	if (!error && (!those || bpf_map_update_elem(&consumers, &key, those, BPF_ANY)))
		error = -ENOBUFS;
	bpf_map_delete_elem(&consumers, &draft);
	if (error && !had)
		uncharge_consumers(uid);
	return error;
}

static __noinline int report_changed(const struct acquisition *acquisition)
{
	struct cut cut = {
		.netns = acquisition->space.netns,
		.protocol = acquisition->space.protocol,
		.first = acquisition->start,
		.last = acquisition->start + acquisition->request.range.count - 1,
	};

	note_block(&cut);
	return report_block(&cut, PORTKEEP_EVENT_CHANGED);
}

static __always_inline int change(struct bpf_sockopt *ctx, struct bpf_sock *sk, __u64 netns,
				  struct acquisition *acquisition)
{
	struct socket_state *state = state_of(sk);
	struct reservation *reservation;
	int error;

	if (!state)
		return -ENOBUFS;
	acquisition->space.netns = netns_of(netns, acquisition->request.flags);
	acquisition->space.protocol = sk->protocol;
	acquisition->start = bpf_ntohs(acquisition->request.range.start);
	reservation = reservation_at(acquisition->space.netns, sk->protocol, acquisition->start);
	error = start_change(acquisition, reservation);
	if (error || !reservation)
		return error;
	error = replace_consumers(ctx, acquisition);
	end_change_of(reservation, acquisition->owner_uid, error);
	if (error == -EDQUOT)
		state->conflict = make_conflict(PORTKEEP_CONFLICT_QUOTA, sk->protocol, 0);
	if (error)
		return error;
	note_outcome(&state->created, acquisition);
	return report_changed(acquisition);
}

static __always_inline int create(struct bpf_sockopt *ctx, struct bpf_sock *sk, __u64 netns,
				  struct acquisition *acquisition)
{
	int error = check_create(ctx, sk, acquisition);

	if (error)
		return error;
	return acquisition->request.flags & PORTKEEP_CHANGE ?
		       change(ctx, sk, netns, acquisition) :
		       create_new(ctx, sk, netns, acquisition);
}

/* ---- delete, split, join ---- */

static __always_inline int delete_and_report(struct cut *cut, __u32 shape)
{
	int error;

	note_block(cut);
	error = shape ? delete_part(cut) : delete_whole(cut);
	return error ? error : report_block(cut, PORTKEEP_EVENT_DELETED);
}

static __always_inline int split_and_report(struct cut *cut)
{
	int error;

	cut->tail_end = cut->last;
	cut->last = cut->first - 1;
	error = delete_part(cut);
	if (error)
		return error;
	note_block(cut);
	return report_block(cut, PORTKEEP_EVENT_SPLIT);
}

static __always_inline int join_and_report(struct cut *cut)
{
	int error = join(cut);

	if (error)
		return error;
	note_block(cut);
	return report_block(cut, PORTKEEP_EVENT_JOINED);
}

static __noinline int delete(struct bpf_sockopt *ctx, struct bpf_sock *sk, __u64 netns)
{
	struct portkeep_delete request = {};
	struct cut cut = { .protocol = sk->protocol };
	int error = read_range(ctx, &request);
	__u32 shape;

	if (error)
		return error;
	shape = request.flags & (PORTKEEP_PART | PORTKEEP_SPLIT | PORTKEEP_JOIN);
	if (request.flags & ~(shape | PORTKEEP_EVERY_NETNS) || shape & (shape - 1))
		return -EINVAL;
	if (!is_administrator(sk, request.flags))
		return -EACCES;
	cut.netns = netns_of(netns, request.flags);
	cut.first = bpf_ntohs(request.range.start);
	cut.last = cut.first + request.range.count - 1;
	if (shape == PORTKEEP_JOIN)
		return join_and_report(&cut);
	if (shape == PORTKEEP_SPLIT)
		return split_and_report(&cut);
	return delete_and_report(&cut, shape);
}

#endif /* PORTKEEP_PERSISTENT_H */

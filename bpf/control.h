/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The control calls: what setsockopt and getsockopt at SOL_PORTKEEP do. The
 * kernel runs these hooks with the socket locked, so calls on one socket come
 * one after the other and its state needs no lock of its own.
 */
#ifndef PORTKEEP_CONTROL_H
#define PORTKEEP_CONTROL_H

#include "acquire.h"
#include "bind.h"

/*
 * Marks an option of ours that the other side does not have, or that is not
 * ours: the kernel answers it, with ENOPROTOOPT.
 */
#define NOT_OURS 2

static __always_inline struct socket_state *state_of(struct bpf_sock *sk)
{
	return bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
}

/* ---- option values ---- */

/*
 * The length that the caller gave. The buffer that the kernel copied the value
 * into may be longer (16 bytes at least), so its end tells nothing.
 */
static __always_inline __u32 value_length(struct bpf_sockopt *ctx)
{
	return ctx->optlen;
}

/* Whether a value is not too long and its bytes from offset on are all zero. */
static __always_inline bool rest_is_zero(struct bpf_sockopt *ctx, __u32 offset)
{
	void *value = ctx->optval, *end = ctx->optval_end;
	__u32 length = value_length(ctx);

	if (length > PORTKEEP_VALUE_MAX)
		return false;
	for (__u32 i = offset; i < PORTKEEP_VALUE_MAX && i < length; i++) {
		__u8 *byte = value + i;

		if ((void *)(byte + 1) > end || *byte)
			return false;
	}
	return true;
}

static __always_inline int read_token(struct bpf_sockopt *ctx, __u64 *token)
{
	__u64 *value = ctx->optval;

	if (value_length(ctx) < sizeof(*value) || (void *)(value + 1) > ctx->optval_end)
		return -EINVAL;
	*token = *value;
	return rest_is_zero(ctx, sizeof(*value)) ? 0 : -EINVAL;
}

static __always_inline int read_acquire(struct bpf_sockopt *ctx, struct portkeep_acquire *request)
{
	struct portkeep_acquire *whole = ctx->optval;
	__u32 length = value_length(ctx);

	/* In the kernel's buffer there is always room for the whole. */
	if ((void *)(whole + 1) > ctx->optval_end)
		return -EINVAL;
	request->range = whole->range;
	if (length == sizeof(whole->range))
		return 0;
	if (length < sizeof(*whole))
		return -EINVAL;
	request->flags = whole->flags;
	request->align = whole->align;
	return rest_is_zero(ctx, __builtin_offsetof(struct portkeep_acquire, reserved)) ? 0 :
											  -EINVAL;
}

/* ---- setsockopt ---- */

static __always_inline int check_acquire(const struct portkeep_acquire *request)
{
	__u32 start = bpf_ntohs(request->range.start), count = request->range.count;

	if (!count || start + count > 65536)
		return -EINVAL;
	if (request->flags & ~(PORTKEEP_PROCESS | PORTKEEP_TREE))
		return -EINVAL;
	if (request->align & (request->align - 1))
		return -EINVAL;
	if (start && request->align && start & (request->align - 1))
		return -EINVAL;
	return 0;
}

/* Keeps with the socket what it needs at its end, and for the call that reads the token. */
static __always_inline void note_acquired(struct socket_state *state,
					  const struct acquisition *acquisition)
{
	__u32 start = acquisition->start, count = acquisition->request.range.count;
	__u32 end = start + count - 1;

	if (!state->highest || start < state->lowest)
		state->lowest = start;
	if (end > state->highest)
		state->highest = end;
	state->last.range.start = bpf_htons(start);
	state->last.range.count = count;
	state->last.token = acquisition->token;
	state->last_thread = current_thread();
}

static __always_inline int acquire(struct bpf_sockopt *ctx, struct bpf_sock *sk, __u64 netns)
{
	struct acquisition acquisition = {};
	struct socket_state *state;
	int error;

	error = read_acquire(ctx, &acquisition.request) ?: check_acquire(&acquisition.request);
	if (error)
		return error;
	state = state_of(sk);
	if (!state)
		return -ENOBUFS;
	port_space_of(&acquisition.space, sk, netns, sk->protocol);
	error = acquire_block(&acquisition, sk);
	if (!error)
		note_acquired(state, &acquisition);
	else if (acquisition.conflict.kind)
		state->conflict = acquisition.conflict;
	return error;
}

static __always_inline int release(struct bpf_sockopt *ctx, __u64 netns)
{
	struct reservation *reservation;
	struct process owner;
	__u64 token;
	int error = read_token(ctx, &token);

	if (error)
		return error;
	reservation = reservation_of(netns, token);
	if (!reservation)
		return -EINVAL;
	owner = reservation->owner;
	return current_is(&owner) ? end_reservation(netns, token) : -EACCES;
}

static __always_inline int associate(struct bpf_sockopt *ctx, struct bpf_sock *sk, __u64 netns)
{
	struct reservation *reservation;
	struct socket_state *state;
	struct process owner;
	__u64 token;
	int error = read_token(ctx, &token);

	if (error)
		return error;
	reservation = reservation_of(netns, token);
	if (!reservation || token_protocol(token) != sk->protocol || sk->src_port)
		return -EINVAL;
	owner = reservation->owner;
	if (!current_is(&owner))
		return -EACCES;
	state = state_of(sk);
	if (!state)
		return -ENOBUFS;
	state->associated = token;
	return 0;
}

/* Gives the reservation to the caller, unless it has ended. */
static __noinline int change_owner(struct reservation *reservation, __u64 token, __u32 charged_uid)
{
	struct process process = current_process();
	int error = -EINVAL;

	bpf_spin_lock(&reservation->lock);
	if (reservation->token == token) {
		reservation->owner = process;
		reservation->charged_uid = charged_uid;
		error = 0;
	}
	bpf_spin_unlock(&reservation->lock);
	return error;
}

static __always_inline int claim(struct bpf_sockopt *ctx, struct bpf_sock *sk, __u64 netns)
{
	struct reservation *reservation;
	__u32 count, before, after = user_to_charge();
	__u64 token;
	int error = read_token(ctx, &token);

	if (error)
		return error;
	reservation = reservation_of(netns, token);
	if (!reservation)
		return -EINVAL;
	if (reservation->acquirer != address_of(sk))
		return -EACCES;
	/* Claims come through this one locked socket: nobody else changes the user. */
	count = reservation->count;
	before = reservation->charged_uid;
	if (before == after)
		return change_owner(reservation, token, after);
	error = charge(after, count);
	if (error)
		return error;
	error = change_owner(reservation, token, after);
	uncharge(error ? after : before, count);
	return error;
}

static __always_inline int set_option(struct bpf_sockopt *ctx, struct bpf_sock *sk)
{
	__u64 netns = bpf_get_netns_cookie(ctx);

	switch (ctx->optname) {
	case PORTKEEP_ACQUIRE:
		return acquire(ctx, sk, netns);
	case PORTKEEP_RELEASE:
		return release(ctx, netns);
	case PORTKEEP_ASSOCIATE:
		return associate(ctx, sk, netns);
	case PORTKEEP_CLAIM:
		return claim(ctx, sk, netns);
	default:
		return NOT_OURS;
	}
}

/* ---- getsockopt ---- */

/*
 * What this thread acquired last. The socket keeps the last one of any thread;
 * where threads share it, the others find theirs among the reservations.
 */
static __noinline int last_acquired(struct bpf_sock *sk, struct socket_state *state, __u64 netns,
				    struct portkeep_instance *instance)
{
	struct acquired_visit visit = {
		.netns = netns,
		.acquirer = address_of(sk),
		.lowest = state->lowest,
		.highest = state->highest,
		.thread = current_thread(),
		.protocol = sk->protocol,
	};
	struct reservation *reservation;

	if (!state->highest)
		return 0;
	if (state->last_thread == visit.thread) {
		*instance = state->last;
		return 0;
	}
	visit_all_acquired(&visit);
	reservation = reservation_of(netns, visit.newest);
	if (reservation) {
		instance->range.start = bpf_htons(reservation->start);
		instance->range.count = reservation->count;
		instance->token = visit.newest;
	}
	return 0;
}

#define answer(ctx, value)                                                                         \
	({                                                                                         \
		typeof(value) *to_ = (ctx)->optval;                                                \
		int error_ = -EINVAL;                                                              \
		if ((void *)(to_ + 1) <= (ctx)->optval_end) {                                      \
			*to_ = value;                                                              \
			(ctx)->optlen = sizeof(value);                                             \
			error_ = 0;                                                                \
		}                                                                                  \
		error_;                                                                            \
	})

static __always_inline int get_option(struct bpf_sockopt *ctx, struct bpf_sock *sk)
{
	struct socket_state *state = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	struct portkeep_conflict conflict = {};
	struct portkeep_instance instance = {};
	__u32 version = PORTKEEP_ABI_VERSION;
	__u64 token = 0;

	switch (ctx->optname) {
	case PORTKEEP_ACQUIRE:
		if (state)
			last_acquired(sk, state, bpf_get_netns_cookie(ctx), &instance);
		return answer(ctx, instance);
	case PORTKEEP_ASSOCIATE:
		if (state)
			token = state->associated;
		return answer(ctx, token);
	case PORTKEEP_VERSION:
		return answer(ctx, version);
	case PORTKEEP_CONFLICT:
		if (state)
			conflict = state->conflict;
		return answer(ctx, conflict);
	default:
		return NOT_OURS;
	}
}

#endif /* PORTKEEP_CONTROL_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What setsockopt at SOL_PORTKEEP does. The kernel runs the hook with the socket
 * locked, so calls on one socket come one after the other and its state needs no
 * lock of its own.
 */
#ifndef PORTKEEP_SET_OPTION_H
#define PORTKEEP_SET_OPTION_H

#include "acquire.h"
#include "option_value.h"

static __always_inline struct socket_state *state_of(struct bpf_sock *sk)
{
	return bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
}

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

	/* No hook would tell of its end. */
	if (is_kernel_socket(sk))
		return -EOPNOTSUPP;
	state = state_of(sk);
	if (!state)
		return -ENOBUFS;
	error = read_acquire(ctx, &acquisition.request) ?: check_acquire(&acquisition.request);
	if (!error) {
		port_space_of(&acquisition.space, sk, netns, sk->protocol);
		error = acquire_block(&acquisition, sk);
	}
	if (!error)
		note_acquired(state, &acquisition);
	else
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
	return current_is(&owner) ? end_reservation(netns, token, 0) : -EACCES;
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
	char command[16];

	copy_command(command);
	bpf_spin_lock(&reservation->lock);
	if (reservation->token == token) {
		reservation->owner = process;
		__builtin_memcpy(reservation->command, command, sizeof(command));
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

#endif /* PORTKEEP_SET_OPTION_H */

/* SPDX-License-Identifier: GPL-2.0 */
/* The answers of getsockopt at SOL_PORTKEEP. The socket is locked here, too. */
#ifndef PORTKEEP_GET_OPTION_H
#define PORTKEEP_GET_OPTION_H

#include "option_value.h"
#include "reservation.h"
#include "watch.h"

/*
 * This thread's last acquire. The socket keeps the last one of any thread; if
 * threads share the socket, the others find theirs among the reservations.
 */
static __noinline int last_acquired(struct bpf_sock *sk, struct socket_state *state, __u64 netns,
				    struct portkeep_instance *instance)
{
	struct acquired_visit visit = {
		.netns = netns,
		.acquirer = address_of(sk),
		.lowest = state->lowest,
		.highest = state->highest,
		.newest = zero_for_loops,
		.thread = current_thread(),
		.protocol = sk->protocol,
	};
	struct reservation *reservation;

	if (!state->highest)
		return 0;
	if (state->acquired.thread == visit.thread) {
		*instance = state->acquired.instance;
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

/* This thread's last create or lookup. */
static __always_inline void read_outcome(const struct outcome *outcome,
					 struct portkeep_instance *instance)
{
	if (outcome->thread == current_thread())
		*instance = outcome->instance;
}

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
	case PORTKEEP_CREATE:
		if (state)
			read_outcome(&state->created, &instance);
		return answer(ctx, instance);
	case PORTKEEP_LOOKUP:
		if (state)
			read_outcome(&state->looked_up, &instance);
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
	case PORTKEEP_WATCH:
		return read_events(ctx, sk);
	default:
		/* Without this, the kernel would return EOPNOTSUPP on an IPv4 socket. */
		return -ENOPROTOOPT;
	}
}

#endif /* PORTKEEP_GET_OPTION_H */

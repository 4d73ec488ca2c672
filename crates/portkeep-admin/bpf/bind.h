/* SPDX-License-Identifier: GPL-2.0 */
/* Who may bind to a port, and which port an associated bind(0) gets. */
#ifndef PORTKEEP_BIND_H
#define PORTKEEP_BIND_H

#include "conflict.h"
#include "consumers.h"
#include "in_use.h"

/* Notes on sk why it was refused. A note that finds no memory is left out. */
static __always_inline void note_conflict(void *sk, const struct portkeep_conflict *conflict)
{
	struct socket_state *state =
		bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);

	if (state)
		state->conflict = *conflict;
}

static __always_inline bool may_bind(const struct reservation *reservation, __u64 netns)
{
	struct process owner = reservation->owner;

	if (reservation->flags & PERSISTENT)
		return consumer_binds(netns, *(volatile __u64 *)&reservation->token);
	if (reservation->flags & PORTKEEP_TREE)
		return current_descends_from(&owner);
	return (reservation->flags & PORTKEEP_PROCESS) && current_is(&owner);
}

/*
 * An unassociated bind to a port that netns, which may be EVERY_NETNS, reserves. 0 or
 * -EADDRINUSE. The record may end at any time and its memory serve another reservation,
 * in which the caller may bind: what was read counts if the token is the same afterwards.
 */
static __noinline int bind_stranger(void *sk, __u64 netns, __u16 protocol, __u32 port)
{
	struct reservation *reservation = reservation_with(netns, protocol, port);
	struct portkeep_conflict conflict =
		make_conflict(PORTKEEP_CONFLICT_RESERVED, protocol, port);

	if (reservation) {
		__u64 token = *(volatile __u64 *)&reservation->token;
		bool may = token && covers(reservation, port) && may_bind(reservation, netns);

		name_owner(&conflict, reservation);
		if (*(volatile __u64 *)&reservation->token != token)
			conflict = make_conflict(PORTKEEP_CONFLICT_RESERVED, protocol, port);
		else if (may)
			return 0;
	}
	note_conflict(sk, &conflict);
	return -EADDRINUSE;
}

/* ---- the port of an associated bind(0) ---- */

struct choice {
	const struct port_space *space;
	struct reservation *reservation;
	__u16 port; /* surely free, 0: none is */
	__u16 time_wait; /* has TIME_WAITs only */
	__u16 untold; /* has a crowded bucket */
	/* A reservation for every namespace leaves to a namespace what that one reserved before. */
	bool in_every_netns;
};

/*
 * Each look takes the next port of the block from the record, so that binds at
 * the same time look at different ports instead of all finding the same one.
 */
static long choose_next(__u32 index, struct choice *choice)
{
	struct reservation *reservation = choice->reservation;
	__u32 turn = __sync_fetch_and_add(&reservation->next_port, 1);
	__u32 port = reservation->start + turn % (reservation->count ?: 1);

	if (choice->in_every_netns &&
	    is_reserved(choice->space->netns, choice->space->protocol, port))
		return 0;
	switch ((enum usage)port_use(choice->space, port)) {
	case UNUSED:
		choice->port = port;
		return 1;
	case TIME_WAIT_ONLY:
		choice->time_wait = port;
		return 0;
	case UNTOLD:
		choice->untold = port;
		return is_budget_used_up(choice->space);
	default:
		return 0;
	}
}

/*
 * A port that is free, as far as can be told; 0 if none is. The kernel has the last
 * word, so where none is surely free it is asked about one in a crowded bucket.
 */
static __always_inline __u32 choose_port(const struct port_space *space, const void *sk,
					 struct reservation *reservation, bool in_every_netns)
{
	struct sock *sock = kernel_object(sock, sk);
	struct choice choice = {
		.space = space,
		.reservation = reservation,
		.in_every_netns = in_every_netns,
		.port = zero_for_loops,
		.time_wait = zero_for_loops,
		.untold = zero_for_loops,
	};

	bpf_loop(reservation->count, choose_next, &choice, 0);
	if (choice.port)
		return choice.port;
	/* The kernel may let SO_REUSEADDR bind over TIME_WAIT, and nobody else. */
	if (choice.time_wait && BPF_CORE_READ_BITFIELD_PROBED(&sock->__sk_common, skc_reuse))
		return choice.time_wait;
	return is_budget_used_up(space) ? 0 : choice.untold;
}

/* The notes have frames of their own: one in bind_associated() would count for the walks below it. */
static __noinline int note_no_port(void *sk, __u16 protocol, enum portkeep_conflict_kind kind)
{
	struct portkeep_conflict conflict = make_conflict(kind, protocol, 0);

	note_conflict(sk, &conflict);
	return kind == PORTKEEP_CONFLICT_CANNOT_TELL ? -ENOBUFS : -EADDRINUSE;
}

/* The reservation has ended: who has its ports by now? */
static __noinline int note_ended(void *sk, __u64 netns, __u64 token)
{
	__u16 protocol = token_protocol(token);
	__u32 port = (__u16)token;
	__u64 holder = reserving_netns(netns, protocol, port);
	struct reservation *reservation =
		holder == NO_NETNS ? NULL : reservation_with(holder, protocol, port);
	struct portkeep_conflict conflict = make_conflict(PORTKEEP_CONFLICT_ENDED, protocol, port);

	if (reservation && reservation->token && reservation->token != token) {
		conflict.kind = PORTKEEP_CONFLICT_RESERVED;
		name_owner(&conflict, reservation);
	}
	note_conflict(sk, &conflict);
	return -EADDRNOTAVAIL;
}

/* A port of the reservation, or why there is none. */
static __noinline int choose_associated(void *sk, __u64 netns, __u64 token,
					struct reservation *reservation, bool in_every_netns)
{
	struct port_space space;
	__u32 port;

	port_space_of(&space, sk, netns, token_protocol(token));
	space.any_port = true;
	port = choose_port(&space, sk, reservation, in_every_netns);
	/* Ended meanwhile, the record may be another reservation's by now. */
	if (reservation->token != token)
		return note_ended(sk, netns, token);
	if (port)
		return port;
	return note_no_port(sk, space.protocol,
			    is_budget_used_up(&space) ? PORTKEEP_CONFLICT_CANNOT_TELL :
							PORTKEEP_CONFLICT_IN_USE);
}

static __noinline int note_outside(void *sk)
{
	struct portkeep_conflict none = {};

	note_conflict(sk, &none);
	return -EADDRNOTAVAIL;
}

/* The port of an associated bind: *port if it is in the block, one of it for 0. */
static __noinline int bind_associated(void *sk, __u64 netns, __u64 token, __u32 *port)
{
	__u64 holder;
	struct reservation *reservation = find_reservation(netns, token, &holder);
	int chosen;

	if (!reservation)
		return note_ended(sk, netns, token);
	if (*port) {
		if (!covers(reservation, *port))
			return note_outside(sk);
		/* An older reservation of this namespace may hold the port. */
		if (holder == EVERY_NETNS && is_reserved(netns, token_protocol(token), *port))
			return bind_stranger(sk, netns, token_protocol(token), *port);
		return 0;
	}
	chosen = choose_associated(sk, netns, token, reservation, holder == EVERY_NETNS);
	if (chosen < 0)
		return chosen;
	*port = chosen;
	return 0;
}

/* Whether any BPF program keeps something with the socket; without a helper call. */
static __always_inline bool has_storage(const void *sk)
{
	struct sock *sock = kernel_object(sock, sk);

	return kernel_read(sock, sk_bpf_storage);
}

static __always_inline int before_bind(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	__u32 port = bpf_ntohs(ctx->user_port);
	struct socket_state *state;
	__u64 netns;
	int error = 0;

	if (!may_be_reserved(port) && !has_storage(sk))
		return 0;
	if (!sk || !is_tcp_or_udp(sk->family, ctx->type, ctx->protocol))
		return 0;
	netns = bpf_get_netns_cookie(ctx);
	state = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	if (state && state->associated) {
		error = bind_associated(sk, netns, state->associated, &port);
		if (!error)
			ctx->user_port = bpf_htons(port);
	} else if (port) {
		netns = reserving_netns(netns, ctx->protocol, port);
		if (netns != NO_NETNS)
			error = bind_stranger(sk, netns, ctx->protocol, port);
	}
	return error;
}

/*
 * A full barrier, as a compare and exchange is. One side puts its socket into the
 * table and looks for a mark, the other marks and looks for a socket (take.h): a
 * load that overtook the store before it could let both pass.
 */
static __always_inline void order_stores_before_loads(void)
{
	__u64 nothing = 0;

	__sync_val_compare_and_swap(&nothing, 0, 1);
}

/*
 * The second look, when the kernel has put the socket into its tables: refuses a
 * bind that passed the first one before the port was marked.
 */
static __always_inline int after_bind(struct bpf_sock *sk)
{
	__u32 port = sk->src_port;
	struct socket_state *state;
	struct reservation *reservation;
	__u64 netns, reserving, holder;

	order_stores_before_loads();
	if (!may_be_reserved(port) || !is_tcp_or_udp(sk->family, sk->type, sk->protocol))
		return 0;
	netns = bpf_get_netns_cookie(sk);
	reserving = reserving_netns(netns, sk->protocol, port);
	if (reserving == NO_NETNS)
		return 0;
	state = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	if (state && state->associated) {
		reservation = find_reservation(netns, state->associated, &holder);
		if (reservation && holder == reserving && covers(reservation, port))
			return 0;
	}
	return bind_stranger(sk, reserving, sk->protocol, port);
}

#endif /* PORTKEEP_BIND_H */

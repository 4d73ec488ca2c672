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

static __always_inline bool may_bind(const struct reservation *reservation, __u64 netns,
				     __u16 protocol)
{
	struct process owner = reservation->owner;

	if (reservation->flags & PERSISTENT)
		return consumer_binds(netns, protocol, reservation->start);
	if (reservation->flags & PORTKEEP_TREE)
		return current_descends_from(&owner);
	return (reservation->flags & PORTKEEP_PROCESS) && current_is(&owner);
}

/* An unassociated bind to a port that netns, which may be EVERY_NETNS, reserves. 0 or -EADDRINUSE. */
static __noinline int bind_stranger(void *sk, __u64 netns, __u16 protocol, __u32 port)
{
	struct reservation *reservation = reservation_with(netns, protocol, port);
	struct portkeep_conflict conflict;

	if (reservation && may_bind(reservation, netns, protocol))
		return 0;
	conflict = make_conflict(PORTKEEP_CONFLICT_RESERVED, protocol, port);
	if (reservation)
		name_owner(&conflict, reservation);
	note_conflict(sk, &conflict);
	return -EADDRINUSE;
}

/* ---- the port of an associated bind(0) ---- */

struct choice {
	const struct port_space *space;
	struct reservation *reservation;
	__u32 port; /* 0: none is free */
	enum usage worst; /* that will do */
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
	enum usage usage = (enum usage)port_use(choice->space, port);

	if (usage > choice->worst)
		return 0;
	choice->port = port;
	return 1;
}

static __noinline __u32 choose_port(const struct port_space *space, const void *sk,
				    struct reservation *reservation)
{
	struct sock *sock = kernel_object(sock, sk);
	struct choice choice = {
		.space = space,
		.reservation = reservation,
		.worst = UNUSED,
	};

	bpf_loop(reservation->count, choose_next, &choice, 0);
	/* The kernel may let SO_REUSEADDR bind over TIME_WAIT, and nobody else. */
	if (!choice.port && BPF_CORE_READ_BITFIELD_PROBED(&sock->__sk_common, skc_reuse)) {
		choice.worst = TIME_WAIT_ONLY;
		bpf_loop(reservation->count, choose_next, &choice, 0);
	}
	return choice.port;
}

/* The port of an associated bind: *port if it is in the block, one of it for 0. */
static __noinline int bind_associated(void *sk, __u64 netns, __u64 token, __u32 *port)
{
	struct reservation *reservation = reservation_of(netns, token);
	struct portkeep_conflict conflict = {};
	struct port_space space;
	int error = 0;

	/* Also when the reservation has ended since: its ports are others' now. */
	if (!reservation || (*port && !covers(reservation, *port))) {
		error = -EADDRNOTAVAIL;
	} else if (!*port) {
		port_space_of(&space, sk, netns, token_protocol(token));
		*port = choose_port(&space, sk, reservation);
		/* Ended meanwhile, the record may be another reservation's by now. */
		if (reservation->token != token) {
			error = -EADDRNOTAVAIL;
		} else if (!*port) {
			conflict = make_conflict(PORTKEEP_CONFLICT_IN_USE, space.protocol, 0);
			error = -EADDRINUSE;
		}
	}
	if (error)
		note_conflict(sk, &conflict);
	return error;
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
	__u64 netns, reserving;

	order_stores_before_loads();
	if (!may_be_reserved(port) || !is_tcp_or_udp(sk->family, sk->type, sk->protocol))
		return 0;
	netns = bpf_get_netns_cookie(sk);
	reserving = reserving_netns(netns, sk->protocol, port);
	if (reserving == NO_NETNS)
		return 0;
	state = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	if (state && state->associated) {
		reservation = reservation_of(netns, state->associated);
		if (reservation && covers(reservation, port))
			return 0;
	}
	return bind_stranger(sk, reserving, sk->protocol, port);
}

#endif /* PORTKEEP_BIND_H */

/* SPDX-License-Identifier: GPL-2.0 */
/* Who may bind to a port, and which port an associated bind(0) gets. */
#ifndef PORTKEEP_BIND_H
#define PORTKEEP_BIND_H

#include "conflict.h"
#include "consumers.h"
#include "in_use.h"
#include "watch.h"

/* Notes on sk why it was refused. Without memory for the note, skips it. */
static __always_inline void note_conflict(void *sk, const struct portkeep_conflict *conflict)
{
	struct socket_state *state =
		bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);

	if (state)
		state->conflict = *conflict;
}

/* With the lock: a claim changes the user and the namespace together. */
static __noinline bool current_is_owners_user(struct reservation *reservation)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	__u64 user_ns;
	__u32 euid;

	bpf_spin_lock(&reservation->lock);
	euid = reservation->owner_euid;
	user_ns = reservation->owner_user_ns;
	bpf_spin_unlock(&reservation->lock);
	return task->cred->euid.val == euid && address_of(task->cred->user_ns) == user_ns;
}

static __always_inline bool may_bind(struct reservation *reservation, __u64 netns)
{
	struct process owner = reservation->owner;

	if (reservation->flags & PERSISTENT)
		return consumer_binds(netns, *(volatile __u64 *)&reservation->token);
	if ((reservation->flags & PORTKEEP_USER) && current_is_owners_user(reservation))
		return true;
	if (reservation->flags & PORTKEEP_TREE)
		return current_descends_from(&owner);
	return (reservation->flags & PORTKEEP_PROCESS) && current_is(&owner);
}

/*
 * An unassociated bind to a port that netns (or EVERY_NETNS) reserves; 0 or -EADDRINUSE.
 * The record may end at any time, and another reservation in which the caller may bind may
 * reuse its memory. So the values read count only if the token is unchanged afterwards.
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
	__u16 port; /* certainly free, 0: none */
	__u16 time_wait; /* has TIME_WAITs only */
	__u16 untold; /* has a crowded bucket */
	/* A reservation for every namespace yields to a namespace's own earlier reservation. */
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
 * A port that is free, as far as we can tell; 0 if none is. The kernel has the last
 * word. If no port is certainly free, we let it try one in a crowded bucket.
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

/* The notes have frames of their own: in bind_associated() they would add to the walks below it. */
static __noinline int note_no_port(void *sk, __u16 protocol, enum portkeep_conflict_kind kind)
{
	struct portkeep_conflict conflict = make_conflict(kind, protocol, 0);

	note_conflict(sk, &conflict);
	return kind == PORTKEEP_CONFLICT_CANNOT_TELL ? -ENOBUFS : -EADDRINUSE;
}

/* The reservation has ended: find the current owner of its ports. */
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
	/* The record may have been reused for another reservation. */
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

/* The port of an associated bind: *port if it is in the block; for 0, a free one of the block. */
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

/* Whether any BPF program has storage on the socket; without a helper call. */
static __always_inline bool has_storage(const void *sk)
{
	struct sock *sock = kernel_object(sock, sk);

	return kernel_read(sock, sk_bpf_storage);
}

static __always_inline int before_bind(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	__u32 asked = bpf_ntohs(ctx->user_port), port = asked;
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
	return error ? report_refusal(sk, PORTKEEP_EVENT_BIND_REFUSED, ctx->protocol, asked,
				      error) :
		       0;
}

/*
 * A full barrier (a compare-and-exchange). One side puts its socket into the table
 * and looks for a mark; the other marks and looks for a socket (take.h). A load that
 * overtook the preceding store could let both pass.
 */
static __always_inline void order_stores_before_loads(void)
{
	__u64 nothing = 0;

	__sync_val_compare_and_swap(&nothing, 0, 1);
}

/*
 * The second check, after the kernel has put the socket into its tables: refuses a
 * bind that passed the first check before the port was marked.
 */
static __always_inline int after_bind(struct bpf_sock *sk)
{
	__u32 port = sk->src_port;
	struct socket_state *state;
	struct reservation *reservation;
	__u64 netns, reserving, holder;
	int error;

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
	error = bind_stranger(sk, reserving, sk->protocol, port);
	return error ? report_refusal(sk, PORTKEEP_EVENT_BIND_REFUSED, sk->protocol, port, error) :
		       0;
}

#endif /* PORTKEEP_BIND_H */

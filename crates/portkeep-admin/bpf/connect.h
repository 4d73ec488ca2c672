/* SPDX-License-Identifier: GPL-2.0 */
/* The port side of connect(): it moves a bound socket, or binds an unbound one. */
#ifndef PORTKEEP_CONNECT_H
#define PORTKEEP_CONNECT_H

#include "bind.h"

/* As in <linux/in.h> and <linux/in6.h>. */
struct sockaddr_in {
	__u16 sin_family;
	__be16 sin_port;
	__u32 sin_addr;
	__u8 zero[8];
};

struct sockaddr_in6 {
	__u16 sin6_family;
	__be16 sin6_port;
	__u32 sin6_flowinfo;
	__u32 sin6_addr[4];
	__u32 sin6_scope_id;
};

/* How often the kernel may report a port in use that seemed free. */
#define CONNECT_BIND_TRIES 4

/* Binds the locked socket to the port and to the address that it already has. */
static __noinline int bind_here(struct bpf_sock_addr *ctx, __u32 port)
{
	struct bpf_sock *sk = ctx->sk;

	if (!sk)
		return -EINVAL;
	if (sk->family == AF_INET6) {
		struct sockaddr_in6 address = { .sin6_family = AF_INET6,
						.sin6_port = bpf_htons(port) };

		address.sin6_addr[0] = sk->src_ip6[0];
		address.sin6_addr[1] = sk->src_ip6[1];
		address.sin6_addr[2] = sk->src_ip6[2];
		address.sin6_addr[3] = sk->src_ip6[3];
		return bpf_bind(ctx, (struct sockaddr *)&address, sizeof(address));
	} else {
		struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = bpf_htons(port) };

		address.sin_addr = sk->src_ip4;
		return bpf_bind(ctx, (struct sockaddr *)&address, sizeof(address));
	}
}

/* bind_associated() notes why it found no port; this notes refusals of bpf_bind(). */
static __always_inline int bind_in_block(struct bpf_sock_addr *ctx, void *sk, __u64 netns,
					 __u64 token)
{
	__u16 protocol = token_protocol(token);
	int error = -EADDRINUSE;

	for (int tries = 0; tries < CONNECT_BIND_TRIES && error == -EADDRINUSE; tries++) {
		__u32 port = zero_for_loops;

		error = bind_associated(sk, netns, token, &port);
		if (error)
			return error;
		error = bind_here(ctx, port);
		if (error == -EACCES)
			note_no_port(sk, protocol, PORTKEEP_CONFLICT_NOT_PERMITTED);
	}
	if (error == -EADDRINUSE)
		note_no_port(sk, protocol, PORTKEEP_CONFLICT_IN_USE);
	return error;
}

static __always_inline int bind_implicitly(struct bpf_sock_addr *ctx, void *sk, __u64 netns,
					   __u64 token)
{
	__u64 holder;
	struct reservation *reservation = find_reservation(netns, token, &holder);
	int error;

	if (!reservation || !start_binding(reservation, token))
		return note_ended(sk, netns, token);
	error = bind_in_block(ctx, sk, netns, token);
	stop_binding(reservation, holder, token);
	return error;
}

/* Tells acquirers of its port that a bound socket is about to move to the list of an address. */
static __noinline int announce_move(void *sk, __u64 netns, __u32 port)
{
	__u64 reserving = reserving_netns(netns, IPPROTO_TCP, port);
	__u32 *moves;

	if (reserving == NO_NETNS || reservation_with(reserving, IPPROTO_TCP, port))
		return 0;
	moves = moves_of(address_of(net_of(sk)), port);
	if (moves)
		__sync_fetch_and_add(moves, 1);
	return 0;
}

static __always_inline int before_connect(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct socket_state *state;
	__u32 port;
	int error;

	if (!sk)
		return 0;
	port = sk->src_port;
	if (port) {
		if (ctx->protocol == IPPROTO_TCP && may_be_reserved(port))
			announce_move(sk, bpf_get_netns_cookie(ctx), port);
		return 0;
	}
	if (!has_storage(sk) || !is_tcp_or_udp(sk->family, ctx->type, ctx->protocol))
		return 0;
	/*
	 * TCP refuses an address of the other family before it binds. UDP binds first, whatever
	 * the family, and over IPv6 takes IPv4 addresses.
	 */
	if (ctx->protocol == IPPROTO_TCP && ctx->user_family != sk->family)
		return 0;
	state = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	if (!state || !state->associated)
		return 0;
	error = bind_implicitly(ctx, sk, bpf_get_netns_cookie(ctx), state->associated);
	return error ? report_refusal(sk, PORTKEEP_EVENT_CONNECT_REFUSED, ctx->protocol, 0, error) :
		       0;
}

#endif /* PORTKEEP_CONNECT_H */

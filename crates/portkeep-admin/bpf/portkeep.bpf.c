// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel part of Portkeep: the hooks and their purposes.
 *
 *   cgroup/setsockopt              acquire, release, …        set_option.h
 *   cgroup/getsockopt              token, conflict, …         get_option.h
 *   cgroup/bind4, bind6            refuse, allow or choose    bind.h
 *   cgroup/post_bind4, post_bind6  look again once bound      bind.h
 *   cgroup/connect4, connect6      announce, or bind first    connect.h
 *   cgroup/sock_release            end what the socket held   reservation.h
 *   iter/bpf_map_elem              list the reservations      list.h
 *   get- and setsockopt, too       watch what happens         watch.h
 *
 * Below them: persistent.h and acquire.h reserve, wildcard.h and take.h take
 * blocks, in_use.h reads the kernel's socket tables, reservation.h, port_map.h and
 * maps.h hold the state, consumers.h, task.h, pidfd.h and quota.h check permissions,
 * and sweep.h cleans up. events.h tells watchers what happens.
 *
 * If a port is not reserved, nothing is refused, whatever goes wrong here. If it
 * is reserved, doubt refuses.
 */
#include "bind.h"
#include "connect.h"
#include "get_option.h"
#include "list.h"
#include "set_option.h"

#define PROCEED 1
#define REFUSE 0

static __always_inline int verdict(int error)
{
	if (!error)
		return PROCEED;
	bpf_set_retval(error);
	return REFUSE;
}

/* optlen -1 tells the kernel that the option has been handled. */
#define DEALT_WITH (-1)

/*
 * The kernel copies at most one page of a value. Before Linux 6.5 a longer value of
 * another option would fail with EFAULT unless optlen is 0: nothing was changed.
 */
#define SMALLEST_PAGE 4096

static __always_inline void leave_alone(struct bpf_sockopt *ctx)
{
	if (ctx->optlen > SMALLEST_PAGE)
		ctx->optlen = 0;
}

/*
 * Portkeep may be installed at a cgroup and at one above it. The hooks then run
 * innermost first, and the innermost has already handled the call.
 */
SEC("cgroup/setsockopt")
int portkeep_setsockopt(struct bpf_sockopt *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	int error;

	if (ctx->level != SOL_PORTKEEP) {
		leave_alone(ctx);
		return PROCEED;
	}
	if (!sk || ctx->optlen < 0 || bpf_get_retval() < 0)
		return PROCEED;
	if (is_tcp_or_udp(sk->family, sk->type, sk->protocol))
		error = set_option(ctx, sk);
	else
		error = -EOPNOTSUPP;
	if (error == NOT_OURS)
		return PROCEED;
	if (!error)
		ctx->optlen = DEALT_WITH;
	return verdict(error);
}

SEC("cgroup/getsockopt")
int portkeep_getsockopt(struct bpf_sockopt *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	int error;

	if (ctx->level != SOL_PORTKEEP) {
		leave_alone(ctx);
		/* The kernel may report a length beyond the buffer. */
		if (ctx->optlen > ctx->optval_end - ctx->optval)
			ctx->optlen = 0;
		return PROCEED;
	}
	if (!sk || !bpf_get_retval())
		return PROCEED;
	if (is_tcp_or_udp(sk->family, sk->type, sk->protocol))
		error = get_option(ctx, sk);
	else
		error = -EOPNOTSUPP;
	if (!error)
		bpf_set_retval(0);
	return verdict(error);
}

SEC("cgroup/bind4")
int portkeep_bind4(struct bpf_sock_addr *ctx)
{
	return verdict(before_bind(ctx));
}

SEC("cgroup/bind6")
int portkeep_bind6(struct bpf_sock_addr *ctx)
{
	return verdict(before_bind(ctx));
}

SEC("cgroup/connect4")
int portkeep_connect4(struct bpf_sock_addr *ctx)
{
	return verdict(before_connect(ctx));
}

SEC("cgroup/connect6")
int portkeep_connect6(struct bpf_sock_addr *ctx)
{
	return verdict(before_connect(ctx));
}

SEC("cgroup/post_bind4")
int portkeep_post_bind4(struct bpf_sock *sk)
{
	return verdict(after_bind(sk));
}

SEC("cgroup/post_bind6")
int portkeep_post_bind6(struct bpf_sock *sk)
{
	return verdict(after_bind(sk));
}

SEC("cgroup/sock_release")
int portkeep_sock_release(struct bpf_sock *sk)
{
	struct socket_state *state = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	struct acquired_visit visit = {};

	if (!state)
		return PROCEED;
	stop_watch(state);
	if (!state->highest)
		return PROCEED;
	visit.netns = bpf_get_netns_cookie(sk);
	visit.acquirer = address_of(sk);
	visit.lowest = state->lowest;
	visit.highest = state->highest;
	visit.protocol = sk->protocol;
	visit.end = true;
	visit_all_acquired(&visit);
	return PROCEED;
}

/*
 * The types of the ABI, so that the skeleton contains them: the Rust side compares
 * its own declarations with them at compile time.
 */
struct abi {
	enum portkeep_option option;
	enum portkeep_abi abi;
	enum portkeep_flag flag;
	enum portkeep_conflict_kind kind;
	struct portkeep_acquire acquire;
	struct portkeep_instance instance;
	struct portkeep_conflict conflict;
	enum portkeep_consumer_kind consumer_kind;
	struct portkeep_consumer consumer;
	struct portkeep_delete delete;
	struct portkeep_heir heir;
	enum portkeep_event_kind event_kind;
	struct portkeep_event event;
	struct portkeep_events events;
	enum portkeep_layout layout;
};

const volatile struct abi abi = {};

char LICENSE[] SEC("license") = "GPL";

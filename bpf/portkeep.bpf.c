// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel part of Portkeep: the hooks and what each is for.
 *
 *   cgroup/setsockopt              acquire, release, …        set_option.h
 *   cgroup/getsockopt              token, conflict, …         get_option.h
 *   cgroup/bind4, bind6            refuse, allow or choose    bind.h
 *   cgroup/post_bind4, post_bind6  look again once bound      bind.h
 *   cgroup/sock_release            end what the socket held   reservation.h
 *   iter/bpf_map_elem              list the reservations      here
 *
 * Below them: acquire.h, wildcard.h and take.h take blocks, in_use.h asks the
 * kernel's socket tables, port_map.h and maps.h hold the truth, task.h and
 * quota.h say who may.
 *
 * Where nothing is reserved nothing is refused, whatever goes wrong here; where
 * a port is reserved, doubt refuses.
 */
#include "bind.h"
#include "get_option.h"
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

/* optlen -1 tells the kernel that the option has been dealt with. */
#define DEALT_WITH (-1)

/*
 * The kernel copies a page of a value at most. Before Linux 6.5 a longer one that
 * is not ours would fail with EFAULT, unless its length is 0: nothing was changed.
 */
#define SMALLEST_PAGE 4096

static __always_inline void leave_alone(struct bpf_sockopt *ctx)
{
	if (ctx->optlen > SMALLEST_PAGE)
		ctx->optlen = 0;
}

/*
 * Portkeep may be installed at a cgroup and at one above it. The hooks then run
 * innermost first, and the innermost has dealt with the call already.
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

	if (!state || !state->highest)
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

/* The listing is columns of text, so a command is what is visible of it: 0x21 to 0x7e. */
static __always_inline void make_visible(char *to, const char *command)
{
	for (int i = 0; i < 15; i++) {
		char byte = command[i];

		to[i] = byte && (byte <= ' ' || byte > '~') ? '_' : byte;
	}
	if (!to[0])
		to[0] = '?';
}

/* One line a reservation, for everybody: columns as in the header line. */
SEC("iter/bpf_map_elem")
int portkeep_list(struct bpf_iter__bpf_map_elem *ctx)
{
	static const char header[] =
		"PROTOCOL PORTS FLAGS PID UID COMMAND SINCE TOKEN SOCKET NETNS\n";
	static const char line[] = "%s %u-%u %s %u %u %s %llu %llu %llu %llu\n";
	static const char protocols[2][4] = { "tcp", "udp" };
	static const char flags[4][16] = { "-", "process", "tree", "process,tree" };
	struct seq_file *seq = ctx->meta->seq;
	struct reservation_key *key = ctx->key;
	struct reservation *reservation = ctx->value;
	char command[16] = {};

	/* The call after the last element has no key, and the number 0 again after one element. */
	if (!ctx->meta->seq_num && (key || !BPF_CORE_READ(seq, index)))
		bpf_seq_write(seq, header, sizeof(header) - 1);
	if (!key || !reservation || !reservation->token)
		return 0;
	make_visible(command, reservation->command);

	__u64 columns[] = {
		(__u64)protocols[key->protocol == IPPROTO_UDP],
		reservation->start,
		reservation->start + reservation->count - 1,
		(__u64)flags[reservation->flags & 3],
		reservation->owner.pid,
		reservation->owner.uid,
		(__u64)command,
		reservation->since,
		reservation->token,
		reservation->socket_cookie,
		key->netns,
	};
	bpf_seq_printf(seq, line, sizeof(line), columns, sizeof(columns));
	return 0;
}

/*
 * The types of the ABI, for the skeleton to carry them: the Rust side compares
 * its own declarations with these when it is compiled.
 */
struct abi {
	enum portkeep_option option;
	enum portkeep_abi abi;
	enum portkeep_flag flag;
	enum portkeep_conflict_kind kind;
	struct portkeep_acquire acquire;
	struct portkeep_instance instance;
	struct portkeep_conflict conflict;
};

const volatile struct abi abi = {};

char LICENSE[] SEC("license") = "GPL";

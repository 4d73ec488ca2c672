/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The setsockopt calls at SOL_PORTKEEP. The kernel runs the hook with the socket
 * locked, so calls on one socket are serialized and its state needs no lock of
 * its own.
 */
#ifndef PORTKEEP_SET_OPTION_H
#define PORTKEEP_SET_OPTION_H

#include "option_value.h"
#include "persistent.h"
#include "pidfd.h"

/* Stores with the socket the state for its end and for the call that reads the token. */
static __always_inline void note_acquired(struct socket_state *state,
					  const struct acquisition *acquisition)
{
	__u32 start = acquisition->start, count = acquisition->request.range.count;
	__u32 end = start + count - 1;

	if (!state->highest || start < state->lowest)
		state->lowest = start;
	if (end > state->highest)
		state->highest = end;
	note_outcome(&state->acquired, acquisition);
}

static __always_inline int acquire_with_socket(struct acquisition *acquisition, const void *sk)
{
	int error = acquire_block(acquisition);

	if (error)
		return error;
	error = store_reservation(acquisition, sk);
	if (error)
		give_up_block(acquisition);
	return error;
}

static __always_inline int acquire(struct bpf_sockopt *ctx, struct bpf_sock *sk, __u64 netns,
				   struct acquisition *acquisition)
{
	struct socket_state *state;
	int error;

	/* No hook would report its end. */
	if (is_kernel_socket(sk))
		return -EOPNOTSUPP;
	state = state_of(sk);
	if (!state)
		return -ENOBUFS;
	error = read_acquire(ctx, &acquisition->request) ?:
							   check_acquire(&acquisition->request,
									 PORTKEEP_PROCESS | PORTKEEP_TREE | PORTKEEP_USER);
	if (!error) {
		port_space_of(&acquisition->space, sk, netns, sk->protocol);
		error = acquire_with_socket(acquisition, sk);
		if (is_worth_another_try(error, acquisition))
			error = acquire_with_socket(acquisition, sk);
	}
	if (!error)
		note_acquired(state, acquisition);
	else
		state->conflict = acquisition->conflict;
	return error;
}

/* Whether the caller may use the token: its own, or as administrator a persistent one. */
static __always_inline bool may_use(const struct reservation *reservation, const void *sk)
{
	struct process owner = reservation->owner;

	if (reservation->flags & PERSISTENT)
		return is_administrator(sk, reservation->flags);
	return current_is(&owner);
}

static __always_inline int release(struct bpf_sockopt *ctx, struct bpf_sock *sk, __u64 netns)
{
	struct reservation *reservation;
	__u64 token;
	int error = read_token(ctx, &token);

	if (error)
		return error;
	reservation = reservation_of(netns, token);
	if (!reservation)
		return -EINVAL;
	if (!may_use(reservation, sk))
		return -EACCES;
	/* A persistent reservation lasts until DELETE. */
	return reservation->flags & PERSISTENT ? -EINVAL : end_reservation(netns, token, 0);
}

static __always_inline int associate(struct bpf_sockopt *ctx, struct bpf_sock *sk, __u64 netns)
{
	struct reservation *reservation;
	struct socket_state *state;
	__u64 token;
	int error = read_token(ctx, &token);

	if (error)
		return error;
	reservation = reservation_of(netns, token);
	if (!reservation || token_protocol(token) != sk->protocol || sk->src_port)
		return -EINVAL;
	if (!may_use(reservation, sk))
		return -EACCES;
	state = state_of(sk);
	if (!state)
		return -ENOBUFS;
	state->associated = token;
	return 0;
}

/* Gives the reservation to a process, unless it has ended. */
static __noinline int change_owner(struct reservation *reservation, __u64 token,
				   const struct owner *owner, __u32 charged_uid)
{
	int error = -EINVAL;

	bpf_spin_lock(&reservation->lock);
	if (reservation->token == token) {
		reservation->owner = owner->process;
		reservation->owner_euid = owner->euid;
		reservation->owner_user_ns = owner->user_ns;
		__builtin_memcpy(reservation->command, owner->command, sizeof(owner->command));
		reservation->charged_uid = charged_uid;
		error = 0;
	}
	bpf_spin_unlock(&reservation->lock);
	return error;
}

/*
 * Both have frames of their own: struct owner would otherwise add to the frame that the
 * walks of an acquire are below.
 */
static __noinline int give_to_caller(struct reservation *reservation, __u64 token,
				     __u32 charged_uid)
{
	struct owner caller = current_owner();

	return change_owner(reservation, token, &caller, charged_uid);
}

/* Whoever is charged for it stays so: the socket is locked, so no claim changes that meanwhile. */
static __noinline int give_to_heir(struct reservation *reservation,
				   const struct portkeep_heir *heir, const void *sk)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct owner owner = {};
	int error = process_of_pidfd(heir->pidfd, &owner);

	if (error)
		return error;
	/* Otherwise anyone could have others blamed by the list and by what a refused bind reports. */
	if (owner.process.uid != task->cred->euid.val && !is_administrator(sk, 0))
		return -EACCES;
	return change_owner(reservation, heir->token, &owner, reservation->charged_uid);
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
	/* Only claims change the user, and all claims go through this locked socket. */
	count = reservation->count;
	before = reservation->charged_uid;
	if (before == after)
		return give_to_caller(reservation, token, after);
	error = charge(after, count);
	if (error)
		return error;
	error = give_to_caller(reservation, token, after);
	uncharge(error ? after : before, count);
	return error;
}

static __always_inline int read_heir(struct bpf_sockopt *ctx, struct portkeep_heir *heir)
{
	struct portkeep_heir *whole = ctx->optval;

	if (value_length(ctx) < sizeof(*whole) || (void *)(whole + 1) > ctx->optval_end)
		return -EINVAL;
	*heir = *whole;
	return rest_is_zero(ctx, __builtin_offsetof(struct portkeep_heir, reserved)) ? 0 : -EINVAL;
}

/* Gives the reservation to the process of a pidfd. */
static __always_inline int hand_over(struct bpf_sockopt *ctx, struct bpf_sock *sk, __u64 netns)
{
	struct reservation *reservation;
	struct portkeep_heir heir;
	int error = read_heir(ctx, &heir);

	if (error)
		return error;
	reservation = reservation_of(netns, heir.token);
	if (!reservation)
		return -EINVAL;
	if (reservation->acquirer != address_of(sk))
		return -EACCES;
	return give_to_heir(reservation, &heir, sk);
}

/* Returns the error. An EINVAL is a program's mistake, no refusal. */
static __noinline int report_reserve(const struct acquisition *acquisition, __u64 netns,
				     __u32 protocol, bool create, int error)
{
	struct portkeep_event event = {};

	if (error == -EINVAL || error == -EOPNOTSUPP)
		return error;
	/* Told of already; nothing is reserved. */
	if (create && acquisition->request.flags & PORTKEEP_CHANGE)
		return error;
	if (error)
		count_refusal(PORTKEEP_EVENT_ACQUIRE_REFUSED, protocol);
	if (!anyone_watches())
		return error;
	start_event(&event, error  ? PORTKEEP_EVENT_ACQUIRE_REFUSED :
			    create ? PORTKEEP_EVENT_CREATED :
				     PORTKEEP_EVENT_ACQUIRED);
	event.netns = netns_of(netns, acquisition->request.flags);
	event.protocol = protocol;
	event.persistent = create;
	event.range = acquisition->request.range;
	if (error) {
		event.error = -error;
		add_conflict(&event, &acquisition->conflict);
		if (event.since)
			add_reservation(&event, netns);
	} else {
		event.range.start = bpf_htons(acquisition->start);
		event.token = acquisition->token;
		event.since = event.time;
		event.owner_pid = create ? 0 : event.pid;
		event.owner_uid = create ? acquisition->owner_uid : event.uid;
		__builtin_memcpy(event.owner_command, event.command, sizeof(event.command));
	}
	write_event(&event);
	return error;
}

static __always_inline int reserve(struct bpf_sockopt *ctx, struct bpf_sock *sk, __u64 netns)
{
	/* It stays with the socket: freeing it here would slow every acquire. */
	struct acquisition *acquisition =
		bpf_sk_storage_get(&acquisitions, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	int error;

	if (!acquisition)
		return -ENOBUFS;
	__builtin_memset(acquisition, 0, sizeof(*acquisition));
	error = ctx->optname == PORTKEEP_CREATE ? create(ctx, sk, netns, acquisition) :
						  acquire(ctx, sk, netns, acquisition);
	return report_reserve(acquisition, netns, sk->protocol, ctx->optname == PORTKEEP_CREATE,
			      error);
}

static __always_inline int watch(struct bpf_sockopt *ctx, struct bpf_sock *sk, __u64 netns)
{
	__u64 kinds;
	int error = read_token(ctx, &kinds);

	return error ? error : start_watch(sk, netns, kinds);
}

static __always_inline int set_option(struct bpf_sockopt *ctx, struct bpf_sock *sk)
{
	__u64 netns = bpf_get_netns_cookie(ctx);

	switch (ctx->optname) {
	case PORTKEEP_ACQUIRE:
	case PORTKEEP_CREATE:
		return reserve(ctx, sk, netns);
	case PORTKEEP_RELEASE:
		return release(ctx, sk, netns);
	case PORTKEEP_ASSOCIATE:
		return associate(ctx, sk, netns);
	case PORTKEEP_CLAIM:
		return claim(ctx, sk, netns);
	case PORTKEEP_HAND_OVER:
		return hand_over(ctx, sk, netns);
	case PORTKEEP_DELETE:
		return delete (ctx, sk, netns);
	case PORTKEEP_LOOKUP:
		return look_up(ctx, sk, netns);
	case PORTKEEP_WATCH:
		return watch(ctx, sk, netns);
	default:
		return NOT_OURS;
	}
}

#endif /* PORTKEEP_SET_OPTION_H */

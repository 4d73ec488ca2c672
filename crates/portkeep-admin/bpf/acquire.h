/* SPDX-License-Identifier: GPL-2.0 */
/* The steps common to all ways to reserve: quota, block, record. */
#ifndef PORTKEEP_ACQUIRE_H
#define PORTKEEP_ACQUIRE_H

#include "sweep.h"
#include "wildcard.h"

/*
 * Stores the record of a marked block. Not inlined: its frame would count toward
 * the 512 bytes of stack that the deepest calls below take() share.
 * A persistent reservation has no acquiring socket and no owning process.
 */
static __noinline int store_reservation(struct acquisition *acquisition, const void *sk)
{
	const struct port_space *space = &acquisition->space;
	struct owner owner = current_owner();
	struct reservation_key key = {
		.netns = space->netns,
		.protocol = space->protocol,
		.start = acquisition->start,
	};
	struct sock *sock = kernel_object(sock, sk);
	struct reservation reservation = {
		.start = acquisition->start,
		.count = acquisition->request.range.count,
		.since = bpf_ktime_get_boot_ns(),
		.thread = current_thread(),
		.charged_uid = acquisition->charged_uid,
		.flags = acquisition->request.flags,
	};
	struct counters *counters = the_counters();

	if (!counters)
		return -ENOBUFS;
	if (reservation.flags & PERSISTENT) {
		reservation.owner.uid = acquisition->owner_uid;
	} else {
		reservation.owner = owner.process;
		reservation.owner_euid = owner.euid;
		reservation.owner_user_ns = owner.user_ns;
		reservation.acquirer = address_of(sk);
		reservation.socket_cookie = kernel_read(sock, __sk_common.skc_cookie.counter);
	}
	__builtin_memcpy(reservation.command, owner.command, sizeof(owner.command));
	/* Consumers were stored with the token already. */
	reservation.token = reservation.flags & PERSISTENT ?
				    acquisition->token :
				    make_token(__sync_fetch_and_add(&counters->sequence, 1) + 1,
					       space->protocol, acquisition->start);
	/* As soon as the record is there, another thread may end the reservation. */
	if (bpf_map_update_elem(&reservations, &key, &reservation, BPF_NOEXIST))
		return -ENOBUFS;
	acquisition->token = reservation.token;
	return 0;
}

static __always_inline int take(struct acquisition *acquisition)
{
	const struct portkeep_acquire *request = &acquisition->request;
	__u32 start = bpf_ntohs(request->range.start), count = request->range.count;

	if (!start)
		return take_wildcard(acquisition);
	acquisition->start = start;
	return take_specific(&acquisition->space, start, start + count - 1, &acquisition->conflict,
			     request->flags & PORTKEEP_ADOPT);
}

/* Charges for the block and marks it. */
__verified_alone int acquire_block(struct acquisition *acquisition)
{
	__u32 count;
	int error;

	if (!acquisition)
		return -EINVAL;
	count = acquisition->request.range.count;
	acquisition->charged_uid = user_to_charge();
	error = charge(acquisition->charged_uid, count);
	if (!error) {
		error = take(acquisition);
		if (error)
			uncharge(acquisition->charged_uid, count);
	}
	if (error == -EDQUOT)
		acquisition->conflict =
			make_conflict(PORTKEEP_CONFLICT_QUOTA, acquisition->space.protocol, 0);
	return error;
}

/* Whether to retry: the sweep has freed what dead namespaces held. */
static __always_inline bool is_worth_another_try(int error, struct acquisition *acquisition)
{
	if ((error != -EDQUOT && error != -ENOBUFS) ||
	    acquisition->conflict.kind == PORTKEEP_CONFLICT_CANNOT_TELL || !sweep())
		return false;
	acquisition->conflict.kind = PORTKEEP_CONFLICT_NONE;
	return true;
}

static __always_inline void give_up_block(const struct acquisition *acquisition)
{
	__u32 count = acquisition->request.range.count, start = acquisition->start;

	give_block_back(&acquisition->space, start, start + count - 1);
	uncharge(acquisition->charged_uid, count);
}

static __always_inline struct socket_state *state_of(struct bpf_sock *sk)
{
	return bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
}

static __always_inline int check_acquire(const struct portkeep_acquire *request, __u32 known_flags)
{
	__u32 start = bpf_ntohs(request->range.start), count = request->range.count;

	if (!count || start + count > 65536)
		return -EINVAL;
	if (request->flags & ~known_flags)
		return -EINVAL;
	if (request->align & (request->align - 1))
		return -EINVAL;
	if (start && request->align && start & (request->align - 1))
		return -EINVAL;
	return 0;
}

/* Keeps a call's result for the call that reads it. */
static __always_inline void note_outcome(struct outcome *outcome,
					 const struct acquisition *acquisition)
{
	outcome->instance.range.start = bpf_htons(acquisition->start);
	outcome->instance.range.count = acquisition->request.range.count;
	outcome->instance.token = acquisition->token;
	outcome->thread = current_thread();
}

#endif /* PORTKEEP_ACQUIRE_H */

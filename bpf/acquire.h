/* SPDX-License-Identifier: GPL-2.0 */
/* The whole of an acquire: quota, block, record. */
#ifndef PORTKEEP_ACQUIRE_H
#define PORTKEEP_ACQUIRE_H

#include "wildcard.h"

static __always_inline void copy_command(char *to)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();

	bpf_probe_read_kernel(to, 16, &task->group_leader->comm);
}

/*
 * Stores the record of the block, which is marked. Not inlined: its frame would
 * count, in the 512 bytes that a program has, for the deepest calls below take().
 */
static __noinline int store_reservation(struct acquisition *acquisition, const void *sk)
{
	const struct port_space *space = &acquisition->space;
	struct reservation_key key = {
		.netns = space->netns,
		.protocol = space->protocol,
		.start = acquisition->start,
	};
	struct sock *sock = kernel_object(sock, sk);
	struct reservation reservation = {
		.start = acquisition->start,
		.count = acquisition->request.range.count,
		.owner = current_process(),
		.since = bpf_ktime_get_boot_ns(),
		.acquirer = address_of(sk),
		.socket_cookie = kernel_read(sock, __sk_common.skc_cookie.counter),
		.thread = current_thread(),
		.charged_uid = acquisition->charged_uid,
		.flags = acquisition->request.flags,
	};
	struct counters *counters = the_counters();

	if (!counters)
		return -ENOBUFS;
	copy_command(reservation.command);
	reservation.token = make_token(__sync_fetch_and_add(&counters->sequence, 1) + 1,
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
	return take_specific(&acquisition->space, start, start + count - 1, &acquisition->conflict);
}

static __always_inline int acquire_block(struct acquisition *acquisition, const void *sk)
{
	const struct port_space *space = &acquisition->space;
	__u32 count = acquisition->request.range.count;
	int error;

	acquisition->charged_uid = user_to_charge();
	error = charge(acquisition->charged_uid, count);
	if (error == -EDQUOT)
		acquisition->conflict = make_conflict(PORTKEEP_CONFLICT_QUOTA, space->protocol, 0);
	if (error)
		return error;
	error = take(acquisition);
	if (error)
		goto uncharge;
	error = store_reservation(acquisition, sk);
	if (!error)
		return 0;
	give_block_back(space, acquisition->start, acquisition->start + count - 1);
uncharge:
	uncharge(acquisition->charged_uid, count);
	return error;
}

#endif /* PORTKEEP_ACQUIRE_H */

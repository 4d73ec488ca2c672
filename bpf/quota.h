/* SPDX-License-Identifier: GPL-2.0 */
/* How much each unprivileged user holds. */
#ifndef PORTKEEP_QUOTA_H
#define PORTKEEP_QUOTA_H

#include "task.h"

static long drop_if_nothing_held(void *map, __u32 *uid, struct holdings *holdings, void *unused)
{
	if (!holdings->ports && !holdings->chunks)
		bpf_map_delete_elem(map, uid);
	return 0;
}

static __always_inline struct holdings *holdings_of(__u32 uid)
{
	struct holdings none = {}, *holdings = bpf_map_lookup_elem(&charges, &uid);
	int error;

	if (holdings)
		return holdings;
	/* An int: before Linux 6.4 the upper half of the result is no sign (d7ba4cc900bf). */
	error = bpf_map_update_elem(&charges, &uid, &none, BPF_NOEXIST);
	/*
	 * Records of users who hold nothing are only swept when the table is full. A
	 * charge at the very same instant can be lost, or count against another user.
	 */
	if (error == -E2BIG) {
		bpf_for_each_map_elem(&charges, drop_if_nothing_held, NULL, 0);
		bpf_map_update_elem(&charges, &uid, &none, BPF_NOEXIST);
	}
	return bpf_map_lookup_elem(&charges, &uid);
}

static __always_inline int add_within(__u32 *held, __u32 amount, __u32 limit)
{
	if (__sync_fetch_and_add(held, amount) + amount <= limit)
		return 0;
	__sync_fetch_and_sub(held, amount);
	return -EDQUOT;
}

static __always_inline void take_back(__u32 *held, __u32 amount)
{
	/* Only after a lost charge is less there than was charged. */
	if (__sync_fetch_and_sub(held, amount) < amount)
		*held = 0;
}

__verified_alone int charge(__u32 uid, __u32 ports)
{
	struct settings *settings = the_settings();
	struct holdings *holdings;

	if (uid == NOT_CHARGED)
		return 0;
	holdings = holdings_of(uid);
	if (!holdings || !settings)
		return -ENOBUFS;
	return add_within(&holdings->ports, ports, settings->quota);
}

__verified_alone int uncharge(__u32 uid, __u32 ports)
{
	struct holdings *holdings;

	if (uid == NOT_CHARGED)
		return 0;
	holdings = bpf_map_lookup_elem(&charges, &uid);
	if (holdings)
		take_back(&holdings->ports, ports);
	return 0;
}

static __always_inline int charge_chunk(__u32 uid)
{
	struct holdings *holdings;

	if (uid == NOT_CHARGED)
		return 0;
	holdings = holdings_of(uid);
	return holdings ? add_within(&holdings->chunks, 1, CHUNK_QUOTA) : -ENOBUFS;
}

static __always_inline void uncharge_chunk(__u32 uid)
{
	struct holdings *holdings;

	if (uid == NOT_CHARGED)
		return;
	holdings = bpf_map_lookup_elem(&charges, &uid);
	if (holdings)
		take_back(&holdings->chunks, 1);
}

/*
 * CAP_NET_ADMIN exempts over the initial user namespace only: anybody can have
 * it over a namespace of his own, and the tables are shared by all.
 */
static __always_inline __u32 user_to_charge(void)
{
	return capable(CAP_NET_ADMIN) ? NOT_CHARGED : accountable_user();
}

#endif /* PORTKEEP_QUOTA_H */

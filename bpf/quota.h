/* SPDX-License-Identifier: GPL-2.0 */
/* How many ports each unprivileged user holds. */
#ifndef PORTKEEP_QUOTA_H
#define PORTKEEP_QUOTA_H

#include "task.h"

static long drop_if_nothing_held(void *map, __u32 *uid, __u32 *held, void *unused)
{
	if (!*held)
		bpf_map_delete_elem(map, uid);
	return 0;
}

static __always_inline __u32 *charge_of(__u32 uid)
{
	__u32 none = 0, *held = bpf_map_lookup_elem(&charges, &uid);

	if (held)
		return held;
	/*
	 * Records of users who hold nothing are only swept when the table is full.
	 * A charge that races with the sweep is lost, in the user's favour.
	 */
	if (bpf_map_update_elem(&charges, &uid, &none, BPF_NOEXIST) == -E2BIG) {
		bpf_for_each_map_elem(&charges, drop_if_nothing_held, NULL, 0);
		bpf_map_update_elem(&charges, &uid, &none, BPF_NOEXIST);
	}
	return bpf_map_lookup_elem(&charges, &uid);
}

__verified_alone int charge(__u32 uid, __u32 ports)
{
	struct settings *settings = the_settings();
	__u32 *held;

	if (uid == NOT_CHARGED)
		return 0;
	held = charge_of(uid);
	if (!held || !settings)
		return -ENOBUFS;
	if (__sync_fetch_and_add(held, ports) + ports <= settings->quota)
		return 0;
	__sync_fetch_and_sub(held, ports);
	return -EDQUOT;
}

__verified_alone int uncharge(__u32 uid, __u32 ports)
{
	__u32 *held;

	if (uid == NOT_CHARGED)
		return 0;
	held = bpf_map_lookup_elem(&charges, &uid);
	/* Only after a lost charge is there less than the ports. */
	if (held && __sync_fetch_and_sub(held, ports) < ports)
		*held = 0;
	return 0;
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

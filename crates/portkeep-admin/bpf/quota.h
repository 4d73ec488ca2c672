/* SPDX-License-Identifier: GPL-2.0 */
/* How much each unprivileged user holds. */
#ifndef PORTKEEP_QUOTA_H
#define PORTKEEP_QUOTA_H

#include "task.h"

static long drop_if_nothing_held(void *map, __u32 *uid, struct holdings *holdings, void *unused)
{
	if (!holdings->ports && !holdings->reservations && !holdings->chunks &&
	    !holdings->consumers)
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

static __always_inline int add_within(__u32 *held, __u32 amount, __u32 limit, int error)
{
	if (__sync_fetch_and_add(held, amount) + amount <= limit)
		return 0;
	__sync_fetch_and_sub(held, amount);
	return error;
}

static __always_inline void take_back(__u32 *held, __u32 amount)
{
	/* Only after a lost charge is less there than was charged. */
	if (__sync_fetch_and_sub(held, amount) < amount)
		*held = 0;
}

/* One entry of a table: within the user's quota, then within the share of all users. */
#define charge_entry(uid, field, quota, entries)                                                   \
	({                                                                                         \
		struct holdings *own_ = holdings_of(uid);                                          \
		struct counters *all_ = the_counters();                                            \
		int error_ = -ENOBUFS;                                                             \
		if (own_ && all_) {                                                                \
			error_ = add_within(&own_->field, 1, quota, -EDQUOT);                      \
			if (!error_) {                                                             \
				error_ = add_within(&all_->charged.field, 1,                       \
						    SHARE_OF_USERS(entries), -ENOBUFS);            \
				if (error_)                                                        \
					take_back(&own_->field, 1);                                \
			}                                                                          \
		}                                                                                  \
		error_;                                                                            \
	})

#define uncharge_entry(uid, field)                                                                 \
	({                                                                                         \
		struct holdings *own_ = bpf_map_lookup_elem(&charges, &(uid));                     \
		struct counters *all_ = the_counters();                                            \
		if (own_)                                                                          \
			take_back(&own_->field, 1);                                                \
		if (all_)                                                                          \
			take_back(&all_->charged.field, 1);                                        \
	})

/* A record more. Its ports bound how many a user has. */
__verified_alone int charge_reservation(__u32 uid)
{
	return uid == NOT_CHARGED ? 0 : charge_entry(uid, reservations, ~0U, RESERVATIONS_MAX);
}

__verified_alone int uncharge_reservation(__u32 uid)
{
	if (uid != NOT_CHARGED)
		uncharge_entry(uid, reservations);
	return 0;
}

__verified_alone int uncharge_ports(__u32 uid, __u32 ports)
{
	struct holdings *holdings;

	if (uid == NOT_CHARGED)
		return 0;
	holdings = bpf_map_lookup_elem(&charges, &uid);
	if (holdings)
		take_back(&holdings->ports, ports);
	return 0;
}

/* A reservation of so many ports. */
__verified_alone int charge(__u32 uid, __u32 ports)
{
	struct settings *settings = the_settings();
	struct holdings *holdings;
	int error;

	if (uid == NOT_CHARGED)
		return 0;
	holdings = holdings_of(uid);
	if (!holdings || !settings)
		return -ENOBUFS;
	error = add_within(&holdings->ports, ports, settings->quota, -EDQUOT);
	if (error)
		return error;
	error = charge_reservation(uid);
	if (error)
		uncharge_ports(uid, ports);
	return error;
}

__verified_alone int uncharge(__u32 uid, __u32 ports)
{
	uncharge_ports(uid, ports);
	return uncharge_reservation(uid);
}

static __always_inline int charge_chunk(__u32 uid)
{
	return uid == NOT_CHARGED ? 0 : charge_entry(uid, chunks, CHUNK_QUOTA, CHUNKS_MAX);
}

static __always_inline void uncharge_chunk(__u32 uid)
{
	if (uid != NOT_CHARGED)
		uncharge_entry(uid, chunks);
}

__verified_alone int charge_consumers(__u32 uid)
{
	return uid == NOT_CHARGED ?
		       0 :
		       charge_entry(uid, consumers, CONSUMERS_QUOTA, CONSUMERS_RECORDS_MAX);
}

__verified_alone int uncharge_consumers(__u32 uid)
{
	if (uid != NOT_CHARGED)
		uncharge_entry(uid, consumers);
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

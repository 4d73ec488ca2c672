/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The consumers of persistent reservations: read from the caller, kept, and
 * compared with whoever binds.
 */
#ifndef PORTKEEP_CONSUMERS_H
#define PORTKEEP_CONSUMERS_H

#include "option_value.h"
#include "reservation.h"

/* ---- is the caller one? ---- */

/* 65536 supplementary groups (NGROUPS_MAX) are halved so often. */
#define GROUP_STEPS 17

/* groups_search() of kernel/groups.c: the ids are sorted. */
__verified_alone bool is_in_group(__u32 gid)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct group_info *groups = kernel_object(group_info, task->cred->group_info);
	__u64 ids = address_of(groups) + bpf_core_field_offset(groups->gid);
	__u32 low = 0, high = kernel_read(groups, ngroups);

	if (task->cred->egid.val == gid)
		return true;
	for (int step = 0; step < GROUP_STEPS && low < high; step++) {
		__u32 middle = (low + high) / 2, id = 0;

		bpf_probe_read_kernel(&id, sizeof(id), (void *)(ids + middle * sizeof(id)));
		if (id == gid)
			return true;
		if (id < gid)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* A path of PATH_MAX bytes has half as many names. */
#define CGROUP_DEPTH 2048

struct cgroup_walk {
	__u64 cgroup; /* address */
	__u64 id;
	bool found;
};

static long visit_cgroup(__u32 index, struct cgroup_walk *walk)
{
	struct cgroup *cgroup = kernel_object(cgroup, walk->cgroup);
	struct kernfs_node *node = kernel_object(kernfs_node, kernel_read(cgroup, kn));
	struct cgroup_subsys_state *parent;

	if (kernel_read(node, id) == walk->id) {
		walk->found = true;
		return 1;
	}
	parent = kernel_read(cgroup, self.parent);
	if (!parent)
		return 1;
	walk->cgroup = address_of(container_of(parent, struct cgroup, self));
	return 0;
}

static __noinline bool is_in_cgroup(__u64 id)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct cgroup_walk walk = { .id = id };

	if (id == PORTKEEP_ROOT_CGROUP)
		return true;
	walk.cgroup = address_of(task->cgroups->dfl_cgrp);
	bpf_loop(CGROUP_DEPTH, visit_cgroup, &walk, 0);
	return walk.found;
}

static __always_inline bool is_user(__u32 uid)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();

	return task->cred->euid.val == uid;
}

__verified_alone bool is_consumer(__u32 kind, __u64 id)
{
	switch (kind) {
	case PORTKEEP_CONSUMER_UID:
		return is_user(id);
	case PORTKEEP_CONSUMER_GID:
		return is_in_group(id);
	case PORTKEEP_CONSUMER_CGROUP:
		return is_in_cgroup(id);
	default:
		return false;
	}
}

/* Whether the caller is a consumer of the persistent reservation with this token. */
static __noinline bool consumer_binds(__u64 netns, __u64 token)
{
	struct consumers_key key = { .netns = netns, .token = token };
	struct consumers *those = bpf_map_lookup_elem(&consumers, &key);

	if (!those)
		return false;
	for (__u32 i = 0; i < PORTKEEP_CONSUMERS_MAX && i < those->number; i++) {
		if (is_consumer(those->consumers[i].kind, those->consumers[i].id))
			return true;
	}
	return false;
}

/* ---- from the caller's ids to the kernel's ---- */

/* UID_GID_MAP_MAX_EXTENTS and UID_GID_MAP_MAX_BASE_EXTENTS (include/linux/user_namespace.h) */
#define EXTENTS 340
#define BASE_EXTENTS 5

struct id_search {
	__u64 extents; /* address */
	__u32 number;
	__u32 id;
	__u64 found;
};

#define NO_ID 0xffffffff /* of no user or group */

static long visit_extent(__u32 index, struct id_search *search)
{
	struct uid_gid_extent extent = {};
	__u64 address = search->extents + (__u64)index * sizeof(extent);

	if (index >= search->number)
		return 1;
	bpf_probe_read_kernel(&extent, sizeof(extent), (void *)address);
	if (search->id < extent.first || search->id - extent.first >= extent.count)
		return 0;
	search->found = extent.lower_first + (search->id - extent.first);
	return 1;
}

/* make_kuid() and make_kgid() of kernel/user_namespace.c; NO_ID for an id that is not mapped. */
static __noinline __u32 kernel_id(__u32 kind, __u64 id)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct user_namespace *ns = kernel_object(user_namespace, task->cred->user_ns);
	struct uid_gid_map *map = kind == PORTKEEP_CONSUMER_UID ? &ns->uid_map : &ns->gid_map;
	struct id_search search = { .id = id, .found = NO_ID };

	if (id >= NO_ID)
		return NO_ID;
	bpf_core_read(&search.number, sizeof(search.number), &map->nr_extents);
	if (search.number > BASE_EXTENTS)
		bpf_core_read(&search.extents, sizeof(search.extents), &map->forward);
	else
		search.extents = address_of(&map->extent);
	bpf_loop(EXTENTS, visit_extent, &search, 0);
	return search.found;
}

/* ---- reading and keeping them ---- */

/* 0 or -EINVAL; *kept is the consumer with the kernel's id. */
__verified_alone int read_consumer(struct bpf_sockopt *ctx, __u32 index,
				   struct portkeep_consumer *kept)
{
	struct portkeep_consumer *given = ctx->optval;

	if (!kept || index >= PORTKEEP_CONSUMERS_MAX)
		return -EINVAL;
	given = (void *)given + sizeof(struct portkeep_acquire) + index * sizeof(*given);
	if ((void *)(given + 1) > ctx->optval_end || given->reserved)
		return -EINVAL;
	kept->kind = given->kind;
	kept->reserved = 0;
	switch (given->kind) {
	case PORTKEEP_CONSUMER_UID:
	case PORTKEEP_CONSUMER_GID:
		kept->id = kernel_id(given->kind, given->id);
		return kept->id == NO_ID ? -EINVAL : 0;
	case PORTKEEP_CONSUMER_CGROUP:
		kept->id = given->id;
		return given->id ? 0 : -EINVAL;
	default:
		return -EINVAL;
	}
}

static __always_inline __u32 number_of_consumers(struct bpf_sockopt *ctx)
{
	return (value_length(ctx) - sizeof(struct portkeep_acquire)) /
	       sizeof(struct portkeep_consumer);
}

/* The user whose reservation it is: the first consumer that is one, else the caller. */
__verified_alone int check_consumers(struct bpf_sockopt *ctx, __u32 *owner_uid)
{
	__u32 number = number_of_consumers(ctx);
	bool named = false;

	if (!owner_uid)
		return -EINVAL;
	*owner_uid = current_process().uid;
	for (__u32 i = 0; i < PORTKEEP_CONSUMERS_MAX && i < number; i++) {
		struct portkeep_consumer consumer = {};

		if (read_consumer(ctx, i, &consumer))
			return -EINVAL;
		if (consumer.kind == PORTKEEP_CONSUMER_UID && !named) {
			*owner_uid = consumer.id;
			named = true;
		}
	}
	return 0;
}

/* Before the record is stored: who binds finds it first. */
__verified_alone int store_consumers(struct bpf_sockopt *ctx, const struct consumers_key *key)
{
	__u32 number = number_of_consumers(ctx);
	struct consumers_key own;
	struct consumers *those;
	void *empty = zeroes();

	if (!number)
		return 0;
	if (!key)
		return -EINVAL;
	/* Linux 6.1 takes no map key from the memory a function verified alone is given. */
	own = *key;
	if (!empty || bpf_map_update_elem(&consumers, &own, empty, BPF_ANY))
		return -ENOBUFS;
	those = bpf_map_lookup_elem(&consumers, &own);
	if (!those)
		return -ENOBUFS;
	for (__u32 i = 0; i < PORTKEEP_CONSUMERS_MAX && i < number; i++) {
		if (read_consumer(ctx, i, &those->consumers[i]))
			return -EINVAL;
	}
	those->number = number;
	return 0;
}

#endif /* PORTKEEP_CONSUMERS_H */

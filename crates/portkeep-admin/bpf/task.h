/* SPDX-License-Identifier: GPL-2.0 */
/* The caller: process, ancestry, capabilities, and the user whose quota counts. */
#ifndef PORTKEEP_TASK_H
#define PORTKEEP_TASK_H

#include "maps.h"

#define CAP_SETUID 7
#define CAP_NET_BIND_SERVICE 10
#define CAP_NET_ADMIN 12

/* User namespaces nest 32 deep at most (kernel/user_namespace.c). */
#define USER_NAMESPACE_DEPTH 33

/*
 * The maximum number of generations between the owner and a descendant. The walk
 * needs a bound; real process trees are far below it.
 */
#define ANCESTRY_DEPTH 4096

static __always_inline struct process current_process(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct process process = {
		.started = task->group_leader->start_boottime,
		.pid = task->tgid,
		.uid = task->cred->uid.val,
	};

	return process;
}

static __always_inline __u32 current_thread(void)
{
	return ((struct task_struct *)bpf_get_current_task_btf())->pid;
}

static __always_inline bool current_is(const struct process *process)
{
	struct process current = current_process();

	return current.pid == process->pid && current.started == process->started;
}

/* All that a record says about a process. */
struct owner {
	struct process process;
	__u64 user_ns; /* address */
	__u32 euid;
	char command[16];
};

static __always_inline struct owner current_owner(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct owner owner = {
		.process = current_process(),
		.user_ns = address_of(task->cred->user_ns),
		.euid = task->cred->euid.val,
	};

	bpf_probe_read_kernel(owner.command, sizeof(owner.command), &task->group_leader->comm);
	return owner;
}

struct ancestry {
	__u64 task; /* address */
	struct process ancestor;
	bool found;
};

static long visit_ancestor(__u32 generation, struct ancestry *ancestry)
{
	struct task_struct *task = kernel_object(task_struct, ancestry->task), *leader;
	__u32 pid = kernel_read(task, tgid);

	if (pid == ancestry->ancestor.pid) {
		leader = kernel_object(task_struct, kernel_read(task, group_leader));
		ancestry->found = kernel_read(leader, start_boottime) == ancestry->ancestor.started;
		return 1;
	}
	ancestry->task = address_of(kernel_read(task, real_parent));
	return pid <= 1;
}

/* Whether the caller is the process or one of its descendants. */
static __noinline bool current_descends_from(const struct process *process)
{
	struct ancestry ancestry = {
		.task = address_of((void *)bpf_get_current_task_btf()),
		.ancestor = *process,
	};

	bpf_loop(ANCESTRY_DEPTH, visit_ancestor, &ancestry, 0);
	return ancestry.found;
}

static __always_inline bool has_effective(const struct cred *cred, int capability)
{
	__u64 capabilities = 0;

	if (bpf_core_field_exists(cred->cap_effective.val))
		capabilities = cred->cap_effective.val;
	else
		bpf_core_read(&capabilities, sizeof(capabilities), &cred->cap_effective);
	return capabilities >> capability & 1;
}

/* Like capable() in the kernel: over the initial user namespace. */
static __always_inline bool capable(int capability)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	const struct cred *cred = task->cred;

	return cred->user_ns->level == 0 && has_effective(cred, capability);
}

/* Like ns_capable() in security/commoncap.c, over the network namespace at address. */
__verified_alone bool capable_over(__u64 address, int capability)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	const struct cred *cred = task->cred;
	struct user_namespace *own = cred->user_ns;
	struct net *net = kernel_object(net, address);
	struct user_namespace *ns = kernel_object(user_namespace, kernel_read(net, user_ns));

	for (int depth = 0; depth < USER_NAMESPACE_DEPTH; depth++) {
		struct user_namespace *parent;

		if ((__u64)ns == (__u64)own)
			return has_effective(cred, capability);
		if (kernel_read(ns, level) <= own->level)
			return false;
		parent = kernel_read(ns, parent);
		if ((__u64)parent == (__u64)own && kernel_read(ns, owner.val) == cred->euid.val)
			return true;
		ns = kernel_object(user_namespace, parent);
	}
	return false;
}

/* Halvings needed for 4096 ranges. */
#define SUBORDINATES_STEPS 13

/* The user who owns the subordinate id; the id itself if nobody does. */
static __always_inline __u32 owner_of_subordinate(__u32 uid)
{
	struct settings *settings = the_settings();
	__u32 low = 0, high = settings ? settings->subordinates : 0;

	for (int step = 0; step < SUBORDINATES_STEPS && low < high; step++) {
		__u32 middle = (low + high) / 2;
		struct subordinates *range = bpf_map_lookup_elem(&subordinates, &middle);

		if (!range)
			break;
		if (uid < range->first)
			high = middle;
		else if (uid > range->last)
			low = middle + 1;
		else
			return range->owner;
	}
	return uid;
}

/* The caller's outermost user namespace below the initial one; NULL if it is in none. */
static __always_inline struct user_namespace *outermost_namespace(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct user_namespace *ns = task->cred->user_ns;

	for (int depth = 0; depth < USER_NAMESPACE_DEPTH; depth++) {
		if (ns->level == 0)
			break;
		if (ns->level == 1)
			return ns;
		ns = ns->parent;
	}
	return NULL;
}

/*
 * The user whose quota an acquire counts against. In a user namespace, that is the
 * user who created the outermost one: the namespace may hold 65536 subordinate ids,
 * and a quota for each would not limit anyone. Outside, a subordinate id also counts
 * as its owner. If root created the namespace, for example for a container, root chose
 * the ids inside, and they count by themselves. A process that can become any user
 * counts as root, together with all others that can.
 */
__verified_alone __u32 accountable_user(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct user_namespace *ns;
	__u32 uid = task->cred->uid.val;

	if (capable(CAP_SETUID))
		return 0;
	ns = outermost_namespace();
	if (ns && !ns->owner.val)
		return uid;
	return owner_of_subordinate(ns ? ns->owner.val : uid);
}

#endif /* PORTKEEP_TASK_H */

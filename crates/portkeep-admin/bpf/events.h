/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What happens, for those who watch: a ring of events that every watcher reads at its own pace.
 *
 * A BPF_MAP_TYPE_RINGBUF has one consumer, and only root can open it. This ring is read
 * through getsockopt() (watch.h), so any user can watch, and any number of processes. A watcher
 * is a socket, so it ends as a reservation does, even by a crash. Writers never wait for
 * watchers: a slow one finds its events overwritten and counts them.
 *
 * Nothing is written while nobody watches. Refusals are always counted.
 */
#ifndef PORTKEEP_EVENTS_H
#define PORTKEEP_EVENTS_H

#include "task.h"

/* ---- maps ---- */

struct watching {
	__u32 watchers;
	__u32 reserved;
	__u64 written; /* events so far; the next one's number */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct watching);
} watching SEC(".maps");

/* A quarter of a megabyte. A command that reads every 20 ms misses nothing below 100,000 a second. */
#ifndef EVENTS_MAX
#define EVENTS_MAX 2048
#endif

struct event_slot {
	struct bpf_spin_lock lock;
	__u32 reserved;
	__u64 number; /* of the event, plus one; 0: none yet */
	struct portkeep_event event;
};

_Static_assert(sizeof(struct portkeep_event) == 96, "portkeep_event has padding");
_Static_assert(sizeof(struct event_slot) == 112, "event_slot has padding");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, EVENTS_MAX);
	__type(key, __u32);
	__type(value, struct event_slot);
} events SEC(".maps");

/* By kind of call, TCP before UDP: see refusals_key(). */
#define REFUSALS_MAX 6

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REFUSALS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} refusals SEC(".maps");

/* When Portkeep was last enabled (CLOCK_BOOTTIME, ns); the installer writes it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} enabled SEC(".maps");

/* ---- writing ---- */

static __always_inline struct watching *the_watching(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&watching, &zero);
}

static __always_inline bool anyone_watches(void)
{
	struct watching *watching = the_watching();

	return watching && *(volatile __u32 *)&watching->watchers;
}

static __always_inline void start_event(struct portkeep_event *event, __u8 kind)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();

	event->time = bpf_ktime_get_boot_ns();
	event->kind = kind;
	event->pid = task->tgid;
	event->uid = task->cred->uid.val;
	bpf_probe_read_kernel(event->command, sizeof(event->command), &task->group_leader->comm);
}

/* A writer that was overtaken by a whole round leaves the newer event alone. */
static __always_inline void write_event(const struct portkeep_event *event)
{
	struct watching *watching = the_watching();
	struct event_slot *slot;
	__u64 number;
	__u32 index;

	if (!watching)
		return;
	number = __sync_fetch_and_add(&watching->written, 1) + 1;
	index = (number - 1) % EVENTS_MAX;
	slot = bpf_map_lookup_elem(&events, &index);
	if (!slot)
		return;
	bpf_spin_lock(&slot->lock);
	if (slot->number < number) {
		slot->event = *event;
		slot->number = number;
	}
	bpf_spin_unlock(&slot->lock);
}

static __always_inline __u32 refusals_key(__u8 kind, __u16 protocol)
{
	return (kind - PORTKEEP_EVENT_BIND_REFUSED) * 2 + (protocol == IPPROTO_UDP);
}

static __always_inline void count_refusal(__u8 kind, __u16 protocol)
{
	__u32 key = refusals_key(kind, protocol);
	__u64 *count = bpf_map_lookup_elem(&refusals, &key);

	/* Programs of one CPU can preempt each other. */
	if (count)
		__sync_fetch_and_add(count, 1);
}

#endif /* PORTKEEP_EVENTS_H */

/* SPDX-License-Identifier: GPL-2.0 */
/* Refusals as events, and the sockets that watch. */
#ifndef PORTKEEP_WATCH_H
#define PORTKEEP_WATCH_H

#include "conflict.h"
#include "events.h"
#include "option_value.h"

/* ---- refusals ---- */

/* Adds what the conflict says, and whose reservation it is. */
static __always_inline void add_conflict(struct portkeep_event *event,
					 const struct portkeep_conflict *conflict)
{
	event->port = conflict->port;
	event->conflict = conflict->kind;
	event->owner_pid = conflict->owner_pid;
	event->owner_uid = conflict->owner_uid;
	event->since = conflict->since;
}

/* The record may have ended meanwhile: only what belongs to the refusal's owner is taken. */
static __noinline int add_reservation(struct portkeep_event *event, __u64 netns)
{
	__u32 port = bpf_ntohs(event->port ?: event->range.start);
	__u64 holder = reserving_netns(netns, event->protocol, port);
	struct reservation *reservation =
		holder == NO_NETNS ? NULL : reservation_with(holder, event->protocol, port);
	__u64 token;

	if (!reservation)
		return 0;
	token = *(volatile __u64 *)&reservation->token;
	if (!token || reservation->since != event->since)
		return 0;
	__builtin_memcpy(event->owner_command, reservation->command, sizeof(event->owner_command));
	event->persistent = !!(reservation->flags & PERSISTENT);
	if (*(volatile __u64 *)&reservation->token == token)
		event->token = token;
	else
		__builtin_memset(event->owner_command, 0, sizeof(event->owner_command));
	return 0;
}

/* Counts and tells of a refusal that is noted on sk; returns the error. */
static __noinline int report_refusal(void *sk, __u32 kind, __u32 protocol, __u32 port, int error)
{
	struct portkeep_event event = {};
	struct net *net = net_of(sk);
	struct socket_state *state;

	count_refusal(kind, protocol);
	if (!anyone_watches())
		return error;
	start_event(&event, kind);
	event.netns = kernel_read(net, net_cookie);
	event.protocol = protocol;
	event.error = -error;
	event.range.start = bpf_htons(port);
	event.range.count = 1;
	state = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	if (state) {
		add_conflict(&event, &state->conflict);
		if (event.since)
			add_reservation(&event, event.netns);
		event.token = event.token ?: state->associated;
	}
	write_event(&event);
	return error;
}

/* ---- watchers ---- */

/* Whose events a watcher is told of. */
enum watch_scope {
	WATCH_OWN, /* of its user */
	WATCH_NETNS, /* and of its network namespace */
	WATCH_ALL,
};

struct watch {
	__u64 next; /* the number of the next event to read */
	__u64 lost;
	__u64 netns;
	__u64 kinds;
	__u32 uid;
	__u32 scope;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct watch);
} watches SEC(".maps");

static __always_inline __u32 scope_of_caller(const void *sk)
{
	if (capable(CAP_NET_ADMIN))
		return WATCH_ALL;
	return capable_over(address_of(net_of(sk)), CAP_NET_ADMIN) ? WATCH_NETNS : WATCH_OWN;
}

/* The state tells the release hook that the socket watches. */
static __noinline int start_watch(struct bpf_sock *sk, __u64 netns, __u64 kinds)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct watching *watching = the_watching();
	struct socket_state *state;
	struct watch *watch;

	/* No hook would report its end. */
	if (is_kernel_socket(sk))
		return -EOPNOTSUPP;
	watch = bpf_sk_storage_get(&watches, sk, NULL, 0);
	if (watch) {
		watch->kinds = kinds;
		return 0;
	}
	state = bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	watch = bpf_sk_storage_get(&watches, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!state || !watch || !watching)
		return -ENOBUFS;
	watch->kinds = kinds;
	watch->netns = netns;
	watch->uid = task->cred->uid.val;
	watch->scope = scope_of_caller(sk);
	watch->next = *(volatile __u64 *)&watching->written;
	state->watches = 1;
	__sync_fetch_and_add(&watching->watchers, 1);
	return 0;
}

static __always_inline void stop_watch(struct socket_state *state)
{
	struct watching *watching = the_watching();

	if (!state->watches || !watching)
		return;
	state->watches = 0;
	__sync_fetch_and_sub(&watching->watchers, 1);
}

static __always_inline bool is_watched(const struct watch *watch,
				       const struct portkeep_event *event)
{
	if (watch->kinds && !(watch->kinds >> (event->kind & 63) & 1))
		return false;
	if (watch->scope == WATCH_ALL || event->uid == watch->uid)
		return true;
	if (watch->scope == WATCH_NETNS && event->netns == watch->netns)
		return true;
	return event->since && event->owner_uid == watch->uid;
}

/* ---- reading ---- */

/* As many as fit a page, the most that the kernel copies, with their head. */
#define EVENTS_AT_ONCE 42

_Static_assert(sizeof(struct portkeep_events) + EVENTS_AT_ONCE * sizeof(struct portkeep_event) <=
		       4096,
	       "the events fit a page");

struct event_reading {
	struct bpf_sockopt *ctx;
	struct watch *watch;
	__u64 end; /* the number of the first event that was not written when it began */
	__u32 number; /* of the events read */
	__u32 more;
};

static long read_event(__u32 turn, struct event_reading *reading)
{
	struct watch *watch = reading->watch;
	struct portkeep_event *to;
	struct event_slot *slot;
	bool wanted = false;
	__u64 number = watch->next + 1, found;
	__u32 index = watch->next % EVENTS_MAX, at = reading->number;

	if (number > reading->end)
		return 1;
	slot = bpf_map_lookup_elem(&events, &index);
	if (!slot)
		return 1;
	/* Linux 6.1 must see the bound next to the use. */
	barrier_var(at);
	if (at >= EVENTS_AT_ONCE) {
		reading->more = 1;
		return 1;
	}
	to = reading->ctx->optval + sizeof(struct portkeep_events) + at * sizeof(*to);
	if ((void *)(to + 1) > reading->ctx->optval_end) {
		reading->more = 1;
		return 1;
	}
	bpf_spin_lock(&slot->lock);
	found = slot->number;
	if (found == number) {
		wanted = is_watched(watch, &slot->event);
		if (wanted)
			*to = slot->event;
	}
	bpf_spin_unlock(&slot->lock);
	/* Its writer is not done yet. */
	if (found < number)
		return 1;
	watch->next++;
	if (found > number)
		watch->lost++;
	if (wanted)
		reading->number = at + 1;
	return 0;
}

static __noinline int read_events(struct bpf_sockopt *ctx, struct bpf_sock *sk)
{
	struct portkeep_events *head = ctx->optval;
	struct event_reading reading = { .ctx = ctx, .number = zero_for_loops };
	struct watching *watching = the_watching();
	__u32 zero = 0;
	__u64 *since = bpf_map_lookup_elem(&enabled, &zero);

	reading.watch = bpf_sk_storage_get(&watches, sk, NULL, 0);
	if (!reading.watch || !watching || !since)
		return -ENOENT;
	if ((void *)(head + 1) > ctx->optval_end)
		return -EINVAL;
	reading.end = *(volatile __u64 *)&watching->written;
	if (reading.end - reading.watch->next > EVENTS_MAX) {
		reading.watch->lost += reading.end - reading.watch->next - EVENTS_MAX;
		reading.watch->next = reading.end - EVENTS_MAX;
	}
	bpf_loop(EVENTS_MAX, read_event, &reading, 0);
	head = ctx->optval;
	if ((void *)(head + 1) > ctx->optval_end)
		return -EINVAL;
	head->lost = reading.watch->lost;
	head->enabled = *since;
	head->number = reading.number;
	head->more = reading.more;
	ctx->optlen = sizeof(*head) + reading.number * sizeof(struct portkeep_event);
	return 0;
}

#endif /* PORTKEEP_WATCH_H */

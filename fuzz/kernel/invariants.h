/* SPDX-License-Identifier: GPL-2.0 */
/* What holds between any two calls. */
#ifndef FUZZ_INVARIANTS_H
#define FUZZ_INVARIANTS_H

#include <stdio.h>

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#define FOR_EACH(one, map)                                                                         \
	for (struct entry *one = fake_map_of(&(map))->entries, *end_of_##one = one + ENTRIES;      \
	     one < end_of_##one; one++)                                                            \
		if (one->used)

static bool is_marked(__u64 netns, __u16 protocol, __u32 port, bool first)
{
	struct port_chunk *chunk = find_chunk(netns, protocol, port / 64);
	__u32 word = port / 64 % CHUNK_WORDS;

	if (!chunk)
		return false;
	return (first ? chunk->first[word] : chunk->reserved[word]) >> (port % 64) & 1;
}

static struct fake_socket *socket_at(__u64 address)
{
	for (unsigned int i = 0; i < SOCKETS; i++) {
		if (address == (__u64)&fake_sockets[i].given)
			return &fake_sockets[i];
	}
	return NULL;
}

/* The records agree with the bitmaps, both ways, and no two share a port. */
static void check_bitmaps(void)
{
	unsigned int words[1024] = {};
	__u64 marked = 0, recorded = 0;

	FOR_EACH(entry, reservations)
	{
		struct reservation_key *key = (void *)entry->key;
		struct reservation *it = entry->value;
		__u32 end = (__u32)it->start + it->count - 1;

		REQUIRE(it->token && it->count && end < 65536 && it->start);
		REQUIRE(it->start == key->start);
		REQUIRE(!(it->flags & CHANGING));
		REQUIRE((__u16)it->token == it->start);
		REQUIRE(token_protocol(it->token) == key->protocol);
		REQUIRE(is_marked(key->netns, key->protocol, it->start, true));
		for (__u32 port = it->start; port <= end; port++) {
			REQUIRE(is_marked(key->netns, key->protocol, port, false));
			REQUIRE(port == it->start ||
				!is_marked(key->netns, key->protocol, port, true));
		}
		recorded += it->count;
		for (__u32 word = it->start / 64; word <= end / 64; word++)
			words[word]++;
	}
	FOR_EACH(entry, port_chunks)
	{
		struct port_chunk *chunk = entry->value;

		for (unsigned int i = 0; i < CHUNK_WORDS; i++)
			marked += __builtin_popcountll(chunk->reserved[i]);
	}
	REQUIRE(marked == recorded);
	for (unsigned int word = 0; word < 1024; word++)
		REQUIRE(*(__u32 *)map_lookup(&occupied, &word) == words[word]);
}

/* Every reservation has an owner that lives, and counts once against somebody. */
static void check_owners(void)
{
	__u32 persistent = 0, everywhere = 0;

	FOR_EACH(entry, reservations)
	{
		struct reservation_key *key = (void *)entry->key;
		struct reservation *it = entry->value;

		if (it->flags & PERSISTENT) {
			persistent++;
			everywhere += !!(it->flags & PORTKEEP_EVERY_NETNS);
			REQUIRE((key->netns == EVERY_NETNS) ==
				!!(it->flags & PORTKEEP_EVERY_NETNS));
			REQUIRE(!it->acquirer);
		} else {
			struct fake_socket *socket = socket_at(it->acquirer);

			REQUIRE(socket && socket->open);
			REQUIRE(nets[socket->netns].net_cookie == key->netns);
			REQUIRE(socket->given.protocol == key->protocol);
		}
	}
	REQUIRE(the_counters()->persistent == persistent);
	REQUIRE(the_counters()->in_every_netns == everywhere);
	FOR_EACH(entry, consumers)
	{
		struct consumers_key *key = (void *)entry->key;
		struct reservation_key of = {
			.netns = key->netns,
			.protocol = token_protocol(key->token),
			.start = (__u16)key->token,
		};
		struct reservation *it = map_lookup(&reservations, &of);

		REQUIRE(it && it->flags & PERSISTENT && it->token == key->token);
	}
}

static __u32 charged_to(__u32 uid)
{
	__u32 ports = 0;

	FOR_EACH(entry, reservations)
	{
		struct reservation *it = entry->value;

		if (it->charged_uid == uid)
			ports += it->count;
	}
	return ports;
}

static void check_charges(void)
{
	FOR_EACH(entry, charges)
	{
		struct holdings *holdings = entry->value;
		__u32 uid, chunks = 0;

		memcpy(&uid, entry->key, sizeof(uid));
		REQUIRE(holdings->ports == charged_to(uid));
		REQUIRE(holdings->ports <= the_settings()->quota);
		FOR_EACH(chunk, port_chunks)
		{
			if (((struct port_chunk *)chunk->value)->charged_uid == uid)
				chunks++;
		}
		REQUIRE(holdings->chunks == chunks);
	}
	FOR_EACH(entry, reservations)
	{
		__u32 uid = ((struct reservation *)entry->value)->charged_uid;

		REQUIRE(uid == NOT_CHARGED || map_lookup(&charges, &uid));
	}
}

static void check_everything(void)
{
	REQUIRE(!held_locks);
	check_bitmaps();
	check_owners();
	check_charges();
}

/* ---- after a bind that succeeded, and an acquire ---- */

static struct reservation *reservation_over(__u64 netns, __u16 protocol, __u16 port)
{
	FOR_EACH(entry, reservations)
	{
		struct reservation_key *key = (void *)entry->key;
		struct reservation *it = entry->value;

		if (key->netns == netns && key->protocol == protocol && port >= it->start &&
		    port < (__u32)it->start + it->count)
			return it;
	}
	return NULL;
}

static bool is_descendant_of(const struct process *owner)
{
	for (struct task_struct *task = current;; task = task->real_parent) {
		if ((__u32)task->tgid == owner->pid)
			return task->start_boottime == owner->started;
		if (task->real_parent == task)
			return false;
	}
}

static bool is_allowed_consumer(__u64 netns, __u16 protocol, const struct reservation *it)
{
	struct consumers_key key = { .netns = netns, .token = it->token };
	struct consumers *those = map_lookup(&consumers, &key);

	for (__u32 i = 0; those && i < those->number; i++) {
		struct portkeep_consumer *one = &those->consumers[i];

		if ((one->kind == PORTKEEP_CONSUMER_UID && one->id == current->cred->euid.val) ||
		    (one->kind == PORTKEEP_CONSUMER_GID && one->id == current->cred->egid.val) ||
		    (one->kind == PORTKEEP_CONSUMER_CGROUP && one->id == PORTKEEP_ROOT_CGROUP))
			return true;
	}
	return false;
}

static void check_bind(const struct fake_socket *socket)
{
	__u64 netns = nets[socket->netns].net_cookie;
	__u16 protocol = socket->given.protocol;
	struct reservation *it = reservation_over(netns, protocol, socket->port);

	if (!it) {
		netns = EVERY_NETNS;
		it = reservation_over(netns, protocol, socket->port);
	}
	if (!it) {
		/* The block that it was to be bound in has ended, and it was refused. */
		REQUIRE(!socket->bound_through);
		return;
	}
	if (socket->bound_through) {
		REQUIRE(socket->bound_through == it->token);
		return;
	}
	if (it->flags & PERSISTENT)
		REQUIRE(is_allowed_consumer(netns, protocol, it));
	else if (it->flags & PORTKEEP_TREE)
		REQUIRE(is_descendant_of(&it->owner));
	else if (it->flags & PORTKEEP_PROCESS)
		REQUIRE((__u32)current->tgid == it->owner.pid);
	else
		REQUIRE(!"a stranger's bind succeeded");
}

/* Root of the first user namespace, of the second its root and who made it. */
static bool is_administrator_of(unsigned int netns)
{
	const struct cred *cred = current->cred;

	if (cred->cap_effective.val && cred->user_ns == &first_namespace)
		return true;
	return netns == 1 && cred->euid.val == container.owner.val;
}

static void check_block(const struct fake_socket *socket, const struct portkeep_instance *instance,
			__u32 flags, __u16 align)
{
	__u32 start = bpf_ntohs(instance->range.start), count = instance->range.count;

	REQUIRE(start && count && instance->token && !instance->reserved);
	REQUIRE(start % (align ?: 1) == 0);
	for (__u32 port = start; port < start + count; port++) {
		REQUIRE(port < AUTOMATIC_START || port > AUTOMATIC_END || is_protected(port));
		REQUIRE(flags & PORTKEEP_ADOPT ||
			!bound_to(socket->netns, socket->given.protocol, port));
		REQUIRE(port >= UNPRIVILEGED_START || is_administrator_of(socket->netns));
	}
}

#endif /* FUZZ_INVARIANTS_H */

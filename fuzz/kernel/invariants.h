/* SPDX-License-Identifier: GPL-2.0 */
/* What holds between any two calls. */
#ifndef FUZZ_INVARIANTS_H
#define FUZZ_INVARIANTS_H

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

/*
 * What holds at every instant, in the middle of others' calls, too: the ports of a reservation are
 * marked, and whoever binds near them looks.
 */
static void check_marks(void)
{
	FOR_EACH(entry, reservations)
	{
		struct reservation_key *key = (void *)entry->key;
		struct reservation *it = entry->value;
		__u32 end = (__u32)it->start + it->count - 1;

		if (!it->token)
			continue;
		REQUIRE(it->count && end < 65536 && it->start && it->start == key->start);
		REQUIRE((__u16)it->token == it->start);
		REQUIRE(token_protocol(it->token) == key->protocol);
		REQUIRE(it->flags & CHANGING ||
			is_marked(key->netns, key->protocol, it->start, true));
		for (__u32 port = it->start; port <= end; port++)
			REQUIRE(is_marked(key->netns, key->protocol, port, false));
		for (__u32 word = it->start / 64; word <= end / 64; word++)
			REQUIRE(*(__u32 *)map_lookup(&occupied, &word));
	}
}

/* The records agree with the bitmaps, both ways, and no two share a port. */
static void check_bitmaps(void)
{
	unsigned int words[1024] = {};
	__u64 marked = 0, firsts = 0, recorded = 0, records = 0;

	check_marks();

	FOR_EACH(entry, reservations)
	{
		struct reservation *it = entry->value;
		__u32 end = (__u32)it->start + it->count - 1;

		/* Nothing is left half done. */
		REQUIRE(it->token && !(it->flags & CHANGING) && !it->binding);
		records++;
		recorded += it->count;
		for (__u32 word = it->start / 64; word <= end / 64; word++)
			words[word]++;
	}
	FOR_EACH(entry, port_chunks)
	{
		struct port_chunk *chunk = entry->value;

		for (unsigned int i = 0; i < CHUNK_WORDS; i++) {
			marked += __builtin_popcountll(chunk->reserved[i]);
			firsts += __builtin_popcountll(chunk->first[i]);
		}
	}
	REQUIRE(marked == recorded);
	REQUIRE(firsts == records);
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

static struct holdings charged_to(__u32 uid)
{
	struct holdings sum = {};

	FOR_EACH(entry, reservations)
	{
		struct reservation_key *key = (void *)entry->key;
		struct reservation *it = entry->value;
		struct consumers_key of = { .netns = key->netns, .token = it->token };

		if (it->charged_uid != uid)
			continue;
		sum.ports += it->count;
		sum.reservations++;
		sum.consumers += !!map_lookup(&consumers, &of);
	}
	FOR_EACH(entry, port_chunks)
	sum.chunks += ((struct port_chunk *)entry->value)->charged_uid == uid;
	return sum;
}

/* Each user is charged for what there is of his, and all together stay within their share. */
static void check_charges(void)
{
	struct holdings all = {}, *charged = &the_counters()->charged;

	FOR_EACH(entry, charges)
	{
		struct holdings *holdings = entry->value, sum;
		__u32 uid;

		memcpy(&uid, entry->key, sizeof(uid));
		REQUIRE(uid != SUBORDINATE);
		sum = charged_to(uid);
		REQUIRE(!memcmp(holdings, &sum, sizeof(sum)));
		REQUIRE(sum.ports <= the_settings()->quota);
		REQUIRE(sum.chunks <= CHUNK_QUOTA && sum.consumers <= CONSUMERS_QUOTA);
		all.reservations += sum.reservations;
		all.chunks += sum.chunks;
		all.consumers += sum.consumers;
	}
	REQUIRE(!memcmp(charged, &all, sizeof(all)));
	REQUIRE(all.reservations <= SHARE_OF_USERS(RESERVATIONS_MAX));
	REQUIRE(all.chunks <= SHARE_OF_USERS(CHUNKS_MAX));
	REQUIRE(all.consumers <= SHARE_OF_USERS(CONSUMERS_RECORDS_MAX));
	FOR_EACH(entry, reservations)
	{
		__u32 uid = ((struct reservation *)entry->value)->charged_uid;

		REQUIRE(uid == NOT_CHARGED || map_lookup(&charges, &uid));
	}
}

/* Each socket that watches counts once, until it is closed. */
static void check_watchers(void)
{
	struct watching *watching_here = fake_map_of(&watching)->values;
	__u32 count = 0;

	for (unsigned int i = 0; i < SOCKETS; i++) {
		struct socket_state *state = fake_sockets[i].storage[0].value;

		count += fake_sockets[i].open && state && state->watches;
	}
	REQUIRE(watching_here->watchers == count);
}

static void check_everything(void)
{
	REQUIRE(!held_locks);
	check_bitmaps();
	check_owners();
	check_charges();
	check_watchers();
}

/* ---- after a bind that succeeded, and an acquire ---- */

static bool is_over(const struct entry *entry, __u64 netns, __u16 protocol, __u16 port)
{
	const struct reservation_key *key = (void *)entry->key;
	const struct reservation *it = entry->value;

	return key->netns == netns && key->protocol == protocol && port >= it->start &&
	       port < (__u32)it->start + it->count;
}

static struct reservation *reservation_over(__u64 netns, __u16 protocol, __u16 port)
{
	FOR_EACH(entry, reservations)
	{
		if (is_over(entry, netns, protocol, port))
			return entry->value;
	}
	return NULL;
}

/* Two reservations may cover a port while one is being cut. */
static bool is_covered_by(__u64 token, __u64 netns, __u16 protocol, __u16 port)
{
	FOR_EACH(entry, reservations)
	{
		struct reservation *it = entry->value;

		if (it->token == token && is_over(entry, netns, protocol, port))
			return true;
	}
	return false;
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

static bool is_same_user_as(const struct process *owner)
{
	for (unsigned int i = 0; i < sizeof(tasks) / sizeof(*tasks); i++) {
		const struct cred *cred = tasks[i].cred;

		if ((__u32)tasks[i].tgid == owner->pid)
			return cred->euid.val == current->cred->euid.val &&
			       cred->user_ns == current->cred->user_ns;
	}
	return false;
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

static bool may_bind_in(__u64 netns, __u16 protocol, const struct reservation *it)
{
	if (it->flags & PERSISTENT)
		return is_allowed_consumer(netns, protocol, it);
	if (it->flags & PORTKEEP_USER && is_same_user_as(&it->owner))
		return true;
	if (it->flags & PORTKEEP_TREE)
		return is_descendant_of(&it->owner);
	return it->flags & PORTKEEP_PROCESS && (__u32)current->tgid == it->owner.pid;
}

/*
 * Whether nothing is in the way of a bind: the port is free, and lies in a reservation, which may be
 * being cut elsewhere, in which the caller binds as it likes.
 */
static bool must_be_granted(const struct fake_socket *socket, __u16 port)
{
	__u64 netns = nets[socket->netns].net_cookie;
	__u16 protocol = socket->given.protocol;

	if (socket->port || socket->connected || associated_with(socket) ||
	    !is_available(socket, port))
		return false;
	FOR_EACH(entry, reservations)
	{
		struct reservation *it = entry->value;

		if (it->token && is_over(entry, netns, protocol, port) &&
		    may_bind_in(netns, protocol, it))
			return true;
	}
	return false;
}

/* What others did in the present call, after the bind perhaps: checks must allow for it. */
static unsigned int ended, adopted, claimed, changed;

static void check_bind(struct fake_socket *socket)
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
		REQUIRE(!socket->bound_through || ended);
		return;
	}
	socket->bound_in_block = true;
	if (socket->bound_through &&
	    is_covered_by(socket->bound_through, netns, protocol, socket->port))
		return;
	if (adopted && it->flags & PORTKEEP_ADOPT)
		return;
	if (socket->bound_through)
		/* A part of a block that was cut has another token. */
		REQUIRE(ended && it->flags & PERSISTENT);
	else
		REQUIRE(may_bind_in(netns, protocol, it) ||
			(it->flags & PERSISTENT ? changed : claimed));
}

/* A connect bound the socket: in the block that it is associated with, or what was that block. */
static void check_implicit_bind(struct fake_socket *socket)
{
	REQUIRE(socket->bound_through);
	check_bind(socket);
}

/* Root of the first user namespace, of the second its root and who made it. */
static bool is_administrator_of(unsigned int netns)
{
	const struct cred *cred = current->cred;

	if (cred->cap_effective.val && cred->user_ns == &first_namespace)
		return true;
	return netns == 1 && cred->euid.val == container.owner.val;
}

/* By a socket, or a connection, that has no business there. */
static bool is_in_use(const struct fake_socket *socket, __u64 where, __u16 port)
{
	__u16 protocol = socket->given.protocol;
	const struct fake_socket *user = bound_to(socket->netns, protocol, port);

	/* As soon as there is a record others may bind. */
	if (user)
		return user->bound_in != this_call || !user->bound_in_block;
	return protocol == IPPROTO_TCP && has_remains(socket->netns, port, false);
}

static void check_block(const struct fake_socket *socket, const struct portkeep_instance *instance,
			__u32 flags, __u16 align)
{
	__u32 start = bpf_ntohs(instance->range.start), count = instance->range.count;

	const __u64 where =
		flags & PORTKEEP_EVERY_NETNS ? EVERY_NETNS : nets[socket->netns].net_cookie;

	REQUIRE(start && count && instance->token && !instance->reserved);
	REQUIRE(start % (align ?: 1) == 0);
	for (__u32 port = start; port < start + count; port++) {
		REQUIRE(port < AUTOMATIC_START || port > AUTOMATIC_END || is_protected(port));
		REQUIRE(flags & PORTKEEP_ADOPT || !is_in_use(socket, where, port) ||
			(ended &&
			 !is_covered_by(instance->token, where, socket->given.protocol, port)));
		REQUIRE(port >= UNPRIVILEGED_START || is_administrator_of(socket->netns));
	}
}

#endif /* FUZZ_INVARIANTS_H */

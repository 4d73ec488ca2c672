// SPDX-License-Identifier: GPL-2.0
/*
 * Histories of calls, as a fuzzer's bytes say, against the kernel part compiled as an ordinary
 * program, with what must hold checked after each.
 */
#include "limits.h"

#include "portkeep.bpf.c"

#include "input.h"
#include "maps.h"
#include "tables.h"
#include "world.h"

#include "sockets.h"

#include "calls.h"
#include "invariants.h"
#include "moving.h"

/* ---- the bytes ---- */

/* A port near where things happen: a few words, the edges, the automatic range, the pool. */
static __u32 some_port(void)
{
	static const __u16 bases[] = { 0,     1020,  7780,  10040, 39990,
				       40090, 40195, 61000, 61030, 65530 };
	__u32 base = bases[byte() % (sizeof(bases) / sizeof(*bases))];

	return base + byte() % 32;
}

static __u32 some_count(void)
{
	static const __u16 counts[] = { 1, 2, 8, 63, 64, 65, 130, 0 };
	__u32 which = byte();

	return which < 250 ? counts[which % 8] : which << 8;
}

static __u64 tokens[16];
static unsigned int newest;

static __u64 some_token(void)
{
	__u32 which = byte();

	return which < 240 ? tokens[which % 16] : tokens[which % 16] + which - 248;
}

/* ---- the calls ---- */

static void note(__u64 token)
{
	tokens[newest++ % 16] = token;
}

/* The value of an acquire or a create, and how much of it is given. */
static unsigned int read_request(struct portkeep_acquire *request)
{
	__u32 shape = byte();

	*request = (struct portkeep_acquire){};
	request->range.start = bpf_htons(shape & 1 ? 0 : some_port());
	request->range.count = some_count();
	request->align = shape & 2 ? 1U << (byte() % 9) : 0;
	if (shape & 4)
		request->flags = byte() & (7 | PORTKEEP_USER);
	if (shape >= 248)
		request->reserved[shape % 6] = 1;
	return shape & 8 ? 4 : sizeof(*request);
}

static void do_acquire(struct fake_socket *socket)
{
	struct portkeep_acquire request;
	struct portkeep_instance instance = {};
	unsigned int length = read_request(&request);

	if (length == 4)
		request.flags = request.align = 0;
	if (set_socket_option(socket, PORTKEEP_ACQUIRE, &request, length))
		return;
	REQUIRE(!get_socket_option(socket, PORTKEEP_ACQUIRE, &instance, sizeof(instance)));
	REQUIRE(instance.range.count == request.range.count);
	REQUIRE(!request.range.start || instance.range.start == request.range.start);
	check_block(socket, &instance, 0, request.align);
	note(instance.token);
}

static void do_create(struct fake_socket *socket)
{
	struct {
		struct portkeep_acquire request;
		struct portkeep_consumer consumers[PORTKEEP_CONSUMERS_MAX + 1];
	} value = {};
	struct portkeep_instance instance = {};
	unsigned int length = sizeof(value.request), number, shape;
	__u32 flags;

	read_request(&value.request);
	shape = byte() % 16;
	if (shape % 8 == 0)
		value.request.flags |= PORTKEEP_EVERY_NETNS;
	if (shape >= 14 || shape == 8)
		value.request.flags |= PORTKEEP_CHANGE;
	number = byte() % (PORTKEEP_CONSUMERS_MAX + 2);
	for (unsigned int i = 0; i < number; i++) {
		value.consumers[i].kind = byte() % 5;
		value.consumers[i].id = byte() % 4 == 3 ? 1 : 998 + byte() % 4;
	}
	length += number * sizeof(*value.consumers) + (byte() % 16 == 15);
	if (length > sizeof(value))
		length = sizeof(value);
	if (set_socket_option(socket, PORTKEEP_CREATE, &value, length))
		return;
	REQUIRE(!get_socket_option(socket, PORTKEEP_CREATE, &instance, sizeof(instance)));
	flags = value.request.flags;
	changed += !!(flags & PORTKEEP_CHANGE);
	adopted += !!(flags & PORTKEEP_ADOPT);
	/* Nothing is taken by a change. */
	if (flags & PORTKEEP_CHANGE)
		flags |= PORTKEEP_ADOPT;
	check_block(socket, &instance, flags, value.request.align);
	note(instance.token);
}

static void with_token(struct fake_socket *socket, int option)
{
	__u64 token[9] = { some_token() }, associated = 0;
	unsigned int shape = byte();
	unsigned int length = shape < 200 ? sizeof(*token) : shape % sizeof(token);

	if (shape >= 240)
		token[1 + shape % 8] = 1;
	if (set_socket_option(socket, option, token, length))
		return;
	ended += option == PORTKEEP_RELEASE;
	claimed += option == PORTKEEP_CLAIM;
	if (option != PORTKEEP_ASSOCIATE)
		return;
	REQUIRE(!get_socket_option(socket, PORTKEEP_ASSOCIATE, &associated, sizeof(associated)));
	REQUIRE(associated == *token);
}

static void do_hand_over(struct fake_socket *socket)
{
	struct portkeep_heir heir = { .token = some_token(), .pidfd = byte() % (FILES + 2) - 1 };
	unsigned int shape = byte();
	struct reservation *reservation;
	int error;

	if (shape >= 248)
		heir.reserved = 1;
	error = set_socket_option(socket, PORTKEEP_HAND_OVER, &heir,
				  shape < 240 ? sizeof(heir) : shape % sizeof(heir));
	if (error)
		return;
	claimed++;
	REQUIRE(heir.pidfd >= 0 && heir.pidfd < TASKS && !heir.reserved);
	/* Another CPU may have taken it on meanwhile. */
	reservation = reservation_of(nets[socket->netns].net_cookie, heir.token);
	REQUIRE(!reservation || reservation->acquirer == address_of(&socket->sock) ||
		reservation->acquirer == address_of(&socket->given));
}

static void with_range(struct fake_socket *socket, int option)
{
	struct portkeep_delete request = {};
	__u32 shape = byte();

	request.range.start = bpf_htons(some_port());
	request.range.count = some_count();
	if (shape & 1)
		request.flags = PORTKEEP_PART;
	else if ((shape & 48) == 16)
		request.flags = PORTKEEP_SPLIT;
	else if ((shape & 48) == 32)
		request.flags = PORTKEEP_JOIN;
	if (shape & 2)
		request.flags |= PORTKEEP_EVERY_NETNS;
	if (shape >= 192)
		failures = 1U << (byte() % 3);
	if (!set_socket_option(socket, option, &request, shape & 4 ? 4 : sizeof(request)))
		ended += option == PORTKEEP_DELETE;
}

/* Nothing of the answer is what was in the buffer, nor is anything left out. */
static void read_conflict(struct fake_socket *socket)
{
	struct portkeep_conflict conflict;
	__u32 version;

	REQUIRE(!get_socket_option(socket, PORTKEEP_CONFLICT, &conflict, sizeof(conflict)));
	REQUIRE(!conflict.reserved && conflict.kind <= LAST_CONFLICT_KIND);
	REQUIRE(!get_socket_option(socket, PORTKEEP_VERSION, &version, sizeof(version)));
	REQUIRE(version == PORTKEEP_ABI_VERSION);
}

static void meanwhile(struct fake_socket *binding)
{
	struct task_struct *task = current;
	__u32 what = byte();
	struct fake_socket *other = &fake_sockets[what % SOCKETS];

	if (what < 200 || other->busy || !other->open)
		return;
	current = &tasks[byte() % TASKS];
	other->busy = true;
	if (what % 2)
		do_acquire(other);
	else
		do_create(other);
	other->busy = false;
	current = task;
}

static void do_bind(struct fake_socket *socket, __u32 which)
{
	__u32 address = which & 64 ? 1 : 0, port = which & 128 ? 0 : some_port();
	bool alone = undisturbed || !until_call;
	bool granted = port && alone && must_be_granted(socket, port);
	/* The bits of which beside the socket's number. */
	int error = bind_socket(socket, address, port, which & 32);

	REQUIRE(!error || !granted);
	if (!error && socket->port)
		check_bind(socket);
}

static void do_close(struct fake_socket *socket, bool time_wait)
{
	close_socket(socket, time_wait);
	ended++;
}

static void do_connect(struct fake_socket *socket, __u32 how)
{
	connect_socket(socket, (enum connecting)(how & (TO_OTHER_FAMILY | REFUSED)));
}

/* Bound, connected and closed with a TIME_WAIT: as others did before. */
static void do_short_connection(struct fake_socket *socket)
{
	if (socket->port || bind_socket(socket, 0, some_port(), false))
		return;
	check_bind(socket);
	if (is_tcp(socket) && !connect_socket(socket, 0))
		do_close(socket, true);
}

static void remove_one(void)
{
	struct remains *it = &remains[byte() % REMAINS];

	if (!it->used)
		return;
	lock_tcp_bucket(it->netns, it->sock.__sk_common.skc_num);
	remove_remains(it, this_call);
}

/* For the call to come: sockets that move meanwhile, and others' calls in the middle of it. */
struct plan {
	__u32 movers, until_call;
	bool reuse;
};

static struct plan plan;

static void make_plan(void)
{
	__u32 calls = byte();

	plan.movers = byte();
	/* 0 for no call of others; otherwise at once, or far into a long search. */
	plan.until_call = calls < 128 ? calls : (calls - 127) * 16;
	plan.reuse = plan.movers & 8;
}

static void do_call(struct fake_socket *socket, __u32 what, __u32 which);

static void call_of_another(void)
{
	struct task_struct *task = current;
	unsigned int netns = present_netns;
	int value = retval;
	__u32 what = byte(), which = byte();
	struct fake_socket *socket = &fake_sockets[which % SOCKETS];

	check_marks();
	if (socket->busy || !socket->open)
		return;
	current = &tasks[byte() % TASKS];
	socket->busy = true;
	do_call(socket, what, which);
	socket->busy = false;
	current = task;
	present_netns = netns;
	retval = value;
}

static void do_call(struct fake_socket *socket, __u32 what, __u32 which)
{
	switch (what % 16) {
	case 0 ... 3:
		do_acquire(socket);
		break;
	case 4:
		with_token(socket, PORTKEEP_RELEASE);
		break;
	case 5 ... 6:
		with_token(socket, PORTKEEP_ASSOCIATE);
		break;
	case 7:
		if (what & 128)
			do_hand_over(socket);
		else
			with_token(socket, PORTKEEP_CLAIM);
		break;
	case 8 ... 9:
		do_create(socket);
		break;
	case 10:
		with_range(socket, PORTKEEP_DELETE);
		break;
	case 11:
		with_range(socket, PORTKEEP_LOOKUP);
		break;
	case 12 ... 13:
		do_bind(socket, which);
		break;
	case 14:
		do_close(socket, what & 128);
		break;
	default:
		switch (what / 16) {
		case 1 ... 4:
			do_connect(socket, what / 16);
			break;
		case 5:
			disconnect_socket(socket);
			break;
		case 6:
			listen_and_get(socket);
			break;
		case 7:
			do_short_connection(socket);
			break;
		case 9:
			remove_one();
			break;
		case 10:
			socket->sock.__sk_common.skc_reuse = 1;
			break;
		case 11 ... 15:
			make_plan();
			break;
		default:
			if (which & 64) {
				__u64 kinds = which & 128 ? 0 : 1ULL << (which % 8);

				set_socket_option(socket, PORTKEEP_WATCH, &kinds, sizeof(kinds));
			}
			read_events_of(socket, which & 32 ? 4096 : which * 2);
			read_conflict(socket);
			failures = what & 128 ? byte() : 0;
		}
	}
}

static void do_one(void)
{
	__u32 what = byte(), which = byte();
	struct fake_socket *socket = &fake_sockets[which % SOCKETS];

	current = &tasks[byte() % TASKS];
	if (!socket->open) {
		unsigned int netns = current == &tasks[4] || what & 32;

		open_socket(socket, netns, what & 64, what & 128);
		return;
	}
	this_call++;
	ended = adopted = claimed = changed = 0;
	socket->busy = true;
	start_mover(&movers[0], &fake_sockets[plan.movers / 16 % SOCKETS]);
	if (plan.movers & 1)
		start_mover(&movers[1], &fake_sockets[plan.movers / 32 % SOCKETS]);
	if (!plan.movers)
		stop_movers();
	until_call = plan.until_call;
	reuse = plan.reuse;
	plan = (struct plan){};
	do_call(socket, what, which);
	stop_movers();
	socket->busy = false;
	reuse = false;
}

/* When all is closed and deleted nothing is left. */
static void end(void)
{
	failures = 0;
	for (unsigned int i = 0; i < SOCKETS; i++) {
		if (fake_sockets[i].open)
			close_socket(&fake_sockets[i], false);
	}
	check_everything();
	current = &tasks[0];
	FOR_EACH(entry, reservations)
	{
		struct reservation *it = entry->value;
		struct portkeep_delete request = {
			.range = { bpf_htons(it->start), it->count },
			.flags = it->flags & PORTKEEP_EVERY_NETNS,
		};
		struct reservation_key *key = (void *)entry->key;

		REQUIRE(it->flags & PERSISTENT);
		open_socket(&fake_sockets[0], key->netns == nets[1].net_cookie,
			    key->protocol == IPPROTO_TCP, false);
		REQUIRE(!set_socket_option(&fake_sockets[0], PORTKEEP_DELETE, &request,
					   sizeof(request)));
		close_socket(&fake_sockets[0], false);
	}
	REQUIRE(!fake_map_of(&reservations)->count);
	REQUIRE(!fake_map_of(&consumers)->count);
	check_everything();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	__u32 zero = 0;
	struct settings *settings_here;
	struct subordinates *range;

	make_maps();
	make_world();
	settings_here = map_lookup(&settings, &zero);
	settings_here->pool_start = 61000;
	settings_here->pool_end = 61300;
	settings_here->quota = 300;
	settings_here->subordinates = 2;
	range = map_lookup(&subordinates, &zero);
	range[0] = (struct subordinates){ SUBORDINATE - 7, SUBORDINATE, 1000 };
	range[1] = (struct subordinates){ SUBORDINATE + 1, SUBORDINATE + 1, 1001 };
	memset(tokens, 0, sizeof(tokens));
	newest = 0;
	plan = (struct plan){};
	input = data;
	input_end = data + size;
	while (input < input_end) {
		do_one();
		check_everything();
	}
	end();
	return 0;
}

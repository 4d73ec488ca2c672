/* SPDX-License-Identifier: GPL-2.0 */
/* The list of reservations, a file that everyone can read. */
#ifndef PORTKEEP_LIST_H
#define PORTKEEP_LIST_H

#include "reservation.h"

/* The list has columns of text, so a command shows only its visible bytes: 0x21 to 0x7e. */
__verified_alone char visible(char byte)
{
	return byte && (byte <= ' ' || byte > '~') ? '_' : byte;
}

static __always_inline void make_visible(char *to, const char *command)
{
	for (int i = 0; i < 15; i++)
		to[i] = visible(command[i]);
	if (!to[0])
		to[0] = '?';
}

/* The last column: as uid:1000,gid:44,cgroup:1234. */
static __always_inline void list_consumers(struct seq_file *seq, __u64 netns, __u64 token)
{
	static const char none[] = " -", first[] = " %s:%llu", next[] = ",%s:%llu";
	static const char kinds[4][8] = { "?", "uid", "gid", "cgroup" };
	struct consumers_key key = { .netns = netns, .token = token };
	struct consumers *those = bpf_map_lookup_elem(&consumers, &key);

	/* An empty list of consumers: none of them exist any more. */
	if (!those || !those->number) {
		bpf_seq_write(seq, none, sizeof(none) - 1);
		return;
	}
	for (__u32 i = 0; i < PORTKEEP_CONSUMERS_MAX && i < those->number; i++) {
		struct portkeep_consumer *consumer = &those->consumers[i];
		__u64 words[] = { (__u64)kinds[consumer->kind & 3], consumer->id };

		if (i)
			bpf_seq_printf(seq, next, sizeof(next), words, sizeof(words));
		else
			bpf_seq_printf(seq, first, sizeof(first), words, sizeof(words));
	}
}

/* One line per reservation, with the columns of the header line. */
SEC("iter/bpf_map_elem")
int portkeep_list(struct bpf_iter__bpf_map_elem *ctx)
{
	static const char header[] =
		"PROTOCOL PORTS FLAGS PID UID COMMAND SINCE TOKEN SOCKET NETNS LIFETIME CONSUMERS\n";
	static const char line[] = "%s %u-%u %s %u %u %s %llu %llu %llu %llu %s", end[] = "\n";
	static const char protocols[2][4] = { "tcp", "udp" };
	static const char lifetimes[2][16] = { "runtime", "persistent" };
	static const char flags[8][20] = {
		"-",	"process",	"tree",	     "process,tree",
		"user", "process,user", "tree,user", "process,tree,user",
	};
	struct seq_file *seq = ctx->meta->seq;
	struct reservation_key *key = ctx->key;
	struct reservation *reservation = ctx->value;
	char command[16] = {};
	__u32 which;

	/* The call after the last element has no key; after one element its number is 0 again. */
	if (!ctx->meta->seq_num && (key || !BPF_CORE_READ(seq, index)))
		bpf_seq_write(seq, header, sizeof(header) - 1);
	if (!key || !reservation || !reservation->token)
		return 0;
	make_visible(command, reservation->command);
	which = (reservation->flags & 3) | (reservation->flags & PORTKEEP_USER) >> 2;
	/* Linux 6.1 must see the bound next to the use. */
	barrier_var(which);

	__u64 columns[] = {
		(__u64)protocols[key->protocol == IPPROTO_UDP],
		reservation->start,
		reservation->start + reservation->count - 1,
		(__u64)flags[which & 7],
		reservation->owner.pid,
		reservation->owner.uid,
		(__u64)command,
		reservation->since,
		reservation->token,
		reservation->socket_cookie,
		key->netns,
		(__u64)lifetimes[!!(reservation->flags & PERSISTENT)],
	};
	bpf_seq_printf(seq, line, sizeof(line), columns, sizeof(columns));
	list_consumers(seq, key->netns, reservation->token);
	bpf_seq_write(seq, end, sizeof(end) - 1);
	return 0;
}

#endif /* PORTKEEP_LIST_H */

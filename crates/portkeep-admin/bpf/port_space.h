/* SPDX-License-Identifier: GPL-2.0 */
/* The ports of one protocol in one network namespace, as the kernel sees them. */
#ifndef PORTKEEP_PORT_SPACE_H
#define PORTKEEP_PORT_SPACE_H

#include "maps.h"

/* Addresses are kept as numbers: kernel_object() makes them pointers again. */
struct port_space {
	__u64 netns; /* cookie: whose bitmap is marked */
	__u64 other_netns; /* whose bitmap must be free, too: EVERY_NETNS, or the other way round */
	__u64 net;
	__u64 sockets; /* the hash table of bound sockets: the list head of its first bucket */
	__u32 sockets_stride; /* bytes from one list head to the next */
	__u32 sockets_mask;
	__u64 by_address; /* TCP: the first bucket of bhash2 */
	__u32 visited; /* entries of these tables, by all walks of this call */
	bool any_port; /* will do: no port is worth many visits */
	__u32 hash_mix;
	__u16 protocol;
	__u16 automatic_start; /* ip_local_port_range, inclusive */
	__u16 automatic_end;
	__u16 unprivileged_start; /* ip_unprivileged_port_start */
};

static __always_inline bool is_tcp_or_udp(__u32 family, __u32 type, __u32 protocol)
{
	if (family != AF_INET && family != AF_INET6)
		return false;
	return (protocol == IPPROTO_TCP && type == SOCK_STREAM) ||
	       (protocol == IPPROTO_UDP && type == SOCK_DGRAM);
}

/* Made by the kernel, though a program may hold it, as the TCP socket behind an SMC one. */
static __always_inline bool is_kernel_socket(const void *sk)
{
	struct sock *sock = kernel_object(sock, sk);

	if (bpf_ksym_exists(bpf_rdonly_cast))
		return BPF_CORE_READ_BITFIELD(sock, sk_kern_sock);
	return BPF_CORE_READ_BITFIELD_PROBED(sock, sk_kern_sock);
}

static __always_inline struct net *net_of(const void *sk)
{
	struct sock *sock = kernel_object(sock, sk);

	return kernel_object(net, kernel_read(sock, __sk_common.skc_net.net));
}

static __always_inline struct udp_table *udp_table_of(const void *sk, struct net *net)
{
	struct sock *sock = kernel_object(sock, sk);
	struct proto *proto;

	if (bpf_core_field_exists(net->ipv4.udp_table))
		return kernel_object(udp_table, kernel_read(net, ipv4.udp_table));
	proto = kernel_object(proto, kernel_read(sock, __sk_common.skc_prot));
	return kernel_object(udp_table, kernel_read(proto, h.udp_table));
}

static __always_inline void find_sockets(struct port_space *space, const void *sk, struct net *net)
{
	if (space->protocol == IPPROTO_TCP) {
		struct inet_hashinfo *table =
			kernel_object(inet_hashinfo, kernel_read(net, ipv4.tcp_death_row.hashinfo));

		space->by_address = address_of(kernel_read(table, bhash2));
		space->sockets = address_of(kernel_read(table, bhash)) +
				 bpf_core_field_offset(struct inet_bind_hashbucket, chain);
		space->sockets_stride = bpf_core_type_size(struct inet_bind_hashbucket);
		space->sockets_mask = kernel_read(table, bhash_size) - 1;
	} else {
		struct udp_table *table = udp_table_of(sk, net);

		space->sockets = address_of(kernel_read(table, hash)) +
				 bpf_core_field_offset(struct udp_hslot, head);
		space->sockets_stride = bpf_core_type_size(struct udp_hslot);
		space->sockets_mask = kernel_read(table, mask);
	}
}

static __always_inline void find_automatic_range(struct port_space *space, struct net *net)
{
	struct local_ports *ports = &net->ipv4.ip_local_ports;
	struct local_ports___word *word = (void *)ports;
	__u32 range[2] = {};

	if (bpf_core_field_exists(word->range)) {
		range[0] = kernel_read(word, range);
		range[1] = range[0] >> 16;
	} else {
		bpf_core_read(range, sizeof(range), &ports->range);
	}
	space->automatic_start = range[0];
	space->automatic_end = range[1];
}

/* netns: the cookie of sk's network namespace. */
static __always_inline void port_space_of(struct port_space *space, const void *sk, __u64 netns,
					  __u16 protocol)
{
	struct net *net = net_of(sk);

	space->netns = netns;
	space->visited = 0;
	space->any_port = false;
	space->other_netns = EVERY_NETNS;
	space->net = address_of(net);
	space->hash_mix = kernel_read(net, hash_mix);
	space->protocol = protocol;
	space->unprivileged_start = kernel_read(net, ipv4.sysctl_ip_prot_sock);
	find_automatic_range(space, net);
	find_sockets(space, sk, net);
}

/* The bits of a word of a port bitmap that stand for ports in first..last. */
static __always_inline __u64 word_mask(__u32 word, __u32 first, __u32 last)
{
	__u32 start = word * 64, end = start + 63;
	__u64 mask = ~0ULL;

	if (last < start || first > end)
		return 0;
	if (first > start)
		mask <<= first - start;
	if (last < end)
		mask &= ~0ULL >> (end - last);
	return mask;
}

/*
 * Automatic ports that connect() may take at any instant: in the range and not
 * kept out of it by ip_local_reserved_ports. No bind hook sees that happen, so
 * they cannot be reserved.
 */
static __always_inline __u64 unprotected_ports(const struct port_space *space, __u32 word)
{
	__u64 automatic = word_mask(word, space->automatic_start, space->automatic_end);
	__u64 kept = 0, bitmap;
	struct net *net;

	if (!automatic)
		return 0;
	net = kernel_object(net, space->net);
	bitmap = address_of(kernel_read(net, ipv4.sysctl_local_reserved_ports));
	bpf_probe_read_kernel(&kept, sizeof(kept), (void *)(bitmap + (__u64)word * sizeof(kept)));
	return automatic & ~kept;
}

/*
 * The lowest and the highest set bit of a word that has one. BPF has no
 * instruction for either, and with branches the verifier would follow 64 paths.
 */
static __always_inline __u32 lowest_bit(__u64 word)
{
	return __builtin_popcountll((word & -word) - 1);
}

static __always_inline __u32 highest_bit(__u64 word)
{
	for (int step = 1; step < 64; step *= 2)
		word |= word >> step;
	return __builtin_popcountll(word) - 1;
}

#endif /* PORTKEEP_PORT_SPACE_H */

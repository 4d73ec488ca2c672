/* SPDX-License-Identifier: GPL-2.0 */
/* Sockets: what programs see of them and keep with them, and the tables of those that are bound. */
#ifndef FUZZ_SOCKETS_H
#define FUZZ_SOCKETS_H

static struct fake_socket *socket_given(const void *pointer)
{
	for (unsigned int i = 0; i < SOCKETS; i++) {
		if (pointer == &fake_sockets[i].given)
			return &fake_sockets[i];
	}
	return NULL;
}

void *bpf_rdonly_cast(const void *object, __u32 type)
{
	struct fake_socket *socket = socket_given(object);

	return socket ? &socket->sock : (void *)object;
}

static unsigned int storage_size(const void *map)
{
	return map == &sockets ? sizeof(struct socket_state) : sizeof(struct acquisition);
}

void *storage_get(const void *map, const void *sk, unsigned long long flags)
{
	struct fake_socket *socket = socket_given(sk);
	struct storage *storage = &socket->storage[map == &sockets ? 0 : 1];

	if (!storage->value && flags & BPF_SK_STORAGE_GET_F_CREATE && !fails_now()) {
		storage->map = map;
		storage->value = calloc(1, storage_size(map));
		socket->sock.sk_bpf_storage = storage;
	}
	return storage->value;
}

long storage_delete(const void *map, const void *sk)
{
	struct storage *storage = &socket_given(sk)->storage[map == &sockets ? 0 : 1];

	if (!storage->value)
		return -ENOENT;
	free_later(storage->value);
	storage->value = NULL;
	return 0;
}

/* ---- the tables ---- */

static unsigned int bucket_for(const struct fake_socket *socket, __u16 port)
{
	return (port + nets[socket->netns].hash_mix) & (BUCKETS - 1);
}

static bool is_tcp(const struct fake_socket *socket)
{
	return socket->given.protocol == IPPROTO_TCP;
}

static void insert(struct fake_socket *socket, __u16 port)
{
	struct hlist_head *head;
	struct hlist_node *node;

	socket->port = port;
	socket->given.src_port = port;
	socket->sock.__sk_common.skc_num = port;
	if (is_tcp(socket)) {
		head = &tcp_buckets[bucket_for(socket, port)].chain;
		node = &socket->bucket.node;
		socket->bucket.ib_net.net = &nets[socket->netns];
		socket->bucket.port = port;
		socket->bucket.bhash2.first = &socket->address.bhash_node;
		socket->address.bhash_node.next = NULL;
		socket->address.owners.first = &socket->sock.__sk_common.skc_bind_node;
		socket->sock.__sk_common.skc_bind_node.next = NULL;
	} else {
		head = &udp_buckets[bucket_for(socket, port)].head;
		node = &socket->sock.__sk_common.skc_node;
	}
	node->next = head->first;
	head->first = node;
}

static void take_out(struct fake_socket *socket)
{
	struct hlist_head *head;
	struct hlist_node *node, **at;

	if (is_tcp(socket)) {
		head = &tcp_buckets[bucket_for(socket, socket->port)].chain;
		node = &socket->bucket.node;
	} else {
		head = &udp_buckets[bucket_for(socket, socket->port)].head;
		node = &socket->sock.__sk_common.skc_node;
	}
	for (at = &head->first; *at != node;)
		at = &(*at)->next;
	*at = node->next;
	socket->port = 0;
	socket->given.src_port = 0;
	socket->sock.__sk_common.skc_num = 0;
}

static struct fake_socket *bound_to(unsigned int netns, __u32 protocol, __u16 port)
{
	for (unsigned int i = 0; i < SOCKETS; i++) {
		struct fake_socket *socket = &fake_sockets[i];

		if (socket->open && socket->netns == netns && socket->port == port &&
		    socket->given.protocol == protocol)
			return socket;
	}
	return NULL;
}

static bool is_protected(__u16 port)
{
	return protected_ports[port / 64] >> (port % 64) & 1;
}

#endif /* FUZZ_SOCKETS_H */

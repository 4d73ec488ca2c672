/* SPDX-License-Identifier: GPL-2.0 */
/* Sockets: what programs see of them and keep with them, and how they get into the tables. */
#ifndef FUZZ_SOCKETS_H
#define FUZZ_SOCKETS_H

static unsigned int this_call;

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

	point();
	return socket ? &socket->sock : (void *)object;
}

static unsigned int storage_size(const void *map)
{
	if (map == &watches)
		return sizeof(struct watch);
	return map == &sockets ? sizeof(struct socket_state) : sizeof(struct acquisition);
}

static struct storage *storage_of(struct fake_socket *socket, const void *map)
{
	return &socket->storage[map == &sockets ? 0 : map == &acquisitions ? 1 : 2];
}

void *storage_get(const void *map, const void *sk, unsigned long long flags)
{
	struct fake_socket *socket = socket_given(sk);
	struct storage *storage = storage_of(socket, map);

	if (!storage->value && flags & BPF_SK_STORAGE_GET_F_CREATE && !fails_now()) {
		storage->map = map;
		storage->value = calloc(1, storage_size(map));
		socket->sock.sk_bpf_storage = storage;
	}
	return storage->value;
}

long storage_delete(const void *map, const void *sk)
{
	struct storage *storage = storage_of(socket_given(sk), map);

	if (!storage->value)
		return -ENOENT;
	free_later(storage->value, 0);
	storage->value = NULL;
	return 0;
}

/* ---- in the tables ---- */

static bool is_tcp(const struct fake_socket *socket)
{
	return socket->given.protocol == IPPROTO_TCP;
}

static struct hlist_head *udp_list(const struct fake_socket *socket, __u16 port)
{
	return &udp_buckets[(port + nets[socket->netns].hash_mix) & (BUCKETS - 1)].head;
}

/* Whoever changes the lists of a port's bucket waits for who is doing so; in moving.h. */
static void lock_tcp_bucket(unsigned int netns, __u16 port);

/* The steps of a socket's move from one list to another, each seen by who looks at the lists. */
static void take_off_list(struct fake_socket *socket)
{
	unlink_node(&socket->list->bucket.owners, &socket->sock.__sk_common.skc_bind_node);
	drop_empty_list(socket->list);
	socket->list = NULL;
}

static struct list *list_for(const struct fake_socket *socket)
{
	return make_list(port_bucket(&nets[socket->netns], socket->port), socket->address);
}

static void put_on_list(struct fake_socket *socket, struct list *list)
{
	socket->list = list;
	add_head(&list->bucket.owners, &socket->sock.__sk_common.skc_bind_node);
}

static void set_port(struct fake_socket *socket, __u16 port)
{
	socket->port = port;
	socket->given.src_port = port;
	socket->sock.__sk_common.skc_num = port;
}

static void insert(struct fake_socket *socket, __u16 port)
{
	set_port(socket, port);
	if (is_tcp(socket)) {
		lock_tcp_bucket(socket->netns, port);
		make_port_bucket(&nets[socket->netns], port);
		put_on_list(socket, list_for(socket));
	} else {
		add_head(udp_list(socket, port), &socket->sock.__sk_common.skc_node);
	}
	socket->bound_in = this_call;
	socket->bound_in_block = false;
}

static void take_out(struct fake_socket *socket)
{
	if (is_tcp(socket)) {
		lock_tcp_bucket(socket->netns, socket->port);
		take_off_list(socket);
		drop_empty_port_bucket(port_bucket(&nets[socket->netns], socket->port));
	} else {
		unlink_node(udp_list(socket, socket->port), &socket->sock.__sk_common.skc_node);
	}
	set_port(socket, 0);
	socket->port_is_locked = false;
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

/* Whether the kernel lets the socket have the port: strictly, but for SO_REUSEADDR over TIME_WAIT. */
static bool is_available(const struct fake_socket *socket, __u16 port)
{
	__u32 protocol = socket->given.protocol;

	if (bound_to(socket->netns, protocol, port))
		return false;
	if (!is_tcp(socket))
		return true;
	return !has_remains(socket->netns, port, false) &&
	       (socket->sock.__sk_common.skc_reuse || !has_remains(socket->netns, port, true));
}

static __u16 automatic_port(const struct fake_socket *socket)
{
	for (__u32 port = AUTOMATIC_START; port <= AUTOMATIC_END; port++) {
		if (!is_protected(port) && is_available(socket, port))
			return port;
	}
	return 0;
}

#endif /* FUZZ_SOCKETS_H */

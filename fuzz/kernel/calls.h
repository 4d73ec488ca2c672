/* SPDX-License-Identifier: GPL-2.0 */
/* The system calls, with the hooks where Linux has them. */
#ifndef FUZZ_CALLS_H
#define FUZZ_CALLS_H

#define EFAILED (-1) /* refused without a reason */

/* Runs a program at a socket's hook: what it returns. */
#define RUN(socket, program, context)                                                              \
	({                                                                                         \
		int result_;                                                                       \
		present_netns = (socket)->netns;                                                   \
		in_program++;                                                                      \
		result_ = program(context);                                                        \
		in_program--;                                                                      \
		grace_period();                                                                    \
		result_;                                                                           \
	})

static void open_socket(struct fake_socket *socket, unsigned int netns, bool tcp, bool v6)
{
	memset(socket, 0, sizeof(*socket));
	socket->open = true;
	socket->netns = netns;
	socket->given.family = v6 ? AF_INET6 : AF_INET;
	socket->given.type = tcp ? SOCK_STREAM : SOCK_DGRAM;
	socket->given.protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP;
	socket->sock.__sk_common.skc_state = TCP_CLOSE;
	socket->sock.__sk_common.skc_net.net = &nets[netns];
	socket->sock.__sk_common.skc_cookie.counter = ++now;
	socket->sock.sk_uid.val = current->cred->euid.val;
}

/* A TCP connection leaves a TIME_WAIT, or not if it is reset. */
static void close_socket(struct fake_socket *socket, bool time_wait)
{
	RUN(socket, portkeep_sock_release, &socket->given);
	if (socket->port && is_tcp(socket) && socket->connected && time_wait) {
		lock_tcp_bucket(socket->netns, socket->port);
		leave(&nets[socket->netns], socket->netns, socket->port, socket->address,
		      TCP_TIME_WAIT, this_call);
	}
	if (socket->port)
		take_out(socket);
	for (unsigned int i = 0; i < STORAGES; i++)
		free(socket->storage[i].value);
	socket->open = false;
}

/* The kernel's buffer has room for 16 bytes at least. */
static int set_socket_option(struct fake_socket *socket, int option, const void *value,
			     unsigned int length)
{
	unsigned int size = length < 16 ? 16 : length;
	unsigned char *buffer = calloc(1, size);
	struct bpf_sockopt context = {
		.sk = &socket->given,
		.optval = buffer,
		.optval_end = buffer + size,
		.level = SOL_PORTKEEP,
		.optname = option,
		.optlen = length,
	};
	int allowed;

	memcpy(buffer, value, length);
	retval = 0;
	allowed = RUN(socket, portkeep_setsockopt, &context);
	free(buffer);
	if (!allowed)
		return retval ? retval : EFAILED;
	return context.optlen == -1 ? 0 : -ENOPROTOOPT;
}

/* Whether length bytes were answered, to the last of them. */
static int get_socket_option(struct fake_socket *socket, int option, void *value,
			     unsigned int length)
{
	unsigned char buffer[64];
	struct bpf_sockopt context = {
		.sk = &socket->given,
		.optval = buffer,
		.optval_end = buffer + sizeof(buffer),
		.level = SOL_PORTKEEP,
		.optname = option,
		.optlen = length,
	};

	retval = -ENOPROTOOPT;
	if (!RUN(socket, portkeep_getsockopt, &context))
		return retval;
	memcpy(value, buffer, length);
	return retval;
}

/* What a watcher reads, with room for all of it or for less. */
static void read_events_of(struct fake_socket *socket, unsigned int length)
{
	unsigned char buffer[4096] = {};
	struct bpf_sockopt context = {
		.sk = &socket->given,
		.optval = buffer,
		.optval_end = buffer + length,
		.level = SOL_PORTKEEP,
		.optname = PORTKEEP_WATCH,
		.optlen = length,
	};
	struct portkeep_events *head = (void *)buffer;
	struct portkeep_event *event = (void *)(head + 1);
	struct watch *watch = socket->storage[2].value;

	retval = -ENOPROTOOPT;
	if (!RUN(socket, portkeep_getsockopt, &context)) {
		REQUIRE(retval == (watch ? -EINVAL : -ENOENT));
		return;
	}
	REQUIRE(context.optlen <= (int)length);
	REQUIRE(context.optlen == (int)(sizeof(*head) + head->number * sizeof(*event)));
	for (__u32 i = 0; i < head->number; i++, event++) {
		REQUIRE(event->kind >= PORTKEEP_EVENT_BIND_REFUSED &&
			event->kind <= PORTKEEP_EVENT_DELETED);
		REQUIRE(watch->scope == WATCH_ALL || event->uid == watch->uid ||
			event->owner_uid == watch->uid || event->netns == watch->netns);
		REQUIRE(event->protocol == IPPROTO_TCP || event->protocol == IPPROTO_UDP);
	}
}

/* ---- bind ---- */

/* What happens on another CPU at a moment of a bind; in fuzz.c. */
static void meanwhile(struct fake_socket *binding);

static struct bpf_sock_addr address_call(struct fake_socket *socket, __u16 port)
{
	struct bpf_sock_addr context = {
		.user_family = socket->given.family,
		.user_port = bpf_htons(port),
		.family = socket->given.family,
		.type = socket->given.type,
		.protocol = socket->given.protocol,
		.sk = &socket->given,
	};

	return context;
}

static __u64 associated_with(const struct fake_socket *socket)
{
	struct socket_state *state = socket->storage[0].value;

	return state ? state->associated : 0;
}

static void set_address(struct fake_socket *socket, __u32 address)
{
	socket->address = address;
	socket->given.src_ip4 = socket->given.src_ip6[3] = address;
}

/*
 * As inet_bind(): the hook, the kernel's choice and its check, and the second hook. no_port is
 * IP_BIND_ADDRESS_NO_PORT.
 */
static int bind_socket(struct fake_socket *socket, __u32 address, __u16 port, bool no_port)
{
	struct bpf_sock_addr context = address_call(socket, port);
	bool v4 = context.family == AF_INET;

	if (socket->port || socket->connected)
		return -EINVAL;
	retval = 0;
	socket->bound_through = associated_with(socket);
	if (!(v4 ? RUN(socket, portkeep_bind4, &context) : RUN(socket, portkeep_bind6, &context)))
		return retval ? retval : EFAILED;
	meanwhile(socket);
	port = bpf_ntohs(context.user_port);
	if (port || !no_port) {
		bool locked = port;

		port = port ?: automatic_port(socket);
		if (!port || !is_available(socket, port))
			return -EADDRINUSE;
		set_address(socket, address);
		insert(socket, port);
		meanwhile(socket);
		retval = 0;
		if (!(v4 ? RUN(socket, portkeep_post_bind4, &socket->given) :
			   RUN(socket, portkeep_post_bind6, &socket->given))) {
			take_out(socket);
			set_address(socket, 0);
			return retval ? retval : EFAILED;
		}
		socket->port_is_locked = locked;
	}
	set_address(socket, address);
	socket->address_is_locked = address;
	return 0;
}

/* bpf_bind(): no hook runs, and the port counts as asked for. */
long bind_by_program(void *pointer, const void *address, int length)
{
	struct bpf_sock_addr *context = pointer;
	struct fake_socket *socket = socket_given(context->sk);
	const struct sockaddr_in *v4 = address;
	const struct sockaddr_in6 *v6 = address;
	bool is_v4 = socket->given.family == AF_INET;
	__u16 port = bpf_ntohs(v4->sin_port);

	point();
	REQUIRE(socket->busy && v4->sin_family == socket->given.family);
	REQUIRE(length == (is_v4 ? sizeof(*v4) : sizeof(*v6)));
	REQUIRE((is_v4 ? v4->sin_addr : v6->sin6_addr[3]) == socket->address);
	REQUIRE(port && !socket->port);
	if (port < UNPRIVILEGED_START && !current->cred->cap_effective.val)
		return -EACCES;
	if (!is_available(socket, port))
		return -EADDRINUSE;
	insert(socket, port);
	socket->port_is_locked = true;
	point();
	return 0;
}

/* ---- connect ---- */

/* What a connect does besides; from the input. */
enum connecting {
	TO_OTHER_FAMILY = 1,
	REFUSED = 2, /* by the other end */
};

/* In invariants.h. */
static void check_implicit_bind(struct fake_socket *socket);

static int connect_hook(struct fake_socket *socket, bool other_family)
{
	struct bpf_sock_addr context = address_call(socket, 80);
	/* UDP over IPv6 hands IPv4 addresses to the other hook. */
	bool v4 = context.family == AF_INET;

	if (other_family) {
		context.user_family = v4 ? AF_INET6 : AF_INET;
		v4 = v4 || !is_tcp(socket);
	}
	retval = 0;
	if (v4 ? RUN(socket, portkeep_connect4, &context) :
		 RUN(socket, portkeep_connect6, &context))
		return 0;
	return retval ? retval : EFAILED;
}

/* Moves at once; step by step it is done in moving.h. */
static void move_to(struct fake_socket *socket, __u32 address)
{
	if (socket->address_is_locked)
		return;
	if (!is_tcp(socket) || !socket->port) {
		set_address(socket, address);
		return;
	}
	lock_tcp_bucket(socket->netns, socket->port);
	take_off_list(socket);
	set_address(socket, address);
	put_on_list(socket, list_for(socket));
}

/* A port that was not asked for goes with the connection. */
static void come_apart(struct fake_socket *socket)
{
	socket->connected = false;
	socket->sock.__sk_common.skc_state = TCP_CLOSE;
	move_to(socket, 0);
	if (socket->port && !socket->port_is_locked)
		take_out(socket);
}

static int connect_socket(struct fake_socket *socket, enum connecting how)
{
	bool unbound = !socket->port, other_family = how & TO_OTHER_FAMILY;
	int error;

	/* Datagram sockets may be connected again. */
	if (is_tcp(socket) && (socket->connected || socket->listening))
		return -EINVAL;
	socket->bound_through = associated_with(socket);
	error = connect_hook(socket, other_family);
	if (error) {
		REQUIRE(unbound && !socket->port);
		return error;
	}
	if (other_family && is_tcp(socket)) {
		REQUIRE(unbound == !socket->port);
		return -EINVAL;
	}
	if (unbound && socket->port)
		check_implicit_bind(socket);
	else if (unbound)
		REQUIRE(!socket->bound_through);
	/* The kernel's choice, which no hook sees. */
	if (!socket->port) {
		__u16 port = automatic_port(socket);

		if (!port)
			return -EADDRINUSE;
		insert(socket, port);
	}
	/* UDP is bound before the address is looked at. */
	if (other_family && socket->given.family == AF_INET)
		return -EINVAL;
	move_to(socket, 1);
	socket->connected = true;
	socket->sock.__sk_common.skc_state = TCP_ESTABLISHED;
	if (how & REFUSED && is_tcp(socket))
		come_apart(socket);
	return 0;
}

/* connect() to AF_UNSPEC, connected or not. */
static void disconnect_socket(struct fake_socket *socket)
{
	if (!socket->listening)
		come_apart(socket);
}

/* Listens, and gets a connection, which stays on a list of its own if the listener goes. */
static void listen_and_get(struct fake_socket *socket)
{
	if (!is_tcp(socket) || !socket->port || socket->connected)
		return;
	socket->listening = true;
	lock_tcp_bucket(socket->netns, socket->port);
	leave(&nets[socket->netns], socket->netns, socket->port, 2, TCP_ESTABLISHED, this_call);
}

#endif /* FUZZ_CALLS_H */

/* SPDX-License-Identifier: GPL-2.0 */
/* The system calls, with the hooks where Linux has them. */
#ifndef FUZZ_CALLS_H
#define FUZZ_CALLS_H

static void open_socket(struct fake_socket *socket, unsigned int netns, bool tcp, bool v6)
{
	memset(socket, 0, sizeof(*socket));
	socket->open = true;
	socket->netns = netns;
	socket->given.family = v6 ? AF_INET6 : AF_INET;
	socket->given.type = tcp ? SOCK_STREAM : SOCK_DGRAM;
	socket->given.protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP;
	socket->sock.__sk_common.skc_net.net = &nets[netns];
	socket->sock.__sk_common.skc_cookie.counter = ++now;
	socket->sock.sk_uid.val = current->cred->euid.val;
}

static void close_socket(struct fake_socket *socket)
{
	present_netns = socket->netns;
	portkeep_sock_release(&socket->given);
	grace_period();
	if (socket->port)
		take_out(socket);
	for (unsigned int i = 0; i < 2; i++)
		free(socket->storage[i].value);
	socket->open = false;
}

/* As __cgroup_bpf_run_filter_setsockopt(): the value is in a buffer of 16 bytes at least. */
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
	present_netns = socket->netns;
	retval = 0;
	allowed = portkeep_setsockopt(&context);
	grace_period();
	free(buffer);
	if (!allowed)
		return retval ? retval : -1;
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

	present_netns = socket->netns;
	retval = -ENOPROTOOPT;
	if (!portkeep_getsockopt(&context))
		return retval;
	grace_period();
	memcpy(value, buffer, length);
	return retval;
}

/* What happens on another CPU at a moment of a bind; in fuzz.c. */
static void meanwhile(struct fake_socket *binding);

/* As inet_bind(): the hook, the kernel's choice and its check, and the second hook. */
static int bind_socket(struct fake_socket *socket, __u16 port)
{
	struct bpf_sock_addr context = {
		.user_family = socket->given.family,
		.user_port = bpf_htons(port),
		.family = socket->given.family,
		.type = socket->given.type,
		.protocol = socket->given.protocol,
		.sk = &socket->given,
	};
	struct socket_state *state = socket->storage[0].value;

	if (socket->port)
		return -EINVAL;
	present_netns = socket->netns;
	retval = 0;
	socket->bound_through = state ? state->associated : 0;
	if (!(context.family == AF_INET ? portkeep_bind4 : portkeep_bind6)(&context)) {
		grace_period();
		return retval ? retval : -1;
	}
	grace_period();
	meanwhile(socket);
	port = bpf_ntohs(context.user_port);
	for (__u32 any = AUTOMATIC_START; !port && any <= AUTOMATIC_END; any++) {
		if (!is_protected(any) && !bound_to(socket->netns, socket->given.protocol, any))
			port = any;
	}
	if (!port || bound_to(socket->netns, socket->given.protocol, port))
		return -EADDRINUSE;
	insert(socket, port);
	meanwhile(socket);
	retval = 0;
	if ((context.family == AF_INET ? portkeep_post_bind4 : portkeep_post_bind6)(&socket->given))
		return 0;
	take_out(socket);
	return retval ? retval : -1;
}

#endif /* FUZZ_CALLS_H */

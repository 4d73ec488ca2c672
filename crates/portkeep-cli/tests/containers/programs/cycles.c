/* Binds to each port of PORTKEEP_TCP and PORTKEEP_UDP in a process of its own, all at once, over and over:
 * at each address in turn, and of TCP with a connection. */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct place {
	int family;
	const char *address, *from;
} places[] = {
	{ AF_INET, "127.0.0.1", "127.0.0.1" },
	{ AF_INET6, "::", "::1" },
	{ AF_INET6, "::1", "::1" },
	{ AF_INET, "0.0.0.0", "127.0.0.1" },
};

static socklen_t fill(struct sockaddr_storage *to, int family, const char *address, int port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)to;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;

	memset(to, 0, sizeof(*to));
	to->ss_family = family;
	if (family == AF_INET) {
		v4->sin_port = htons(port);
		inet_pton(family, address, &v4->sin_addr);
		return sizeof(*v4);
	}
	v6->sin6_port = htons(port);
	inet_pton(family, address, &v6->sin6_addr);
	return sizeof(*v6);
}

static void once(int type, int port, const struct place *place, int flags)
{
	struct sockaddr_storage address;
	int on = 1, server, client, accepted;
	socklen_t length;

	server = socket(place->family, type, 0);
	if (flags)
		setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	length = fill(&address, place->family, place->address, port);
	if (bind(server, (struct sockaddr *)&address, length))
		err(1, "bind %s %d %d", place->address, port, type);
	if (type == SOCK_STREAM && listen(server, 5))
		err(1, "listen %s %d", place->address, port);
	client = socket(place->family, type, 0);
	length = fill(&address, place->family, place->from, port);
	if (connect(client, (struct sockaddr *)&address, length))
		err(1, "connect %s %d", place->from, port);
	if (write(client, "x", 1) != 1)
		err(1, "write");
	if (type == SOCK_STREAM) {
		accepted = accept(server, NULL, NULL);
		if (accepted < 0)
			err(1, "accept");
		/* The client's end waits then, at a port of its own. */
		if (read(accepted, &on, 1) != 1)
			err(1, "read");
		close(client);
		close(accepted);
	} else {
		if (read(server, &on, 1) != 1)
			err(1, "read");
		close(client);
	}
	close(server);
}

static int start(const char *list, int type, int cycles)
{
	char *copy = strdup(list ? list : ""), *word, *rest = copy;
	int count = 0;

	while ((word = strsep(&rest, ",")) && *word) {
		int port = atoi(word);

		count++;
		if (fork())
			continue;
		for (int i = 0; i < cycles; i++)
			/* Without the flag there would be connections in the way. */
			once(type, port, &places[i % 4], type == SOCK_STREAM);
		_exit(0);
	}
	free(copy);
	return count;
}

int main(int argc, char **argv)
{
	int cycles = argc > 1 ? atoi(argv[1]) : 8;
	int count = start(getenv("PORTKEEP_TCP"), SOCK_STREAM, cycles);
	int failed = 0, status;

	count += start(getenv("PORTKEEP_UDP"), SOCK_DGRAM, cycles);
	for (int i = 0; i < count; i++)
		if (wait(&status) < 0 || status)
			failed++;
	printf("%d of %d failed\n", failed, count);
	return 0;
}

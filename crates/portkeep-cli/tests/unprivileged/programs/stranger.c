/*
 * Tries to get a port until SIGTERM, or so many times: of both families, at all addresses and at the loopback one, with
 * every combination of SO_REUSEADDR and SO_REUSEPORT; with "unshared", without the latter. With
 * "devices" sockets are also bound to the loopback device, and to one that does not exist.
 * Prints an empty line once it has made ENOUGH attempts, and at the end how many attempts it made and
 * how many of them succeeded.
 *
 *	stranger PORT tcp|udp all|unshared none|devices [ATTEMPTS]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif

/* Each combination several times. */
#define ENOUGH 200

static volatile sig_atomic_t stopped;

static void stop(int number)
{
	(void)number;
	stopped = 1;
}

static int attempt(int type, int port, unsigned int kind, int device)
{
	int family = kind & 1 ? AF_INET6 : AF_INET, one = 1, result;
	int s = socket(family, type, 0);

	if (s < 0)
		return -1;
	if (kind & 4)
		setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (kind & 8)
		setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (device)
		setsockopt(s, SOL_SOCKET, SO_BINDTOIFINDEX, &device, sizeof(device));
	if (family == AF_INET) {
		struct sockaddr_in to = {
			.sin_family = AF_INET,
			.sin_port = htons(port),
			.sin_addr.s_addr = htonl(kind & 2 ? INADDR_LOOPBACK : INADDR_ANY),
		};
		result = bind(s, (struct sockaddr *)&to, sizeof(to));
	} else {
		struct sockaddr_in6 to = {
			.sin6_family = AF_INET6,
			.sin6_port = htons(port),
			.sin6_addr = kind & 2 ? in6addr_loopback : in6addr_any,
		};
		result = bind(s, (struct sockaddr *)&to, sizeof(to));
	}
	/* An IPv6 address is of a device that exists. */
	if (result != 0 && errno != EADDRINUSE && !(device && errno == ENODEV)) {
		perror("stranger: bind");
		exit(1);
	}
	close(s);
	return result;
}

int main(int argc, char **argv)
{
	static const int devices[] = { 0, 1, 999999 };
	unsigned long attempts = 0, got = 0, limit = -1UL;
	unsigned int kinds, used;
	int port, type;

	if (argc < 5 || argc > 6)
		return 2;
	if (argc == 6)
		limit = strtoul(argv[5], NULL, 10);
	port = atoi(argv[1]);
	type = strcmp(argv[2], "tcp") ? SOCK_DGRAM : SOCK_STREAM;
	kinds = strcmp(argv[3], "all") ? 8 : 16;
	used = strcmp(argv[4], "devices") ? 1 : 3;
	signal(SIGTERM, stop);
	while (!stopped && attempts < limit) {
		if (attempt(type, port, attempts % kinds, devices[attempts / kinds % used]) == 0)
			got++;
		if (++attempts == ENOUGH) {
			putchar('\n');
			fflush(stdout);
		}
	}
	printf("%lu %lu\n", attempts, got);
	return 0;
}

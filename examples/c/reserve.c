/*
 * Reserves a block of eight TCP ports, shows that a stranger cannot bind in it,
 * binds a socket of its own there, and gives the block back. No library is
 * needed: bpf/portkeep.h names the socket options and lays out their values.
 *
 *     cc -I bpf -o examples/c/reserve examples/c/reserve.c && examples/c/reserve
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "portkeep.h"

static void fail(const char *what)
{
	if (errno == ENOPROTOOPT)
		fprintf(stderr, "error: Portkeep is not enabled here\n"
				"Hint: run `portkeep enable` as root\n");
	else
		fprintf(stderr, "error: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static int tcp_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail("socket");
	return fd;
}

static struct sockaddr_in loopback(unsigned int port)
{
	struct sockaddr_in address;

	memset(&address, 0, sizeof(address));
	address.sin_family = AF_INET;
	address.sin_port = htons(port);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

/* bind(2): 0 or, as everywhere, -1 and errno. */
static int bind_port(int fd, unsigned int port)
{
	struct sockaddr_in address = loopback(port);

	return bind(fd, (struct sockaddr *)&address, sizeof(address));
}

static unsigned int local_port(int fd)
{
	struct sockaddr_in address;
	socklen_t size = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &size))
		fail("getsockname");
	return ntohs(address.sin_port);
}

/* Reserves ports for as long as the socket is open. */
static struct portkeep_instance reserve(int fd, unsigned short count)
{
	/*
	 * The start is in network byte order, as in a sockaddr, and 0 asks for
	 * any free block; the count and all else is in host byte order.
	 */
	struct portkeep_range wanted = { htons(0), count };
	struct portkeep_instance block;
	socklen_t size = sizeof(block);

	if (setsockopt(fd, SOL_PORTKEEP, PORTKEEP_ACQUIRE, &wanted, sizeof(wanted)))
		fail("reserve ports");
	/* Reads what this very thread acquired last on this socket. */
	if (getsockopt(fd, SOL_PORTKEEP, PORTKEEP_ACQUIRE, &block, &size))
		fail("read the reservation");
	return block;
}

static void show_refusal(int fd, unsigned int port)
{
	struct portkeep_conflict conflict;
	socklen_t size = sizeof(conflict);

	if (!bind_port(fd, port)) {
		fprintf(stderr, "error: a stranger took port %u\n", port);
		exit(EXIT_FAILURE);
	}
	printf("a stranger's bind to port %u: %s\n", port, strerror(errno));

	if (getsockopt(fd, SOL_PORTKEEP, PORTKEEP_CONFLICT, &conflict, &size))
		fail("read who is in the way");
	if (conflict.kind == PORTKEEP_CONFLICT_RESERVED)
		printf("port %u is reserved by process %u, user %u\n", ntohs(conflict.port),
		       conflict.owner_pid, conflict.owner_uid);
}

int main(void)
{
	int holder = tcp_socket(), stranger = tcp_socket(), server = tcp_socket();
	struct portkeep_instance block = reserve(holder, 8);
	unsigned int start = ntohs(block.range.start);

	printf("process %d reserved ports %u-%u, token %" PRIu64 "\n", (int)getpid(), start,
	       start + block.range.count - 1, (uint64_t)block.token);

	/* Any socket that is not associated is a stranger, be it of the same process. */
	show_refusal(stranger, start);

	/* Associated with the token, a socket may bind in the block; to port 0, to any port of it. */
	if (setsockopt(server, SOL_PORTKEEP, PORTKEEP_ASSOCIATE, &block.token, sizeof(block.token)))
		fail("associate the server");
	if (bind_port(server, 0))
		fail("bind the server");
	printf("the server's bind to port 0 took port %u\n", local_port(server));

	/* A server that is bound keeps its port when the reservation ends: close it too. */
	close(server);
	close(holder);
	if (bind_port(stranger, start))
		fail("bind the stranger after the release");
	printf("released: the stranger has port %u\n", local_port(stranger));
	close(stranger);
	return EXIT_SUCCESS;
}

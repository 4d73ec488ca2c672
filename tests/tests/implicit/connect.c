/* Acquires four ports, and connects associated sockets without binding them. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "portkeep.h"

#define COUNT 4

static struct sockaddr_in address;

static int associated(int type, __u64 token)
{
	int fd = socket(AF_INET, type, 0);

	assert(!setsockopt(fd, SOL_PORTKEEP, PORTKEEP_ASSOCIATE, &token, sizeof(token)));
	return fd;
}

static int connect_errno(int fd)
{
	return connect(fd, (struct sockaddr *)&address, sizeof(address)) ? errno : 0;
}

static int port_of(int fd)
{
	struct sockaddr_in name;
	socklen_t length = sizeof(name);

	assert(!getsockname(fd, (struct sockaddr *)&name, &length));
	return ntohs(name.sin_port);
}

static void check(int type)
{
	struct portkeep_range range = { .start = 0, .count = COUNT };
	struct portkeep_instance block;
	struct portkeep_conflict conflict;
	socklen_t length = sizeof(block);
	int keeper = socket(AF_INET, type, 0), late, seen = 0, start;

	assert(!setsockopt(keeper, SOL_PORTKEEP, PORTKEEP_ACQUIRE, &range, sizeof(range)));
	assert(!getsockopt(keeper, SOL_PORTKEEP, PORTKEEP_ACQUIRE, &block, &length));
	start = ntohs(block.range.start);
	for (int i = 0; i < COUNT; i++) {
		int fd = associated(type, block.token);

		assert(!connect_errno(fd));
		assert(port_of(fd) >= start && port_of(fd) < start + COUNT);
		seen |= 1 << (port_of(fd) - start);
	}
	assert(seen == (1 << COUNT) - 1);
	late = associated(type, block.token);
	assert(connect_errno(late) == EADDRINUSE);
	length = sizeof(conflict);
	assert(!getsockopt(late, SOL_PORTKEEP, PORTKEEP_CONFLICT, &conflict, &length));
	assert(conflict.kind == PORTKEEP_CONFLICT_IN_USE);
	close(keeper);
	assert(connect_errno(late) == EADDRNOTAVAIL);
	assert(!port_of(late));
}

int main(int argc, char **argv)
{
	assert(argc == 2);
	address.sin_family = AF_INET;
	address.sin_port = htons(atoi(argv[1]));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	check(SOCK_STREAM);
	check(SOCK_DGRAM);
	return 0;
}

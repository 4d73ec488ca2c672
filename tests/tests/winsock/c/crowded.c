/* Held wildcards in a crowded pool: every second port of it is in use. */
#include "check.h"

#include <sys/resource.h>

enum {
	FIRST = 61000,
	LAST = 65535
};

int main(void)
{
	struct rlimit limit = { 4096, 4096 };
	INET_PORT_RESERVATION_INSTANCE one, two;
	SOCKET s;
	int port;

	REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	start();
	s = udp();
	for (port = FIRST; port <= LAST; port += 2)
		CHECK_EQUAL(bind_port(udp(), (USHORT)port), 0);
	CHECK_EQUAL(acquire(s, 0, 2, &two), WSAEADDRINUSE);
	one = acquired(s, 0, 1);
	CHECK(ntohs(one.StartPort) % 2 != 0);
	CHECK_EQUAL(release(s, one.Token), 0);
	return finish();
}

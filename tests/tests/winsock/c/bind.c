/* bind: which code says what is in the way. And the quick start of QUIC servers. */
#include "check.h"

static void stranger(int from, int to)
{
	SOCKET s = tcp(), server = tcp();
	ULONG64 token = acquired(s, 15000, 2).Token;
	char order = 0;

	CHECK(write(to, &token, sizeof(token)) == sizeof(token));
	CHECK(read(from, &order, 1) == 1);
	CHECK_EQUAL(associate(server, token), 0);
	CHECK_EQUAL(bind_port(server, 15000), 0);
	CHECK_EQUAL(release(s, token), 0);
	CHECK(write(to, &order, 1) == 1);
	CHECK(read(from, &order, 1) == 0);
}

static void the_code_says_what_is_in_the_way(void)
{
	struct process process = start_process(stranger);
	SOCKET s = tcp(), holder = tcp(), user = tcp(), own = tcp();
	ULONG64 token;
	char order = 'g';

	REQUIRE(read(process.from, &token, sizeof(token)) == sizeof(token));
	acquired(holder, 10000, 1);
	CHECK_EQUAL(bind_port(user, 12000), 0);

	CHECK_EQUAL(bind_port(s, 15000), WSAEACCES);
	/* Own ports need the token, too. */
	CHECK_EQUAL(bind_port(s, 10000), WSAEACCES);
	CHECK_EQUAL(bind_port(s, 12000), WSAEADDRINUSE);
	CHECK_EQUAL(bind_port(s, 15000), WSAEACCES);

	/* The reservation ends, and the port is merely in use: the last refusal must not mislead. */
	CHECK(write(process.to, &order, 1) == 1);
	CHECK(read(process.from, &order, 1) == 1);
	CHECK_EQUAL(bind_port(s, 15000), WSAEADDRINUSE);
	CHECK_EQUAL(bind_port(s, 15001), 0);
	CHECK_EQUAL(bind_port(s, 15002), WSAEINVAL);
	CHECK_EQUAL(bind_port(own, 0), 0);
	end_process(&process);
	CHECK(!closesocket(s) && !closesocket(holder) && !closesocket(user) && !closesocket(own));
}

static void bad_arguments(void)
{
	SOCKET s = tcp();
	SOCKADDR_IN address;

	memset(&address, 0, sizeof(address));
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(0x08080808);
	CHECK(bind(s, (SOCKADDR *)&address, sizeof(address)) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEADDRNOTAVAIL);
	CHECK(bind(s, (SOCKADDR *)8, sizeof(address)) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK(bind(STDIN_FILENO, (SOCKADDR *)&address, sizeof(address)) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAENOTSOCK);
	CHECK_EQUAL(bind_port(INVALID_SOCKET, 0), WSAENOTSOCK);
	CHECK(closesocket(s) == 0);
}

/*
 * One UDP port, and a socket for each of eight processors that is bound to it: the first one
 * acquires, all are associated before they are bound. (Windows tells the processor with
 * SIO_CPU_AFFINITY, Linux shares a port with SO_REUSEPORT.)
 */
static void eight_sockets_at_one_port(void)
{
	enum {
		SOCKETS = 8
	};
	SOCKET sockets[SOCKETS], stranger = udp();
	INET_PORT_RESERVATION_INSTANCE port;
	int i, on = 1, off = 0;

	for (i = 0; i < SOCKETS; i++) {
		sockets[i] =
			WSASocketW(AF_INET6, SOCK_DGRAM, IPPROTO_UDP, NULL, 0, WSA_FLAG_OVERLAPPED);
		REQUIRE(sockets[i] != INVALID_SOCKET);
		/* Of both families, as QUIC servers have them. */
		CHECK(!setsockopt(sockets[i], IPPROTO_IPV6, IPV6_V6ONLY, (char *)&off,
				  sizeof(off)));
		CHECK(!setsockopt(sockets[i], SOL_SOCKET, SO_REUSEPORT, (char *)&on, sizeof(on)));
		if (i == 0)
			port = acquired(sockets[0], 14433, 1);
		CHECK_EQUAL(associate(sockets[i], port.Token), 0);
	}
	for (i = 0; i < SOCKETS; i++) {
		SOCKADDR_IN6 address;
		int length = sizeof(address);

		memset(&address, 0, sizeof(address));
		address.sin6_family = AF_INET6;
		address.sin6_port = port.StartPort;
		CHECK(bind(sockets[i], (SOCKADDR *)&address, sizeof(address)) == 0);
		CHECK(getsockname(sockets[i], (SOCKADDR *)&address, &length) == 0);
		CHECK_EQUAL(ntohs(address.sin6_port), 14433);
	}
	/* A ninth that shares but is not associated stays out. */
	CHECK(!setsockopt(stranger, SOL_SOCKET, SO_REUSEPORT, (char *)&on, sizeof(on)));
	CHECK_EQUAL(bind_port(stranger, 14433), WSAEACCES);

	/* The acquiring socket goes; the others keep the port, and nobody else gets it. */
	CHECK(closesocket(sockets[0]) == 0);
	for (i = 1; i < SOCKETS; i++) {
		CHECK(!can_bind(SOCK_DGRAM, 14433));
		CHECK(closesocket(sockets[i]) == 0);
	}
	CHECK(can_bind(SOCK_DGRAM, 14433));
	CHECK(closesocket(stranger) == 0);
}

int main(void)
{
	start();
	the_code_says_what_is_in_the_way();
	bad_arguments();
	eight_sockets_at_one_port();
	CHECK(WSACleanup() == 0);
	return finish();
}

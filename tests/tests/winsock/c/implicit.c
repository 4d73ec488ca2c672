/*
 * Calls that bind a socket by the way: of an associated one the port is of its block, in both
 * backends. With the argument "held" the kernel part is not there.
 */
#include "check.h"

#include <errno.h>

#ifndef MSG_FASTOPEN
#define MSG_FASTOPEN 0x20000000
#endif

static int held;

/* A socket that others connect and send to. */
struct peer {
	SOCKET s;
	SOCKADDR_STORAGE address;
	int length;
};

static SOCKET family_socket(int family, int type)
{
	SOCKET s = socket(family, type, 0);

	REQUIRE(s != INVALID_SOCKET);
	return s;
}

static void to_loopback(int family, USHORT port, SOCKADDR_STORAGE *address, int *length)
{
	memset(address, 0, sizeof(*address));
	if (family == AF_INET6) {
		SOCKADDR_IN6 *in6 = (SOCKADDR_IN6 *)address;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		in6->sin6_addr.s6_addr[15] = 1;
		*length = sizeof(*in6);
	} else {
		SOCKADDR_IN *in = (SOCKADDR_IN *)address;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		*length = sizeof(*in);
	}
}

static struct peer peer(int family, int type)
{
	struct peer peer = { .s = family_socket(family, type) };

	to_loopback(family, 0, &peer.address, &peer.length);
	REQUIRE(bind(peer.s, (SOCKADDR *)&peer.address, peer.length) == 0);
	REQUIRE(type != SOCK_STREAM || listen(peer.s, 8) == 0);
	REQUIRE(getsockname(peer.s, (SOCKADDR *)&peer.address, &peer.length) == 0);
	return peer;
}

static USHORT port_of(SOCKET s)
{
	SOCKADDR_STORAGE address;
	int length = sizeof(address);

	if (getsockname(s, (SOCKADDR *)&address, &length) != 0) {
		/* It is not bound. */
		REQUIRE(WSAGetLastError() == WSAEINVAL);
		return 0;
	}
	/* Both families have it at the same place. */
	return ntohs(((SOCKADDR_IN *)&address)->sin_port);
}

/* The calls: 0, or the last error. */
static int call_connect(SOCKET s, const struct peer *to)
{
	return connect(s, (const SOCKADDR *)&to->address, to->length) ? WSAGetLastError() : 0;
}

static int call_sendto(SOCKET s, const struct peer *to)
{
	return sendto(s, "x", 1, 0, (const SOCKADDR *)&to->address, to->length) == 1 ?
		       0 :
		       WSAGetLastError();
}

/* Refused, and Linux binds nevertheless. */
static int call_send(SOCKET s, const struct peer *to)
{
	int error;

	(void)to;
	if (send(s, "x", 1, 0) != SOCKET_ERROR)
		return -1;
	error = WSAGetLastError();
	return error == WSAENOTCONN ? 0 : error;
}

static int call_listen(SOCKET s, const struct peer *to)
{
	(void)to;
	return listen(s, 1) ? WSAGetLastError() : 0;
}

static int call_fast_open(SOCKET s, const struct peer *to)
{
	return sendto(s, "x", 1, MSG_FASTOPEN, (const SOCKADDR *)&to->address, to->length) == 1 ?
		       0 :
		       WSAGetLastError();
}

static const struct {
	const char *what;
	int type;
	int (*call)(SOCKET s, const struct peer *to);
} calls[] = {
	{ "connect, TCP", SOCK_STREAM, call_connect },
	{ "connect, UDP", SOCK_DGRAM, call_connect },
	{ "sendto, UDP", SOCK_DGRAM, call_sendto },
	{ "send, UDP", SOCK_DGRAM, call_send },
	{ "listen, TCP", SOCK_STREAM, call_listen },
	{ "sendto with MSG_FASTOPEN, TCP", SOCK_STREAM, call_fast_open },
};

static SOCKET associated(int family, int type, ULONG64 token)
{
	SOCKET s = family_socket(family, type);

	CHECK_EQUAL(associate(s, token), 0);
	CHECK_EQUAL(port_of(s), 0);
	return s;
}

/* The two ports of a block, then none, then none any more. */
static void every_call(int family)
{
	size_t i;

	FOR_EACH_ROW(i, calls) {
		int type = calls[i].type;
		struct peer to = peer(family, type);
		SOCKET owner = family_socket(family, type);
		USHORT first, second;
		INET_PORT_RESERVATION_INSTANCE block = acquired(owner, 0, 2);
		USHORT start = ntohs(block.StartPort);
		SOCKET a = associated(family, type, block.Token);
		SOCKET b = associated(family, type, block.Token);
		SOCKET full = associated(family, type, block.Token);
		SOCKET late = associated(family, type, block.Token);
		SOCKET stranger = family_socket(family, type);

		CHECK_EQUAL(calls[i].call(a, &to), 0);
		CHECK_EQUAL(calls[i].call(b, &to), 0);
		first = port_of(a);
		second = port_of(b);
		CHECK(first >= start && first <= start + 1);
		CHECK(second >= start && second <= start + 1 && second != first);
		CHECK_EQUAL(calls[i].call(full, &to), WSAEADDRINUSE);
		CHECK_EQUAL(port_of(full), 0);
		/* Bound already: the same call again changes nothing. */
		calls[i].call(a, &to);
		CHECK_EQUAL(port_of(a), first);
		CHECK_EQUAL(release(owner, block.Token), 0);
		CHECK_EQUAL(calls[i].call(late, &to), WSAEADDRNOTAVAIL);
		CHECK_EQUAL(port_of(late), 0);
		CHECK_EQUAL(port_of(a), first);
		/* Not associated: any port, as ever. */
		CHECK_EQUAL(calls[i].call(stranger, &to), 0);
		CHECK(port_of(stranger) != 0);
		CHECK(!closesocket(a) && !closesocket(b) && !closesocket(full));
		CHECK(!closesocket(late) && !closesocket(stranger) && !closesocket(owner));
		CHECK(closesocket(to.s) == 0);
	}
	row = NULL;
}

/* Calls that bind nothing, though associated. */
static void what_binds_nothing(void)
{
	SOCKET owner = tcp(), datagrams = udp();
	ULONG64 streams = acquired(owner, 0, 1).Token, others = acquired(datagrams, 0, 1).Token;
	SOCKET s = associated(AF_INET, SOCK_STREAM, streams);
	SOCKET u = associated(AF_INET, SOCK_DGRAM, others);
	volatile SOCKET none = INVALID_SOCKET;
	SOCKADDR nowhere;

	memset(&nowhere, 0, sizeof(nowhere));
	nowhere.sa_family = AF_UNSPEC;
	CHECK(listen(u, 1) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEOPNOTSUPP);
	CHECK_EQUAL(port_of(u), 0);
	CHECK(send(s, "x", 1, 0) == SOCKET_ERROR);
	CHECK_EQUAL(port_of(s), 0);
	CHECK(connect(s, (SOCKADDR *)8, 16) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK(connect(s, &nowhere, 1) == SOCKET_ERROR);
	CHECK(connect(u, &nowhere, sizeof(nowhere)) == 0);
	CHECK_EQUAL(port_of(s), 0);
	CHECK_EQUAL(port_of(u), 0);
	CHECK(connect(999, &nowhere, sizeof(nowhere)) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAENOTSOCK);
	CHECK(listen(none, 1) == SOCKET_ERROR && WSAGetLastError() == WSAENOTSOCK);
	CHECK(send(none, "x", 1, 0) == SOCKET_ERROR && WSAGetLastError() == WSAENOTSOCK);
	CHECK(!closesocket(s) && !closesocket(u) && !closesocket(owner) && !closesocket(datagrams));
}

#define THREADS 4
#define ROUNDS 200

static struct peer target;
static pthread_barrier_t barrier;
static SOCKET shared;

static void *sender(void *unused)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(&barrier);
		CHECK_EQUAL(call_sendto(shared, &target), 0);
		pthread_barrier_wait(&barrier);
	}
	return unused;
}

/* Threads that send first at the same instant: one binds, all send. */
static void threads(void)
{
	pthread_t ids[THREADS];
	SOCKET owner = udp();
	INET_PORT_RESERVATION_INSTANCE block = acquired(owner, 0, 1);
	int i;

	target = peer(AF_INET, SOCK_DGRAM);
	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&ids[i], NULL, sender, NULL) == 0);
	for (i = 0; i < ROUNDS; i++) {
		shared = associated(AF_INET, SOCK_DGRAM, block.Token);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		CHECK_EQUAL(port_of(shared), ntohs(block.StartPort));
		CHECK(closesocket(shared) == 0);
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(ids[i], NULL);
	CHECK(!closesocket(owner) && !closesocket(target.s));
}

int main(int argc, char **argv)
{
	held = argc > 1 && strcmp(argv[1], "held") == 0;
	start();
	if (held && argc > 2 && atoi(argv[2]) != 0)
		REQUIRE(setgid(atoi(argv[2])) == 0 && setuid(atoi(argv[2])) == 0);
	every_call(AF_INET);
	every_call(AF_INET6);
	what_binds_nothing();
	threads();
	CHECK(WSACleanup() == 0);
	return finish();
}

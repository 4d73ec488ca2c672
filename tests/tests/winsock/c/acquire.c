/* SIO_ACQUIRE_PORT_RESERVATION: what it gives, and each of its errors. */
#include "check.h"

/* ---- what it gives ---- */

static void a_specific_block(void)
{
	SOCKET s = tcp();
	INET_PORT_RESERVATION_INSTANCE got = acquired(s, 10000, 20);

	CHECK_EQUAL(ntohs(got.Reservation.StartPort), 10000);
	CHECK_EQUAL(got.Reservation.NumberOfPorts, 20);
	CHECK(got.Token != INVALID_PORT_RESERVATION_TOKEN);
	CHECK(!can_bind(SOCK_STREAM, 10000) && !can_bind(SOCK_STREAM, 10019));
	CHECK(can_bind(SOCK_STREAM, 9999) && can_bind(SOCK_STREAM, 10020));
	/* Of the socket's protocol alone. */
	CHECK(can_bind(SOCK_DGRAM, 10000));
	CHECK(closesocket(s) == 0);
	CHECK(can_bind(SOCK_STREAM, 10000));
}

static void any_block(void)
{
	SOCKET s = udp();
	INET_PORT_RESERVATION_INSTANCE blocks[10];
	int i, j;

	/* Ten blocks on one socket, each with its token; all go with the socket. */
	for (i = 0; i < 10; i++) {
		blocks[i] = acquired(s, 0, 64);
		CHECK_EQUAL(blocks[i].NumberOfPorts, 64);
		CHECK(ntohs(blocks[i].StartPort) >= 61000);
		for (j = 0; j < i; j++) {
			int apart = ntohs(blocks[i].StartPort) - ntohs(blocks[j].StartPort);

			CHECK(apart >= 64 || apart <= -64);
			CHECK(blocks[i].Token != blocks[j].Token);
		}
	}
	CHECK(!can_bind(SOCK_DGRAM, ntohs(blocks[9].StartPort)));
	CHECK(closesocket(s) == 0);
	for (i = 0; i < 10; i++)
		CHECK(can_bind(SOCK_DGRAM, ntohs(blocks[i].StartPort)));
}

/* Families, types and protocols by number, as programs take them from their users. */
static void kinds_of_sockets(void)
{
	static const struct {
		int family, type, protocol, holds;
	} kinds[] = {
		{ AF_INET, SOCK_STREAM, IPPROTO_TCP, SOCK_STREAM },
		{ AF_INET, SOCK_DGRAM, IPPROTO_UDP, SOCK_DGRAM },
		{ AF_INET6, SOCK_DGRAM, 0, SOCK_DGRAM },
		/* AF_INET6 of Windows. */
		{ 23, SOCK_STREAM, IPPROTO_TCP, SOCK_STREAM },
		/* The type and the protocol that come first. */
		{ AF_INET, 0, 0, SOCK_STREAM },
		{ AF_INET, 0, IPPROTO_UDP, SOCK_DGRAM },
	};
	size_t i;

	for (i = 0; i < COUNT(kinds); i++) {
		SOCKET s = socket(kinds[i].family, kinds[i].type, kinds[i].protocol);

		REQUIRE(s != INVALID_SOCKET);
		acquired(s, 10000, 1);
		CHECK(!can_bind(kinds[i].holds, 10000));
		CHECK(can_bind(kinds[i].holds == SOCK_STREAM ? SOCK_DGRAM : SOCK_STREAM, 10000));
		CHECK(closesocket(s) == 0);
	}
}

/* The socket blocks or not: the call does. */
static void on_a_socket_that_does_not_block(void)
{
	SOCKET s = tcp();
	u_long on = 1;

	CHECK(ioctlsocket(s, FIONBIO, &on) == 0);
	acquired(s, 10000, 1);
	CHECK(closesocket(s) == 0);
}

/* ---- errors ---- */

static void refusals(SOCKET holder, SOCKET user)
{
	static const struct {
		const char *what;
		USHORT start, count;
		int error;
	} rows[] = {
		{ "no ports", 10000, 0, WSAEINVAL },
		{ "no ports of any", 0, 0, WSAEINVAL },
		{ "past the last port", 65535, 2, WSAEINVAL },
		{ "all reserved", 11000, 10, WSAEADDRINUSE },
		{ "reserved at its end", 10995, 6, WSAEADDRINUSE },
		{ "reserved at its start", 11009, 6, WSAEADDRINUSE },
		{ "in use", 12000, 1, WSAEADDRINUSE },
		{ "in use in the middle", 11990, 20, WSAEADDRINUSE },
		{ "a longer run than is free", 0, 5000, WSAEADDRINUSE },
		{ "automatic ports", 40000, 1, WSAEADDRNOTAVAIL },
		{ "automatic ports at its end", 32700, 100, WSAEADDRNOTAVAIL },
	};
	size_t i;

	acquired(holder, 11000, 10);
	CHECK_EQUAL(bind_port(user, 12000), 0);
	FOR_EACH_ROW(i, rows) {
		INET_PORT_RESERVATION_INSTANCE out;
		SOCKET s = tcp();
		int error;

		memset(&out, UNTOUCHED, sizeof(out));
		error = acquire(s, rows[i].start, rows[i].count, &out);
		CHECK_EQUAL(error, rows[i].error);
		CHECK(all_are(&out, UNTOUCHED, sizeof(out)));
		CHECK(closesocket(s) == 0);
	}
	CHECK(can_bind(SOCK_STREAM, 10995) && can_bind(SOCK_STREAM, 11990));
}

static const INET_PORT_RANGE read_only = { 0, 1 };

static void bad_buffers(void)
{
	INET_PORT_RANGE wanted = range(10000, 4);
	INET_PORT_RESERVATION_INSTANCE out;
	char large_in[64], large_out[64];
	void *nowhere = (void *)8;
	SOCKET s = tcp();
	DWORD returned;
	const struct {
		const char *what;
		const void *in;
		DWORD in_length;
		void *out;
		DWORD out_length;
		int error;
	} rows[] = {
		{ "no input", NULL, sizeof(wanted), &out, sizeof(out), WSAEFAULT },
		{ "input of 0 bytes", &wanted, 0, &out, sizeof(out), WSAEFAULT },
		{ "input a byte short", &wanted, 3, &out, sizeof(out), WSAEFAULT },
		{ "unreadable input", nowhere, sizeof(wanted), &out, sizeof(out), WSAEFAULT },
		{ "no output", &wanted, sizeof(wanted), NULL, sizeof(out), WSAEFAULT },
		{ "unwritable output", &wanted, sizeof(wanted), nowhere, sizeof(out), WSAEFAULT },
		{ "read-only output", &wanted, sizeof(wanted), (void *)&read_only, sizeof(out),
		  WSAEFAULT },
		{ "no output of 0 bytes", &wanted, sizeof(wanted), NULL, 0, WSAEINVAL },
		{ "output of 0 bytes", &wanted, sizeof(wanted), &out, 0, WSAEINVAL },
		{ "output a byte short", &wanted, sizeof(wanted), &out, 15, WSAEINVAL },
	};
	size_t i;

	FOR_EACH_ROW(i, rows) {
		int error;

		memset(&out, UNTOUCHED, sizeof(out));
		returned = UNTOUCHED_DWORD;
		error = control(s, SIO_ACQUIRE_PORT_RESERVATION, rows[i].in, rows[i].in_length,
				rows[i].out, rows[i].out_length, &returned);
		CHECK_EQUAL(error, rows[i].error);
		CHECK_EQUAL(returned, 0);
		CHECK(all_are(&out, UNTOUCHED, sizeof(out)));
		CHECK(can_bind(SOCK_STREAM, 10000));
	}

	/* Nowhere to tell the number of bytes. */
	CHECK_EQUAL(control(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted), &out,
			    sizeof(out), NULL),
		    WSAEFAULT);
	CHECK_EQUAL(control(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted), &out,
			    sizeof(out), (DWORD *)nowhere),
		    WSAEFAULT);
	CHECK(all_are(&out, UNTOUCHED, sizeof(out)) && can_bind(SOCK_STREAM, 10000));

	/* More than needed will do, and need not be aligned. */
	memset(large_in, UNTOUCHED, sizeof(large_in));
	memcpy(large_in + 1, &wanted, sizeof(wanted));
	memset(large_out, UNTOUCHED, sizeof(large_out));
	CHECK_EQUAL(control(s, SIO_ACQUIRE_PORT_RESERVATION, large_in + 1, sizeof(large_in) - 1,
			    large_out + 1, sizeof(large_out) - 1, &returned),
		    0);
	CHECK_EQUAL(returned, 16);
	CHECK(all_are(large_out + 17, UNTOUCHED, sizeof(large_out) - 17));
	memcpy(&out, large_out + 1, sizeof(out));
	CHECK_EQUAL(ntohs(out.StartPort), 10000);
	CHECK_EQUAL(release(s, out.Token), 0);
	CHECK(closesocket(s) == 0);
}

static void sockets_that_will_not_do(void)
{
	const struct {
		const char *what;
		SOCKET s;
		int error;
	} rows[] = {
		{ "a UNIX socket", socket(AF_UNIX, SOCK_STREAM, 0), WSAEOPNOTSUPP },
		{ "a raw socket", socket(AF_INET, SOCK_RAW, IPPROTO_UDP), WSAEOPNOTSUPP },
		{ "no socket", INVALID_SOCKET, WSAENOTSOCK },
		{ "a pipe", (SOCKET)STDIN_FILENO, WSAENOTSOCK },
		{ "no descriptor", 9999, WSAENOTSOCK },
		{ "no int", (SOCKET)1 << (sizeof(SOCKET) * 8 - 1), WSAENOTSOCK },
	};
	size_t i;

	FOR_EACH_ROW(i, rows) {
		INET_PORT_RANGE wanted = range(0, 1);
		INET_PORT_RESERVATION_INSTANCE out;
		DWORD returned = UNTOUCHED_DWORD;
		int error;

		memset(&out, UNTOUCHED, sizeof(out));
		error = control(rows[i].s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted),
				&out, sizeof(out), &returned);
		CHECK_EQUAL(error, rows[i].error);
		CHECK_EQUAL(returned, error == WSAENOTSOCK ? UNTOUCHED_DWORD : 0);
		CHECK(all_are(&out, UNTOUCHED, sizeof(out)));
	}
}

/* The kernel part keeps 32768 reservations, and no more. */
static void full_tables(void)
{
	INET_PORT_RESERVATION_INSTANCE out;
	SOCKET s = tcp(), other = udp();
	int error = 0, count = 0, port;

	for (port = 1; port <= 65535 && !error; port++) {
		/* Automatic ports would be refused. */
		if (port == 32768)
			port = 61000;
		error = acquire(s, (USHORT)port, 1, &out);
		count += !error;
	}
	CHECK_EQUAL(error, WSAENOBUFS);
	CHECK_EQUAL(count, 32768);
	CHECK_EQUAL(acquire(other, 10000, 1, &out), WSAENOBUFS);
	CHECK(closesocket(s) == 0);
	CHECK_EQUAL(acquire(other, 10000, 1, &out), 0);
	CHECK(closesocket(other) == 0);
}

/* An unprivileged user: no ports below 1024, and no more than the quota. */
static void of_an_ordinary_user(void)
{
	INET_PORT_RESERVATION_INSTANCE out;
	SOCKET s = tcp();

	REQUIRE(setuid(65534) == 0);
	CHECK_EQUAL(acquire(s, 1023, 2, &out), WSAEACCES);
	CHECK_EQUAL(acquire(s, 20000, 4096, &out), 0);
	CHECK_EQUAL(acquire(s, 30000, 1, &out), WSAEDQUOT);
	CHECK_EQUAL(release(s, out.Token), 0);
	CHECK_EQUAL(acquire(s, 30000, 1, &out), 0);
	CHECK(closesocket(s) == 0);
}

int main(void)
{
	SOCKET holder, user;

	start();
	a_specific_block();
	any_block();
	kinds_of_sockets();
	on_a_socket_that_does_not_block();
	full_tables();
	holder = tcp();
	user = tcp();
	refusals(holder, user);
	bad_buffers();
	sockets_that_will_not_do();
	of_an_ordinary_user();
	CHECK(WSACleanup() == 0);
	return finish();
}

/*
 * SIO_RELEASE_PORT_RESERVATION and SIO_ASSOCIATE_PORT_RESERVATION, which take a token: what they do, and
 * each of their errors.
 */
#include "check.h"

static const DWORD codes[] = { SIO_RELEASE_PORT_RESERVATION, SIO_ASSOCIATE_PORT_RESERVATION };

/* ---- what they do ---- */

static void a_release_frees_the_ports(void)
{
	SOCKET s = tcp(), other = udp();
	ULONG64 first = acquired(s, 10000, 10).Token, second = acquired(s, 10010, 10).Token;

	/* Any socket of the process will do. */
	CHECK_EQUAL(release(other, first), 0);
	CHECK(can_bind(SOCK_STREAM, 10000) && !can_bind(SOCK_STREAM, 10010));
	/* Once. */
	CHECK_EQUAL(release(s, first), WSAEINVAL);
	CHECK_EQUAL(release(s, second), 0);
	CHECK(can_bind(SOCK_STREAM, 10010));
	CHECK(closesocket(s) == 0 && closesocket(other) == 0);
}

static void a_bound_socket_stays_so(void)
{
	SOCKET s = tcp(), server = tcp();
	ULONG64 token = acquired(s, 10000, 1).Token;

	CHECK_EQUAL(associate(server, token), 0);
	CHECK_EQUAL(bind_port(server, 10000), 0);
	CHECK_EQUAL(release(s, token), 0);
	CHECK_EQUAL(local_port(server), 10000);
	CHECK(!can_bind(SOCK_STREAM, 10000));
	CHECK(closesocket(server) == 0);
	CHECK(can_bind(SOCK_STREAM, 10000));
	CHECK(closesocket(s) == 0);
}

static void an_associated_socket_binds_in_the_block(void)
{
	SOCKET s = udp(), any = udp(), chosen = udp(), full = udp(), outside = udp();
	ULONG64 token = acquired(s, 10000, 3).Token;

	CHECK_EQUAL(associate(chosen, token), 0);
	CHECK_EQUAL(bind_port(chosen, 10001), 0);
	CHECK_EQUAL(associate(any, token), 0);
	CHECK_EQUAL(bind_port(any, 0), 0);
	CHECK(local_port(any) == 10000 || local_port(any) == 10002);
	/* The acquiring socket may take one itself. */
	CHECK_EQUAL(associate(s, token), 0);
	CHECK_EQUAL(bind_port(s, 0), 0);
	CHECK_EQUAL(associate(full, token), 0);
	CHECK_EQUAL(bind_port(full, 0), WSAEADDRINUSE);
	CHECK_EQUAL(bind_port(full, 10001), WSAEADDRINUSE);
	CHECK_EQUAL(associate(outside, token), 0);
	CHECK_EQUAL(bind_port(outside, 10003), WSAEADDRNOTAVAIL);
	CHECK(!closesocket(s) && !closesocket(any) && !closesocket(chosen) && !closesocket(full) &&
	      !closesocket(outside));
}

static void associating_again_replaces(void)
{
	SOCKET s = tcp(), server = tcp();
	ULONG64 first = acquired(s, 10000, 1).Token, second = acquired(s, 10001, 1).Token;

	CHECK_EQUAL(associate(server, first), 0);
	CHECK_EQUAL(associate(server, second), 0);
	CHECK_EQUAL(bind_port(server, 0), 0);
	CHECK_EQUAL(local_port(server), 10001);
	CHECK_EQUAL(associate(server, first), WSAEINVAL);
	CHECK(closesocket(server) == 0 && closesocket(s) == 0);
}

/* ---- errors ---- */

/* Another process with a reservation, until its input ends. */
static void stranger(int from, int to)
{
	SOCKET s = tcp();
	ULONG64 token = acquired(s, 15000, 1).Token;
	char end;

	CHECK(write(to, &token, sizeof(token)) == sizeof(token));
	while (read(from, &end, 1) > 0)
		;
}

static void tokens_that_will_not_do(void)
{
	struct process process = start_process(stranger);
	SOCKET s = tcp(), other = udp();
	ULONG64 strangers = 0, udp_token = acquired(other, 10000, 1).Token;
	size_t i;

	REQUIRE(read(process.from, &strangers, sizeof(strangers)) == sizeof(strangers));
	{
		const struct {
			const char *what;
			ULONG64 token;
			int release, associate;
		} rows[] = {
			{ "no token", INVALID_PORT_RESERVATION_TOKEN, WSAEINVAL, WSAEINVAL },
			{ "an unknown token", 12345, WSAEINVAL, WSAEINVAL },
			{ "the highest token", ~0ULL, WSAEINVAL, WSAEINVAL },
			{ "another process's", strangers, WSAEACCES, WSAEACCES },
		};

		FOR_EACH_ROW(i, rows) {
			CHECK_EQUAL(release(s, rows[i].token), rows[i].release);
			CHECK_EQUAL(associate(s, rows[i].token), rows[i].associate);
		}
	}
	/* Of the other protocol. */
	CHECK_EQUAL(associate(s, udp_token), WSAEINVAL);
	CHECK(!can_bind(SOCK_STREAM, 15000) && !can_bind(SOCK_DGRAM, 10000));
	end_process(&process);
	CHECK(can_bind(SOCK_STREAM, 15000));
	CHECK(closesocket(s) == 0 && closesocket(other) == 0);
}

static void bad_buffers(DWORD code)
{
	ULONG64 token;
	void *nowhere = (void *)8;
	SOCKET s = tcp();
	DWORD returned;
	const struct {
		const char *what;
		const void *in;
		DWORD in_length;
	} rows[] = {
		{ "no input", NULL, sizeof(token) },
		{ "no input of 0 bytes", NULL, 0 },
		{ "input of 0 bytes", &token, 0 },
		{ "input a byte short", &token, 7 },
		{ "unreadable input", nowhere, sizeof(token) },
	};
	size_t i;

	token = acquired(s, 10000, 1).Token;
	FOR_EACH_ROW(i, rows) {
		int error;

		returned = UNTOUCHED_DWORD;
		error = control(s, code, rows[i].in, rows[i].in_length, NULL, 0, &returned);
		CHECK_EQUAL(error, WSAEFAULT);
		CHECK_EQUAL(returned, 0);
	}
	CHECK_EQUAL(control(s, code, &token, sizeof(token), NULL, 0, NULL), WSAEFAULT);
	CHECK_EQUAL(control(s, code, &token, sizeof(token), NULL, 0, (DWORD *)nowhere), WSAEFAULT);
	CHECK(!can_bind(SOCK_STREAM, 10000));

	/* More input than needed will do, and an output buffer is not looked at. */
	{
		ULONG64 large[2] = { token, 0 };

		returned = UNTOUCHED_DWORD;
		CHECK_EQUAL(control(s, code, large, sizeof(large), nowhere, 4, &returned), 0);
		CHECK_EQUAL(returned, 0);
	}
	CHECK(closesocket(s) == 0);
}

static void sockets_that_will_not_do(DWORD code)
{
	SOCKET s = tcp();
	ULONG64 token = acquired(s, 10000, 1).Token;
	const struct {
		const char *what;
		SOCKET s;
		int error;
	} rows[] = {
		{ "a UNIX socket", socket(AF_UNIX, SOCK_DGRAM, 0), WSAEOPNOTSUPP },
		{ "a raw socket", socket(AF_INET, SOCK_RAW, IPPROTO_UDP), WSAEOPNOTSUPP },
		{ "no socket", INVALID_SOCKET, WSAENOTSOCK },
		{ "a pipe", (SOCKET)STDIN_FILENO, WSAENOTSOCK },
	};
	ULONG64 tokens[] = { token, 0 };
	size_t i, j;

	FOR_EACH_ROW(i, rows)
		for (j = 0; j < 2; j++) {
			DWORD returned = UNTOUCHED_DWORD;
			int error = control(rows[i].s, code, &tokens[j], sizeof(token), NULL, 0,
					    &returned);

			CHECK_EQUAL(error, rows[i].error);
			CHECK_EQUAL(returned, error == WSAENOTSOCK ? UNTOUCHED_DWORD : 0);
		}
	CHECK(!can_bind(SOCK_STREAM, 10000));
	CHECK(closesocket(s) == 0);
}

int main(void)
{
	size_t i;

	start();
	a_release_frees_the_ports();
	a_bound_socket_stays_so();
	an_associated_socket_binds_in_the_block();
	associating_again_replaces();
	tokens_that_will_not_do();
	for (i = 0; i < COUNT(codes); i++) {
		bad_buffers(codes[i]);
		sockets_that_will_not_do(codes[i]);
	}
	CHECK(WSACleanup() == 0);
	return finish();
}

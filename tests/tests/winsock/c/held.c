/*
 * Where Portkeep is not enabled: sockets of the process hold the ports, and the calls do what they do
 * with the kernel part, as far as that goes.
 */
#include "check.h"

#include <sys/resource.h>

static void the_whole_life(int type)
{
	SOCKET s = open_socket(type), stranger = open_socket(type), server = open_socket(type);
	SOCKET any = open_socket(type), outside = open_socket(type), full = open_socket(type);
	INET_PORT_RESERVATION_INSTANCE block = acquired(s, 20000, 2);

	CHECK_EQUAL(ntohs(block.StartPort), 20000);
	CHECK_EQUAL(block.NumberOfPorts, 2);
	CHECK(block.Token != INVALID_PORT_RESERVATION_TOKEN);
	CHECK_EQUAL(bind_port(stranger, 20000), WSAEACCES);
	CHECK_EQUAL(bind_port(stranger, 20001), WSAEACCES);
	CHECK(can_bind(type, 19999) && can_bind(type, 20002));

	CHECK_EQUAL(associate(server, block.Token), 0);
	CHECK_EQUAL(bind_port(server, 20001), 0);
	CHECK_EQUAL(associate(any, block.Token), 0);
	CHECK_EQUAL(bind_port(any, 0), 0);
	CHECK_EQUAL(local_port(any), 20000);
	if (type == SOCK_STREAM)
		CHECK(listen(server, 1) == 0 && listen(any, 1) == 0);
	CHECK_EQUAL(associate(outside, block.Token), 0);
	CHECK_EQUAL(bind_port(outside, 20002), WSAEADDRNOTAVAIL);
	CHECK_EQUAL(associate(full, block.Token), 0);
	CHECK_EQUAL(bind_port(full, 0), WSAEADDRINUSE);
	/* It is bound. */
	CHECK_EQUAL(associate(server, block.Token), WSAEINVAL);

	/* A server that goes leaves its port reserved, and one that stays keeps it. */
	CHECK(closesocket(any) == 0);
	CHECK(!can_bind(type, 20000));
	CHECK_EQUAL(release(stranger, block.Token), 0);
	CHECK_EQUAL(bind_port(stranger, 20000), 0);
	CHECK(!can_bind(type, 20001));
	CHECK_EQUAL(bind_port(full, 20000), WSAEADDRNOTAVAIL);
	CHECK_EQUAL(release(s, block.Token), WSAEINVAL);
	CHECK_EQUAL(associate(full, block.Token), WSAEINVAL);
	CHECK(!closesocket(s) && !closesocket(stranger) && !closesocket(server));
	CHECK(!closesocket(outside) && !closesocket(full));
	CHECK(can_bind(type, 20001));
}

static void the_block_goes_with_its_socket(void)
{
	SOCKET s = tcp(), other = tcp();
	INET_PORT_RESERVATION_INSTANCE first = acquired(s, 0, 8), second = acquired(s, 0, 8);
	INET_PORT_RESERVATION_INSTANCE kept = acquired(other, 0, 8);
	USHORT port = ntohs(first.StartPort);

	CHECK(first.Token != second.Token && !can_bind(SOCK_STREAM, port));
	CHECK(closesocket(s) == 0);
	CHECK(can_bind(SOCK_STREAM, port) && can_bind(SOCK_STREAM, ntohs(second.StartPort)));
	CHECK(!can_bind(SOCK_STREAM, ntohs(kept.StartPort)));
	CHECK_EQUAL(release(other, first.Token), WSAEINVAL);
	/* A descriptor that is closed elsewhere ends it when it is met again. */
	close((int)other);
	other = tcp();
	CHECK(can_bind(SOCK_STREAM, ntohs(kept.StartPort)));
	CHECK(closesocket(other) == 0);
}

static void stranger(int from, int to)
{
	SOCKET s = tcp();
	ULONG64 token = acquired(s, 21000, 1).Token;
	char end;

	CHECK(write(to, &token, sizeof(token)) == sizeof(token));
	CHECK(read(from, &end, 1) == 0);
}

static void errors(void)
{
	static const struct {
		const char *what;
		USHORT start, count;
		int error;
	} rows[] = {
		{ "no ports", 20000, 0, WSAEINVAL },
		{ "past the last port", 65535, 2, WSAEINVAL },
		{ "held by this process", 21999, 2, WSAEADDRINUSE },
		{ "held by another process", 21000, 1, WSAEADDRINUSE },
		{ "in use", 23000, 1, WSAEADDRINUSE },
	};
	struct process process = start_process(stranger);
	SOCKET s = tcp(), holder = tcp(), user = tcp(), other = udp();
	INET_PORT_RESERVATION_INSTANCE out;
	ULONG64 strangers = 0, own, wrong;
	size_t i;

	REQUIRE(read(process.from, &strangers, sizeof(strangers)) == sizeof(strangers));
	own = acquired(holder, 22000, 1).Token;
	wrong = acquired(other, 22000, 1).Token;
	CHECK_EQUAL(bind_port(user, 23000), 0);
	FOR_EACH_ROW(i, rows) {
		memset(&out, UNTOUCHED, sizeof(out));
		CHECK_EQUAL(acquire(s, rows[i].start, rows[i].count, &out), rows[i].error);
		CHECK(all_are(&out, UNTOUCHED, sizeof(out)));
	}
	CHECK_EQUAL(bind_port(s, 21000), WSAEACCES);
	CHECK_EQUAL(bind_port(s, 22000), WSAEACCES);
	CHECK_EQUAL(bind_port(s, 23000), WSAEADDRINUSE);
	CHECK_EQUAL(associate(s, 0), WSAEINVAL);
	CHECK_EQUAL(associate(s, 12345), WSAEINVAL);
	CHECK_EQUAL(associate(s, wrong), WSAEINVAL);
	/* This process does not know that it is another's, unless it has one of the same number. */
	CHECK(strangers != 0);
	CHECK_EQUAL(release(socket(AF_UNIX, SOCK_STREAM, 0), own), WSAEOPNOTSUPP);
	if (geteuid() == 0)
		CHECK_EQUAL(associate(socket(AF_INET, SOCK_RAW, IPPROTO_UDP), own), WSAEOPNOTSUPP);
	CHECK(bind(s, (SOCKADDR *)8, 16) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK_EQUAL(associate(s, own), 0);
	CHECK(bind(s, (SOCKADDR *)8, 16) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	end_process(&process);
	CHECK(can_bind(SOCK_STREAM, 21000));
	CHECK(!closesocket(s) && !closesocket(holder) && !closesocket(user) && !closesocket(other));
}

/* Overlapped, and the read-only output of a call that must leave nothing behind. */
static void the_same_machinery(void)
{
	static const INET_PORT_RANGE wanted = { 0, 4 };
	INET_PORT_RESERVATION_INSTANCE out;
	WSAOVERLAPPED overlapped;
	DWORD returned, bytes, flags;
	SOCKET s = udp();

	memset(&overlapped, 0, sizeof(overlapped));
	CHECK_EQUAL(WSAIoctl(s, SIO_ACQUIRE_PORT_RESERVATION, (LPVOID)&wanted, sizeof(wanted), &out,
			     sizeof(out), &returned, &overlapped, NULL),
		    0);
	CHECK(WSAGetOverlappedResult(s, &overlapped, &bytes, TRUE, &flags));
	CHECK_EQUAL(bytes, 16);
	CHECK(!can_bind(SOCK_DGRAM, ntohs(out.StartPort)));
	CHECK_EQUAL(release(s, out.Token), 0);
	CHECK(can_bind(SOCK_DGRAM, ntohs(out.StartPort)));
	CHECK(closesocket(s) == 0);
}

/* As QUIC servers do: one port, and a socket for each of eight processors. */
static void eight_sockets_at_one_port(void)
{
	enum {
		SOCKETS = 8
	};
	SOCKET sockets[SOCKETS];
	INET_PORT_RESERVATION_INSTANCE port;
	int i, on = 1;

	for (i = 0; i < SOCKETS; i++) {
		sockets[i] = udp();
		CHECK(!setsockopt(sockets[i], SOL_SOCKET, SO_REUSEPORT, (char *)&on, sizeof(on)));
		if (i == 0)
			port = acquired(sockets[0], 24433, 1);
		CHECK_EQUAL(associate(sockets[i], port.Token), 0);
	}
	for (i = 0; i < SOCKETS; i++)
		CHECK_EQUAL(bind_port(sockets[i], 24433), 0);
	for (i = 0; i < SOCKETS; i++) {
		CHECK(!can_bind(SOCK_DGRAM, 24433));
		CHECK(closesocket(sockets[i]) == 0);
	}
	CHECK(can_bind(SOCK_DGRAM, 24433));
}

static void what_takes_the_kernel_part(void)
{
	struct rlimit limit = { 64, 64 };
	INET_PORT_RESERVATION_INSTANCE out;
	ULONG64 token = UNTOUCHED;
	SOCKET s = tcp();

	CHECK_EQUAL(CreatePersistentTcpPortReservation(htons(9000), 1, &token),
		    ERROR_NOT_SUPPORTED);
	CHECK_EQUAL(LookupPersistentTcpPortReservation(htons(9000), 1, &token),
		    ERROR_NOT_SUPPORTED);
	CHECK_EQUAL(DeletePersistentTcpPortReservation(htons(9000), 1), ERROR_NOT_SUPPORTED);
	CHECK_EQUAL(token, UNTOUCHED);
	/* Every port takes a descriptor. */
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK_EQUAL(acquire(s, 0, 100, &out), WSAEMFILE);
	CHECK(closesocket(s) == 0);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		REQUIRE(setuid((uid_t)atoi(argv[1])) == 0);
	start();
	the_whole_life(SOCK_STREAM);
	the_whole_life(SOCK_DGRAM);
	the_block_goes_with_its_socket();
	errors();
	the_same_machinery();
	eight_sockets_at_one_port();
	what_takes_the_kernel_part();
	CHECK(WSACleanup() == 0);
	return finish();
}

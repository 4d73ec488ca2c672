/* The IP Helper functions: what they do, and each of their errors. */
#include "check.h"

/* Both protocols, by the same code. */
static const struct {
	const char *what;
	ULONG (*create)(USHORT, USHORT, PULONG64);
	ULONG (*remove)(USHORT, USHORT);
	ULONG (*lookup)(USHORT, USHORT, PULONG64);
	int type, other;
} protocols[] = {
	{ "TCP", CreatePersistentTcpPortReservation, DeletePersistentTcpPortReservation,
	  LookupPersistentTcpPortReservation, SOCK_STREAM, SOCK_DGRAM },
	{ "UDP", CreatePersistentUdpPortReservation, DeletePersistentUdpPortReservation,
	  LookupPersistentUdpPortReservation, SOCK_DGRAM, SOCK_STREAM },
};

#define CREATE(start, count, token) protocols[p].create(htons(start), count, token)
#define DELETE(start, count) protocols[p].remove(htons(start), count)
#define LOOKUP(start, count, token) protocols[p].lookup(htons(start), count, token)

static void the_whole_life(size_t p)
{
	ULONG64 created = 0, found = 0;
	SOCKET s = open_socket(protocols[p].type), stranger = open_socket(protocols[p].type);
	SOCKET other = open_socket(protocols[p].other);

	CHECK_EQUAL(CREATE(9000, 10, &created), NO_ERROR);
	CHECK(created != INVALID_PORT_RESERVATION_TOKEN);
	CHECK_EQUAL(LOOKUP(9000, 10, &found), NO_ERROR);
	CHECK_EQUAL(found, created);
	CHECK_EQUAL(bind_port(stranger, 9000), WSAEACCES);
	CHECK(can_bind(protocols[p].other, 9000));
	CHECK_EQUAL(associate(other, created), WSAEINVAL);
	CHECK_EQUAL(associate(s, created), 0);
	CHECK_EQUAL(bind_port(s, 0), 0);
	CHECK(local_port(s) >= 9000 && local_port(s) <= 9009);
	/* It is not the process's, so that this cannot release it. */
	CHECK(release(s, created) != 0);
	CHECK(!closesocket(s) && !closesocket(stranger) && !closesocket(other));
	CHECK_EQUAL(DELETE(9000, 10), NO_ERROR);
	CHECK(can_bind(protocols[p].type, 9000));
	CHECK_EQUAL(LOOKUP(9000, 10, &found), ERROR_NOT_FOUND);
	CHECK_EQUAL(DELETE(9000, 10), ERROR_NOT_FOUND);
}

static void errors(size_t p)
{
	ULONG64 token = UNTOUCHED, kept = 0;
	SOCKET holder = open_socket(protocols[p].type), user = open_socket(protocols[p].type);
	const struct {
		const char *what;
		USHORT start, count;
		ULONG create, others;
	} rows[] = {
		{ "no start", 0, 5, ERROR_INVALID_PARAMETER, ERROR_INVALID_PARAMETER },
		{ "no ports", 9000, 0, ERROR_INVALID_PARAMETER, ERROR_INVALID_PARAMETER },
		{ "nothing", 0, 0, ERROR_INVALID_PARAMETER, ERROR_INVALID_PARAMETER },
		{ "past the last port", 65535, 2, ERROR_INVALID_PARAMETER,
		  ERROR_INVALID_PARAMETER },
		{ "a persistent block's end", 9105, 10, ERROR_SHARING_VIOLATION, ERROR_NOT_FOUND },
		{ "within a persistent block", 9101, 2, ERROR_SHARING_VIOLATION, ERROR_NOT_FOUND },
		{ "a runtime reservation", 9200, 1, ERROR_SHARING_VIOLATION, ERROR_NOT_FOUND },
		{ "in use", 9299, 3, ERROR_SHARING_VIOLATION, ERROR_NOT_FOUND },
	};
	size_t i;

	CHECK_EQUAL(CREATE(9100, 10, &kept), NO_ERROR);
	acquired(holder, 9200, 1);
	CHECK_EQUAL(bind_port(user, 9300), 0);
	FOR_EACH_ROW(i, rows) {
		CHECK_EQUAL(CREATE(rows[i].start, rows[i].count, &token), rows[i].create);
		CHECK_EQUAL(LOOKUP(rows[i].start, rows[i].count, &token), rows[i].others);
		CHECK_EQUAL(DELETE(rows[i].start, rows[i].count), rows[i].others);
		CHECK_EQUAL(token, UNTOUCHED);
	}
	CHECK_EQUAL(CREATE(9000, 1, NULL), ERROR_INVALID_PARAMETER);
	CHECK_EQUAL(CREATE(9000, 1, (PULONG64)8), ERROR_INVALID_PARAMETER);
	CHECK_EQUAL(LOOKUP(9100, 10, NULL), ERROR_INVALID_PARAMETER);
	CHECK(can_bind(protocols[p].type, 9000));
	/* Refusals have left it alone. */
	CHECK_EQUAL(LOOKUP(9100, 10, &token), NO_ERROR);
	CHECK_EQUAL(token, kept);
	CHECK_EQUAL(DELETE(9100, 10), NO_ERROR);
	CHECK(!closesocket(holder) && !closesocket(user));
}

/* A token may be looked up, and nothing else. */
static void of_an_ordinary_user(int from, int to)
{
	ULONG64 token = 0, found = 0;
	size_t p;
	SOCKET s;

	REQUIRE(read(from, &token, sizeof(token)) == sizeof(token));
	REQUIRE(setuid(65534) == 0);
	for (p = 0; p < COUNT(protocols); p++) {
		CHECK_EQUAL(CREATE(9600, 1, &found), ERROR_ACCESS_DENIED);
		CHECK_EQUAL(DELETE(9500, 5), ERROR_ACCESS_DENIED);
	}
	CHECK_EQUAL(LookupPersistentTcpPortReservation(htons(9500), 5, &found), NO_ERROR);
	CHECK_EQUAL(found, token);
	s = tcp();
	CHECK_EQUAL(associate(s, token), WSAEACCES);
	CHECK_EQUAL(bind_port(s, 9500), WSAEACCES);
	CHECK(closesocket(s) == 0);
	CHECK(write(to, &found, sizeof(found)) == sizeof(found));
}

static void privilege(void)
{
	struct process process;
	ULONG64 token = 0, done = 0;

	CHECK_EQUAL(CreatePersistentTcpPortReservation(htons(9500), 5, &token), NO_ERROR);
	process = start_process(of_an_ordinary_user);
	CHECK(write(process.to, &token, sizeof(token)) == sizeof(token));
	CHECK(read(process.from, &done, sizeof(done)) == sizeof(done));
	end_process(&process);
	CHECK_EQUAL(done, token);
	CHECK_EQUAL(DeletePersistentTcpPortReservation(htons(9500), 5), NO_ERROR);
}

/* No reservation of a process that ends: another program finds it. */
static void creator(int from, int to)
{
	ULONG64 token = 0;
	char end;

	CHECK_EQUAL(CreatePersistentUdpPortReservation(htons(9700), 2, &token), NO_ERROR);
	CHECK(write(to, &token, sizeof(token)) == sizeof(token));
	CHECK(read(from, &end, 1) == 0);
}

static void it_outlives_its_program(void)
{
	struct process process = start_process(creator);
	ULONG64 created = 0, found = 0;
	SOCKET s = udp();

	CHECK(read(process.from, &created, sizeof(created)) == sizeof(created));
	end_process(&process);
	CHECK_EQUAL(LookupPersistentUdpPortReservation(htons(9700), 2, &found), NO_ERROR);
	CHECK_EQUAL(found, created);
	CHECK(!can_bind(SOCK_DGRAM, 9700));
	CHECK_EQUAL(associate(s, found), 0);
	CHECK_EQUAL(bind_port(s, 9701), 0);
	CHECK(closesocket(s) == 0);
	CHECK_EQUAL(DeletePersistentUdpPortReservation(htons(9700), 2), NO_ERROR);
}

int main(void)
{
	size_t p;

	start();
	for (p = 0; p < COUNT(protocols); p++) {
		the_whole_life(p);
		errors(p);
	}
	privilege();
	it_outlives_its_program();
	CHECK(WSACleanup() == 0);
	return finish();
}

/*
 * After the pattern of a QUIC server: one reserved UDP port, a socket for each processor at it, receives
 * on a completion port, answers, then an orderly end. With an argument the kernel part is not there.
 */
#include "check.h"

#define MOST 16
#define CLIENTS 24

struct receive {
	WSAOVERLAPPED overlapped;
	SOCKET s;
	SOCKADDR_IN from;
	int from_length;
	DWORD flags;
	char data[64];
};

static struct receive receives[MOST];
static size_t processors;
static HANDLE port;

static void arm(struct receive *it)
{
	WSABUF buffer = { sizeof(it->data), it->data };

	memset(&it->overlapped, 0, sizeof(it->overlapped));
	it->from_length = sizeof(it->from);
	it->flags = 0;
	REQUIRE(WSARecvFrom(it->s, &buffer, 1, NULL, &it->flags, (SOCKADDR *)&it->from,
			    &it->from_length, &it->overlapped, NULL) == SOCKET_ERROR);
	REQUIRE(WSAGetLastError() == WSA_IO_PENDING);
}

static void open_processor(struct receive *it, USHORT processor, SOCKET s, ULONG64 token)
{
	DWORD returned = UNTOUCHED_DWORD;

	it->s = s;
	CHECK_EQUAL(control(s, SIO_CPU_AFFINITY, &processor, sizeof(processor), NULL, 0, &returned),
		    0);
	CHECK_EQUAL(associate(s, token), 0);
}

/* Whichever processor gets it: it comes whole, from the client, and is answered from the port. */
static void serve_one(void)
{
	struct receive *it;
	LPOVERLAPPED overlapped = NULL;
	ULONG_PTR key = 0;
	DWORD bytes = 0, sent = 0;
	WSABUF answer;

	REQUIRE(GetQueuedCompletionStatus(port, &bytes, &key, &overlapped, INFINITE));
	REQUIRE(key < processors);
	it = &receives[key];
	CHECK(overlapped == &it->overlapped);
	CHECK_EQUAL(it->from_length, sizeof(it->from));
	answer.len = bytes;
	answer.buf = it->data;
	CHECK_EQUAL(WSASendTo(it->s, &answer, 1, &sent, 0, (SOCKADDR *)&it->from, it->from_length,
			      NULL, NULL),
		    0);
	CHECK_EQUAL(sent, bytes);
	arm(it);
}

static void client(USHORT server, int number)
{
	SOCKET s = udp();
	SOCKADDR_IN to, from;
	int length = sizeof(from);
	char text[16] = { 0 }, answer[16] = { 0 };

	memset(&to, 0, sizeof(to));
	to.sin_family = AF_INET;
	to.sin_port = htons(server);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	snprintf(text, sizeof(text), "packet %d", number);
	CHECK_EQUAL(sendto(s, text, sizeof(text), 0, (SOCKADDR *)&to, sizeof(to)), sizeof(text));
	serve_one();
	CHECK_EQUAL(recvfrom(s, answer, sizeof(answer), 0, (SOCKADDR *)&from, &length),
		    sizeof(answer));
	CHECK(memcmp(text, answer, sizeof(text)) == 0);
	CHECK_EQUAL(ntohs(from.sin_port), server);
	CHECK(closesocket(s) == 0);
}

/* Each receive is cancelled and told once; the port stays reserved until its owner goes. */
static void stop(SOCKET owner, USHORT server)
{
	int told[MOST] = { 0 };
	LPOVERLAPPED overlapped;
	ULONG_PTR key;
	DWORD bytes;
	size_t i;

	for (i = 0; i < processors; i++)
		CHECK(CancelIoEx((HANDLE)receives[i].s, &receives[i].overlapped));
	for (i = 0; i < processors; i++) {
		CHECK(!GetQueuedCompletionStatus(port, &bytes, &key, &overlapped, INFINITE));
		CHECK_EQUAL(GetLastError(), ERROR_OPERATION_ABORTED);
		REQUIRE(key < processors && overlapped == &receives[key].overlapped);
		told[key]++;
	}
	for (i = 0; i < processors; i++) {
		CHECK_EQUAL(told[i], 1);
		CHECK(closesocket(receives[i].s) == 0);
	}
	CHECK(!GetQueuedCompletionStatus(port, &bytes, &key, &overlapped, 0));
	CHECK_EQUAL(GetLastError(), WAIT_TIMEOUT);
	CHECK(CloseHandle(port));
	CHECK(!can_bind(SOCK_DGRAM, server));
	CHECK(closesocket(owner) == 0);
	CHECK(can_bind(SOCK_DGRAM, server));
}

int main(int argc, char **argv)
{
	SOCKET owner, stranger;
	INET_PORT_RESERVATION_INSTANCE block;
	USHORT server;
	size_t i;

	(void)argv;
	start();
	processors = (size_t)sysconf(_SC_NPROCESSORS_ONLN);
	if (processors > MOST)
		processors = MOST;
	owner = udp();
	block = acquired(owner, 0, 1);
	server = ntohs(block.StartPort);
	port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);
	REQUIRE(port != NULL);
	for (i = 0; i < processors; i++) {
		SOCKET s =
			WSASocketW(AF_INET, SOCK_DGRAM, IPPROTO_UDP, NULL, 0, WSA_FLAG_OVERLAPPED);

		REQUIRE(s != INVALID_SOCKET);
		open_processor(&receives[i], (USHORT)i, s, block.Token);
		/* The block has only this port. */
		CHECK_EQUAL(bind_port(s, i == 0 ? 0 : server), 0);
		CHECK_EQUAL(local_port(s), server);
		CHECK(CreateIoCompletionPort((HANDLE)s, port, i, 0) == port);
		arm(&receives[i]);
	}
	CHECK(!can_bind(SOCK_DGRAM, server));
	if (argc == 1) {
		USHORT processor = 0;
		DWORD returned;

		/* One that shares ports is a stranger still. */
		stranger = udp();
		CHECK_EQUAL(control(stranger, SIO_CPU_AFFINITY, &processor, sizeof(processor), NULL,
				    0, &returned),
			    0);
		CHECK_EQUAL(bind_port(stranger, server), WSAEACCES);
		CHECK(closesocket(stranger) == 0);
	}
	for (i = 0; i < CLIENTS; i++)
		client(server, (int)i);
	stop(owner, server);
	CHECK(WSACleanup() == 0);
	return finish();
}

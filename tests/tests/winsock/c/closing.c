/* closesocket ends what other threads wait for at the socket, as on Windows. */
#include "check.h"

#include <semaphore.h>

/* ---- a thread that waits in the kernel ---- */

struct waiter {
	int (*call)(SOCKET s);
	SOCKET s;
	pid_t tid;
	int result;
	sem_t started;
	pthread_t thread;
};

static void *run(void *argument)
{
	struct waiter *it = argument;

	it->tid = (pid_t)syscall(SYS_gettid);
	sem_post(&it->started);
	it->result = it->call(it->s);
	return NULL;
}

/* Whether the thread sleeps in a system call that may wait for a socket. */
static int is_in_kernel(pid_t tid)
{
	static const long calls[] = { SYS_recvmsg, SYS_sendmsg, SYS_accept4, SYS_connect,
				      SYS_ppoll };
	long call = sleeps_in(tid);
	size_t i;

	for (i = 0; i < COUNT(calls); i++)
		if (call == calls[i])
			return 1;
	return 0;
}

static void start_waiter(struct waiter *it, SOCKET s, int (*call)(SOCKET s))
{
	it->call = call;
	it->s = s;
	REQUIRE(sem_init(&it->started, 0, 0) == 0);
	REQUIRE(pthread_create(&it->thread, NULL, run, it) == 0);
	sem_wait(&it->started);
	while (!is_in_kernel(it->tid))
		sched_yield();
}

static int end_of(struct waiter *it)
{
	REQUIRE(pthread_join(it->thread, NULL) == 0);
	return it->result;
}

/* ---- sockets at which every call waits ---- */

struct pair {
	SOCKET a, b;
};

static void local(SOCKADDR_IN *address, USHORT port)
{
	memset(address, 0, sizeof(*address));
	address->sin_family = AF_INET;
	address->sin_port = htons(port);
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

static SOCKET listener(int backlog)
{
	SOCKET s = tcp();

	CHECK_EQUAL(bind_port(s, 0), 0);
	CHECK(listen(s, backlog) == 0);
	return s;
}

static struct pair streams(void)
{
	SOCKET from = listener(1);
	SOCKADDR_IN address;
	struct pair pair;

	local(&address, local_port(from));
	pair.a = tcp();
	REQUIRE(connect(pair.a, (SOCKADDR *)&address, sizeof(address)) == 0);
	pair.b = accept(from, NULL, (int *)NULL);
	REQUIRE(pair.b != INVALID_SOCKET);
	CHECK(closesocket(from) == 0);
	return pair;
}

static struct pair datagrams(void)
{
	struct pair pair = { udp(), INVALID_SOCKET };

	CHECK_EQUAL(bind_port(pair.a, 0), 0);
	return pair;
}

static struct pair listening(void)
{
	struct pair pair = { listener(1), INVALID_SOCKET };

	return pair;
}

/* The queue of the listener is full: who connects waits. */
static USHORT crowded;

static struct pair connecting(void)
{
	struct pair pair = { tcp(), INVALID_SOCKET };

	return pair;
}

/* ---- the calls: their error ---- */

static char room[64];

static int error_of(int result)
{
	return result == SOCKET_ERROR ? WSAGetLastError() : 0;
}

static int call_recv(SOCKET s)
{
	return error_of((int)recv(s, room, sizeof(room), 0));
}

static int call_recv_whole(SOCKET s)
{
	return error_of((int)recv(s, room, sizeof(room), MSG_WAITALL));
}

static int call_recvfrom(SOCKET s)
{
	SOCKADDR_IN from;
	int length = sizeof(from);

	return error_of((int)recvfrom(s, room, sizeof(room), 0, (SOCKADDR *)&from, &length));
}

static int call_wsarecv(SOCKET s)
{
	WSABUF buffer = { sizeof(room), room };
	DWORD bytes, flags = 0;

	return error_of(WSARecv(s, &buffer, 1, &bytes, &flags, NULL, NULL));
}

static int call_accept(SOCKET s)
{
	return error_of((int)accept(s, NULL, (int *)NULL));
}

static int call_connect(SOCKET s)
{
	SOCKADDR_IN to;

	local(&to, crowded);
	return error_of(connect(s, (SOCKADDR *)&to, sizeof(to)));
}

/* When nothing more fits. */
static int call_send(SOCKET s)
{
	while (send(s, room, sizeof(room), MSG_DONTWAIT) != SOCKET_ERROR)
		;
	CHECK_EQUAL(WSAGetLastError(), WSAEWOULDBLOCK);
	return error_of((int)send(s, room, sizeof(room), 0));
}

static int call_select(SOCKET s)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(s, &set);
	return error_of(select(0, &set, NULL, NULL, NULL));
}

static int call_select_exceptions(SOCKET s)
{
	const struct timeval time = { 3600, 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(s, &set);
	return error_of(select(0, NULL, NULL, &set, &time));
}

static int call_poll(SOCKET s)
{
	WSAPOLLFD polled[2] = { { -1, POLLIN, 0 }, { (int)s, POLLIN, 0 } };

	CHECK_EQUAL(WSAPoll(polled, 2, -1), 1);
	CHECK_EQUAL(polled[0].revents, POLLNVAL);
	return polled[1].revents;
}

static const struct {
	const char *what;
	struct pair (*make)(void);
	int (*call)(SOCKET s);
	int error;
} rows[] = {
	{ "recv of a stream", streams, call_recv, WSAEINTR },
	{ "recv of all of a stream", streams, call_recv_whole, WSAEINTR },
	{ "recv of a datagram", datagrams, call_recv, WSAEINTR },
	{ "recvfrom", datagrams, call_recvfrom, WSAEINTR },
	{ "WSARecv of a stream", streams, call_wsarecv, WSAEINTR },
	{ "WSARecv of a datagram", datagrams, call_wsarecv, WSAEINTR },
	{ "accept", listening, call_accept, WSAEINTR },
	{ "connect", connecting, call_connect, WSAEINTR },
	{ "send", streams, call_send, WSAEINTR },
	{ "select", datagrams, call_select, WSAENOTSOCK },
	{ "select of a listener", listening, call_select, WSAENOTSOCK },
	{ "select for exceptions", streams, call_select_exceptions, WSAENOTSOCK },
	{ "WSAPoll", datagrams, call_poll, POLLNVAL },
};

static void every_call_ends(void)
{
	SOCKET full = listener(0), first = tcp();
	SOCKADDR_IN address;
	size_t i;

	crowded = local_port(full);
	local(&address, crowded);
	CHECK(connect(first, (SOCKADDR *)&address, sizeof(address)) == 0);
	FOR_EACH_ROW(i, rows) {
		struct pair pair = rows[i].make();
		struct waiter waiters[2];

		start_waiter(&waiters[0], pair.a, rows[i].call);
		if (rows[i].call != call_send && rows[i].call != call_connect)
			start_waiter(&waiters[1], pair.a, rows[i].call);
		else
			start_waiter(&waiters[1], pair.a, call_select_exceptions);
		CHECK(closesocket(pair.a) == 0);
		CHECK(!is_open((int)pair.a));
		CHECK_EQUAL(end_of(&waiters[0]), rows[i].error);
		CHECK_EQUAL(end_of(&waiters[1]),
			    waiters[1].call == rows[i].call ? rows[i].error : WSAENOTSOCK);
		CHECK(pair.b == INVALID_SOCKET || closesocket(pair.b) == 0);
	}
	CHECK(!closesocket(first) && !closesocket(full));
}

/* As many programs end a thread that serves. */
static int serve(SOCKET s)
{
	SOCKET accepted;

	while ((accepted = accept(s, NULL, (int *)NULL)) != INVALID_SOCKET)
		CHECK(closesocket(accepted) == 0);
	return WSAGetLastError();
}

static void a_server_is_ended(void)
{
	SOCKET s = listener(4);
	struct waiter server;
	SOCKADDR_IN address;
	int i;

	start_waiter(&server, s, serve);
	local(&address, local_port(s));
	for (i = 0; i < 3; i++) {
		SOCKET client = tcp();

		CHECK(connect(client, (SOCKADDR *)&address, sizeof(address)) == 0);
		CHECK_EQUAL(recv(client, room, 1, 0), 0);
		CHECK(closesocket(client) == 0);
	}
	CHECK(closesocket(s) == 0);
	CHECK_EQUAL(end_of(&server), WSAEINTR);
}

/* A copy of the socket lives on where nobody waits. */
static void copies(void)
{
	struct pair pair = streams();
	int copy = dup((int)pair.a);
	struct waiter waiter;

	CHECK(closesocket(pair.a) == 0);
	CHECK_EQUAL(send((SOCKET)copy, "text", 4, 0), 4);
	CHECK_EQUAL(recv(pair.b, room, sizeof(room), 0), 4);
	/* A call that waits can only be woken at all of them. */
	pair.a = (SOCKET)dup(copy);
	start_waiter(&waiter, pair.a, call_recv);
	CHECK(closesocket(pair.a) == 0);
	CHECK_EQUAL(end_of(&waiter), WSAEINTR);
	CHECK_EQUAL(recv((SOCKET)copy, room, sizeof(room), 0), 0);
	CHECK_EQUAL(recv(pair.b, room, sizeof(room), 0), 0);
	CHECK(!closesocket((SOCKET)copy) && !closesocket(pair.b));
}

/* Calls of other families go on, as those of close(2) do: nobody waits for them. */
static void other_families(void)
{
	int pair[2];
	struct waiter waiter;

	REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
	start_waiter(&waiter, (SOCKET)pair[0], call_recv);
	CHECK(closesocket((SOCKET)pair[0]) == 0);
	CHECK_EQUAL(send((SOCKET)pair[1], "text", 4, 0), 4);
	CHECK_EQUAL(end_of(&waiter), 0);
	CHECK(closesocket((SOCKET)pair[1]) == 0);
}

/* A thread that was cancelled in the call is waited for by nobody. */
static void cancelled_threads(void)
{
	struct pair pair = datagrams();
	struct waiter waiter;

	start_waiter(&waiter, pair.a, call_recv);
	CHECK(pthread_cancel(waiter.thread) == 0);
	end_of(&waiter);
	CHECK(closesocket(pair.a) == 0);
}

/* A blocking call sends all, however long the peer takes. */
static int receive_all(SOCKET s)
{
	static char piece[50000];
	int all = 0, length;

	while ((length = (int)recv(s, piece, sizeof(piece), 0)) > 0)
		all += length;
	return length == 0 ? all : -1;
}

static void a_stream_is_sent_whole(void)
{
	static char much[16 << 20];
	WSABUF buffers[2000];
	struct pair pair = streams();
	struct waiter reader;
	DWORD sent = 0;
	size_t i;

	/* More buffers than the kernel takes at once. */
	for (i = 0; i < COUNT(buffers); i++) {
		buffers[i].buf = much + i * 8000;
		buffers[i].len = 8000;
	}
	start_waiter(&reader, pair.b, receive_all);
	CHECK_EQUAL(send(pair.a, much, sizeof(much), 0), sizeof(much));
	CHECK(WSASend(pair.a, buffers, COUNT(buffers), &sent, 0, NULL, NULL) == 0);
	CHECK_EQUAL(sent, 16000000);
	CHECK(shutdown(pair.a, SD_SEND) == 0);
	CHECK_EQUAL(end_of(&reader), sizeof(much) + sent);
	CHECK(!closesocket(pair.a) && !closesocket(pair.b));
}

/* The last WSACleanup closes what was made here. */
static void the_end(void)
{
	struct pair pair = datagrams();
	struct waiter waiter;

	start_waiter(&waiter, pair.a, call_recv);
	CHECK(WSACleanup() == 0);
	CHECK_EQUAL(end_of(&waiter), WSAEINTR);
	CHECK(!is_open((int)pair.a));
}

int main(void)
{
	start();
	every_call_ends();
	a_server_is_ended();
	copies();
	other_families();
	cancelled_threads();
	a_stream_is_sent_whole();
	the_end();
	return finish();
}

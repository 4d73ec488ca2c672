/*
 * Threads that send and receive overlapped on the same sockets, told by routines or by a completion port,
 * while others cancel, close and open them again: every operation that was started ends, and is told,
 * exactly once, and one that was refused never.
 *
 * argument: how many operations, 100000 unless given
 */
#include "check.h"

#include <sys/resource.h>

enum {
	WORKERS = 4,
	COLLECTORS = 2,
	DATAGRAMS = 6,
	STREAMS = 2,
	SLOTS = DATAGRAMS + STREAMS
};

struct operation {
	WSAOVERLAPPED overlapped;
	char bytes[16];
	/* Not refused. */
	int started;
	int completions;
};

static SOCKET sockets[SLOTS];
/* NULL while routines are told. */
static HANDLE port;
static int nothing;
static int total = 100000;

struct worker {
	pthread_t thread;
	unsigned int seed;
	struct operation *operations;
	int count, waiting;
};

static _Thread_local struct worker *self;

static unsigned int draw(unsigned int below)
{
	self->seed = self->seed * 1664525 + 1013904223;
	return (self->seed >> 8) % below;
}

static int is_expected(DWORD error)
{
	return error == 0 || error == WSA_OPERATION_ABORTED || error == WSAECONNRESET ||
	       error == WSAECONNABORTED || error == WSAENOTSOCK || error == WSAENOTCONN;
}

static void count(LPWSAOVERLAPPED overlapped)
{
	struct operation *it = (struct operation *)overlapped;

	CHECK(HasOverlappedIoCompleted(overlapped));
	__atomic_fetch_add(&it->completions, 1, __ATOMIC_RELAXED);
}

static void CALLBACK routine(DWORD error, DWORD bytes, LPWSAOVERLAPPED overlapped, DWORD flags)
{
	CHECK(is_expected(error));
	CHECK(bytes <= 16 && flags == 0);
	self->waiting--;
	count(overlapped);
}

static void *collect(void *argument)
{
	OVERLAPPED_ENTRY entries[16];
	ULONG removed, i, last = 0;

	(void)argument;
	for (;;) {
		CHECK(GetQueuedCompletionStatusEx(port, entries, COUNT(entries), &removed, INFINITE,
						  FALSE));
		for (i = 0; i < removed; i++) {
			CHECK_EQUAL(entries[i].lpCompletionKey, 42);
			if (entries[i].lpOverlapped)
				count(entries[i].lpOverlapped);
			else
				last++;
		}
		/* Whoever got several ends others in its place. */
		for (; last > 1; last--)
			CHECK(PostQueuedCompletionStatus(port, 0, 42, NULL));
		if (last)
			return NULL;
	}
}

static SOCKET published(SOCKET s, int slot)
{
	if (port)
		REQUIRE(CreateIoCompletionPort((HANDLE)s, port, 42, 0) == port);
	return __atomic_exchange_n(&sockets[slot], s, __ATOMIC_ACQ_REL);
}

/* A thread may still have the number: it stays one of no socket, so that all that is told has a place. */
static void close_for_good(SOCKET s)
{
	CHECK(closesocket(s) == 0);
	REQUIRE(dup2(nothing, (int)s) == (int)s);
}

/* A datagram socket that sends to itself. */
static SOCKET to_itself(void)
{
	SOCKET s = udp();
	SOCKADDR_IN name;
	int length = sizeof(name);

	REQUIRE(bind_port(s, 0) == 0);
	REQUIRE(getsockname(s, (SOCKADDR *)&name, &length) == 0);
	REQUIRE(connect(s, (SOCKADDR *)&name, sizeof(name)) == 0);
	return s;
}

static void connected(SOCKET pair[2])
{
	SOCKET listener = tcp();
	SOCKADDR_IN name;
	int length = sizeof(name);

	pair[0] = tcp();
	REQUIRE(bind_port(listener, 0) == 0 && listen(listener, 1) == 0);
	REQUIRE(getsockname(listener, (SOCKADDR *)&name, &length) == 0);
	REQUIRE(connect(pair[0], (SOCKADDR *)&name, sizeof(name)) == 0);
	pair[1] = accept(listener, NULL, (int *)NULL);
	REQUIRE(pair[1] != INVALID_SOCKET && closesocket(listener) == 0);
}

static pthread_mutex_t closing = PTHREAD_MUTEX_INITIALIZER;

static void close_and_open(void)
{
	int slot = (int)draw(SLOTS), i;
	SOCKET pair[2];

	REQUIRE(pthread_mutex_lock(&closing) == 0);
	if (slot < DATAGRAMS) {
		close_for_good(published(to_itself(), slot));
	} else {
		connected(pair);
		for (i = 0; i < STREAMS; i++)
			close_for_good(published(pair[i], DATAGRAMS + i));
	}
	REQUIRE(pthread_mutex_unlock(&closing) == 0);
}

static void start_one(struct operation *it, SOCKET s)
{
	WSABUF buffer = { sizeof(it->bytes), it->bytes };
	DWORD flags = 0;
	int failed;

	if (draw(5) < 3)
		failed = WSARecv(s, &buffer, 1, NULL, &flags, &it->overlapped,
				 port ? NULL : routine);
	else
		failed = WSASend(s, &buffer, 1, NULL, 0, &it->overlapped, port ? NULL : routine);
	it->started = !failed || WSAGetLastError() == WSA_IO_PENDING;
	if (it->started && !port)
		self->waiting++;
	CHECK(it->started || is_expected((DWORD)WSAGetLastError()));
}

static void *work(void *argument)
{
	int i;

	self = (struct worker *)argument;
	for (i = 0; i < self->count; i++) {
		SOCKET s = __atomic_load_n(&sockets[draw(SLOTS)], __ATOMIC_ACQUIRE);

		start_one(&self->operations[i], s);
		switch (draw(64)) {
		case 0:
			close_and_open();
			break;
		case 1:
			CancelIo((HANDLE)s);
			break;
		case 2:
		case 3:
		case 4:
		case 5:
			CancelIoEx((HANDLE)s,
				   &self->operations[draw((unsigned int)i + 1)].overlapped);
			break;
		case 6:
			CancelIoEx((HANDLE)s, NULL);
			break;
		case 7:
		case 8:
			SleepEx(0, TRUE);
			break;
		}
	}
	/* What is left goes with the sockets. */
	while (self->waiting) {
		for (i = 0; i < SLOTS; i++)
			CancelIo((HANDLE)__atomic_load_n(&sockets[i], __ATOMIC_ACQUIRE));
		SleepEx(10, TRUE);
	}
	return NULL;
}

static void storm(void)
{
	static struct worker workers[WORKERS];
	pthread_t collectors[COLLECTORS];
	SOCKET pair[2];
	DWORD bytes;
	ULONG_PTR key;
	LPOVERLAPPED overlapped;
	int i, j;

	connected(pair);
	for (i = 0; i < SLOTS; i++)
		published(i < DATAGRAMS ? to_itself() : pair[i - DATAGRAMS], i);
	for (i = 0; port && i < COLLECTORS; i++)
		REQUIRE(pthread_create(&collectors[i], NULL, collect, NULL) == 0);
	for (i = 0; i < WORKERS; i++) {
		workers[i].seed = 20261130u + (unsigned int)i;
		workers[i].count = total / 2 / WORKERS;
		workers[i].operations = (struct operation *)calloc((size_t)workers[i].count,
								   sizeof(struct operation));
		REQUIRE(workers[i].operations != NULL);
		REQUIRE(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
	}
	for (i = 0; i < WORKERS; i++)
		CHECK(pthread_join(workers[i].thread, NULL) == 0);
	for (i = 0; i < SLOTS; i++)
		CHECK(closesocket(sockets[i]) == 0);
	/* After all that the sockets told. */
	for (i = 0; port && i < COLLECTORS; i++)
		CHECK(PostQueuedCompletionStatus(port, 0, 42, NULL));
	for (i = 0; port && i < COLLECTORS; i++)
		CHECK(pthread_join(collectors[i], NULL) == 0);
	if (port)
		CHECK(!GetQueuedCompletionStatus(port, &bytes, &key, &overlapped, 0) &&
		      overlapped == NULL);
	for (i = 0; i < WORKERS; i++) {
		for (j = 0; j < workers[i].count && !failures; j++) {
			struct operation *it = &workers[i].operations[j];

			CHECK_EQUAL(it->completions, it->started);
			CHECK(!it->started || HasOverlappedIoCompleted(&it->overlapped));
		}
		free(workers[i].operations);
	}
}

int main(int argc, char **argv)
{
	struct rlimit limit;

	if (argc > 1)
		total = atoi(argv[1]);
	REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = limit.rlim_max;
	REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	nothing = open("/dev/null", O_RDONLY);
	REQUIRE(nothing >= 0);
	start();
	storm();
	port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);
	storm();
	CHECK(CloseHandle(port));
	CHECK(WSACleanup() == 0);
	return finish();
}

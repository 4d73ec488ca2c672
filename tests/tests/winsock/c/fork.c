/* A child of fork has no part in the blocks that its parent holds; and it can go on with the library. */
#include "check.h"

static INET_PORT_RESERVATION_INSTANCE block;
static SOCKET holder, associated;

/* Waits for the parent between its steps. */
static void child(int from, int to)
{
	SOCKET s = tcp();
	char byte = 0;

	/* The token names nothing here, and releases nothing there. */
	CHECK_EQUAL(release(s, block.Token), WSAEINVAL);
	CHECK_EQUAL(associate(s, block.Token), WSAEINVAL);
	CHECK_EQUAL(bind_port(associated, 0), WSAEADDRNOTAVAIL);
	CHECK(closesocket(associated) == 0);
	CHECK(!can_bind(SOCK_STREAM, ntohs(block.StartPort)));
	REQUIRE(write(to, &byte, 1) == 1);
	REQUIRE(read(from, &byte, 1) == 1);
	/* The parent has released them, and this process keeps none. */
	CHECK(can_bind(SOCK_STREAM, ntohs(block.StartPort)));
	/* A reservation of its own, which ends with it. */
	block = acquired(s, 0, 2);
	CHECK_EQUAL(release(s, block.Token), 0);
	CHECK(closesocket(s) == 0);
	REQUIRE(write(to, &byte, 1) == 1);
}

static int stop;

/* Keeps the library's lock busy, so that forks find it taken. */
static void *busy(void *unused)
{
	SOCKET s = udp();
	DWORD returned;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		CHECK_EQUAL(control(s, SIO_FLUSH, NULL, 0, NULL, 0, &returned), 0);
	CHECK(closesocket(s) == 0);
	return unused;
}

static void beside_threads(void)
{
	pthread_t threads[2];
	size_t i;

	for (i = 0; i < COUNT(threads); i++)
		REQUIRE(pthread_create(&threads[i], NULL, busy, NULL) == 0);
	for (i = 0; i < 50; i++) {
		int status = -1;
		pid_t pid = fork();

		REQUIRE(pid >= 0);
		if (pid == 0) {
			HANDLE event = CreateEvent(NULL, TRUE, TRUE, NULL);
			SOCKET s = tcp();

			CHECK_EQUAL(WaitForSingleObject(event, INFINITE), WAIT_OBJECT_0);
			CHECK_EQUAL(SleepEx(1, TRUE), 0);
			CHECK(closesocket(s) == 0);
			_exit(failures != 0);
		}
		CHECK_EQUAL(waitpid(pid, &status, 0), pid);
		CHECK_EQUAL(status, 0);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < COUNT(threads); i++)
		pthread_join(threads[i], NULL);
}

/* ---- completion ports ---- */

struct taker {
	HANDLE port;
	pid_t tid;
	int taken;
	pthread_t thread;
};

static void *take(void *argument)
{
	struct taker *it = argument;
	DWORD bytes;
	ULONG_PTR key;
	LPOVERLAPPED overlapped;

	__atomic_store_n(&it->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	if (GetQueuedCompletionStatus(it->port, &bytes, &key, &overlapped, INFINITE))
		__atomic_store_n(&it->taken, 1, __ATOMIC_RELEASE);
	else
		CHECK_EQUAL(GetLastError(), ERROR_ABANDONED_WAIT_0);
	return NULL;
}

static void start_taker(struct taker *it, HANDLE port)
{
	pid_t tid;

	it->port = port;
	it->tid = 0;
	it->taken = 0;
	REQUIRE(pthread_create(&it->thread, NULL, take, it) == 0);
	do
		sched_yield();
	while ((tid = __atomic_load_n(&it->tid, __ATOMIC_ACQUIRE)) == 0 ||
	       sleeps_in(tid) != SYS_futex);
}

/* Threads of the parent, which wait at a port, take no packet from the child's. */
static void ports_beside_threads(void)
{
	HANDLE port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);
	struct taker takers[4];
	struct process process;
	size_t i, taken = 0;

	for (i = 0; i < COUNT(takers); i++)
		start_taker(&takers[i], port);
	CHECK(PostQueuedCompletionStatus(port, 1, 2, NULL));
	while (taken == 0)
		for (i = 0; i < COUNT(takers); i++)
			taken += __atomic_load_n(&takers[i].taken, __ATOMIC_ACQUIRE);
	process.pid = fork();
	REQUIRE(process.pid >= 0);
	if (process.pid == 0) {
		for (i = 0; i < 2; i++)
			start_taker(&takers[i], port);
		for (i = 0; i < 2; i++)
			CHECK(PostQueuedCompletionStatus(port, 1, 2, NULL));
		for (i = 0; i < 2; i++)
			pthread_join(takers[i].thread, NULL);
		_exit(failures != 0);
	}
	process.to = process.from = -1;
	end_process(&process);
	CHECK(CloseHandle(port));
	for (i = 0; i < COUNT(takers); i++)
		pthread_join(takers[i].thread, NULL);
}

int main(void)
{
	struct process process;
	char byte = 0;

	start();
	holder = tcp();
	associated = tcp();
	block = acquired(holder, 0, 2);
	CHECK_EQUAL(associate(associated, block.Token), 0);
	process = start_process(child);
	REQUIRE(read(process.from, &byte, 1) == 1);
	/* The child's end of it changes nothing here. */
	CHECK(!can_bind(SOCK_STREAM, ntohs(block.StartPort)));
	CHECK_EQUAL(bind_port(associated, 0), 0);
	CHECK(closesocket(associated) == 0);
	CHECK_EQUAL(release(holder, block.Token), 0);
	REQUIRE(write(process.to, &byte, 1) == 1);
	REQUIRE(read(process.from, &byte, 1) == 1);
	end_process(&process);
	CHECK(closesocket(holder) == 0);
	beside_threads();
	ports_beside_threads();
	WSACleanup();
	return finish();
}

/* Completion ports: what is posted, what operations tell, who waits, and what a port at rest costs. */
#include "check.h"

#include <dirent.h>

static HANDLE new_port(void)
{
	HANDLE port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);

	REQUIRE(port != NULL);
	return port;
}

/* A packet, or what the wait for it came to. */
struct packet {
	BOOL success;
	DWORD error, bytes;
	ULONG_PTR key;
	LPOVERLAPPED overlapped;
};

static struct packet take(HANDLE port, DWORD milliseconds)
{
	struct packet packet;

	memset(&packet, UNTOUCHED, sizeof(packet));
	packet.success = GetQueuedCompletionStatus(port, &packet.bytes, &packet.key,
						   &packet.overlapped, milliseconds);
	packet.error = packet.success ? 0 : (DWORD)WSAGetLastError();
	return packet;
}

static void nothing_comes(HANDLE port)
{
	struct packet packet = take(port, 0);

	CHECK(!packet.success && packet.overlapped == NULL);
	CHECK_EQUAL(packet.error, WAIT_TIMEOUT);
	CHECK_EQUAL(packet.bytes, UNTOUCHED_DWORD);
}

static void comes(HANDLE port, DWORD error, DWORD bytes, ULONG_PTR key, LPOVERLAPPED overlapped)
{
	struct packet packet = take(port, INFINITE);

	CHECK_EQUAL(packet.error, error);
	CHECK_EQUAL(packet.bytes, bytes);
	CHECK_EQUAL(packet.key, key);
	CHECK(packet.overlapped == overlapped);
}

/* ---- packets of the program ---- */

static void posting(void)
{
	HANDLE port = new_port();
	OVERLAPPED overlapped;
	OVERLAPPED_ENTRY entries[4];
	ULONG removed = 0;
	size_t i;

	nothing_comes(port);
	CHECK(PostQueuedCompletionStatus(port, 1, 2, &overlapped));
	CHECK(PostQueuedCompletionStatus(port, 3, 4, NULL));
	comes(port, 0, 1, 2, &overlapped);
	comes(port, 0, 3, 4, NULL);
	for (i = 0; i < 6; i++)
		CHECK(PostQueuedCompletionStatus(port, (DWORD)i, 10 + i, &overlapped));
	CHECK(GetQueuedCompletionStatusEx(port, entries, 4, &removed, INFINITE, FALSE));
	CHECK_EQUAL(removed, 4);
	for (i = 0; i < 4; i++) {
		CHECK_EQUAL(entries[i].lpCompletionKey, 10 + i);
		CHECK_EQUAL(entries[i].dwNumberOfBytesTransferred, i);
		CHECK(entries[i].lpOverlapped == &overlapped && entries[i].Internal == 0);
	}
	CHECK(GetQueuedCompletionStatusEx(port, entries, 4, &removed, 0, FALSE));
	CHECK_EQUAL(removed, 2);
	CHECK(!GetQueuedCompletionStatusEx(port, entries, 4, &removed, 0, FALSE));
	CHECK_EQUAL(WSAGetLastError(), WAIT_TIMEOUT);
	CHECK(!GetQueuedCompletionStatusEx(port, entries, 0, &removed, 0, FALSE));
	CHECK_EQUAL(WSAGetLastError(), ERROR_INVALID_PARAMETER);
	CHECK(!GetQueuedCompletionStatusEx(port, NULL, 4, &removed, 0, FALSE));
	CHECK_EQUAL(WSAGetLastError(), ERROR_NOACCESS);
	/* What cannot be told is not taken. */
	CHECK(PostQueuedCompletionStatus(port, 1, 2, &overlapped));
	CHECK(!GetQueuedCompletionStatus(port, NULL, NULL, NULL, 0));
	CHECK_EQUAL(WSAGetLastError(), ERROR_NOACCESS);
	comes(port, 0, 1, 2, &overlapped);
	CHECK(CloseHandle(port));
	CHECK(!CloseHandle(port));
	CHECK_EQUAL(WSAGetLastError(), ERROR_INVALID_HANDLE);
	CHECK(!PostQueuedCompletionStatus(port, 0, 0, NULL));
	CHECK_EQUAL(WSAGetLastError(), ERROR_INVALID_HANDLE);
	CHECK_EQUAL(take(port, 0).error, ERROR_INVALID_HANDLE);
}

/* ---- sockets ---- */

static SOCKET a, b;

static void datagrams(void)
{
	SOCKADDR_IN name;
	int length = sizeof(name);

	a = udp();
	b = udp();
	REQUIRE(bind_port(a, 0) == 0 && bind_port(b, 0) == 0);
	REQUIRE(getsockname(b, (SOCKADDR *)&name, &length) == 0);
	REQUIRE(connect(a, (SOCKADDR *)&name, sizeof(name)) == 0);
}

static char bytes_received[64];

static int receive(SOCKET s, LPWSAOVERLAPPED overlapped, HANDLE event)
{
	WSABUF buffer = { sizeof(bytes_received), bytes_received };
	DWORD flags = 0;

	memset(overlapped, 0, sizeof(*overlapped));
	overlapped->hEvent = event;
	return WSARecv(s, &buffer, 1, NULL, &flags, overlapped, NULL) ? WSAGetLastError() : 0;
}

static void send_bytes(DWORD count)
{
	char bytes[100] = { 0 };
	WSABUF buffer = { count, bytes };
	DWORD sent;

	CHECK_EQUAL(WSASend(a, &buffer, 1, &sent, 0, NULL, NULL), 0);
}

static void associating(void)
{
	HANDLE port, other = new_port();
	WSAEVENT event = WSACreateEvent();
	SOCKET blocking = WSASocketW(AF_INET, SOCK_DGRAM, 0, NULL, 0, 0);
	OVERLAPPED overlapped;

	datagrams();
	CHECK(CreateIoCompletionPort(INVALID_HANDLE_VALUE, other, 0, 0) == NULL);
	CHECK_EQUAL(WSAGetLastError(), ERROR_INVALID_PARAMETER);
	CHECK(CreateIoCompletionPort((HANDLE)event, NULL, 0, 0) == NULL);
	CHECK_EQUAL(WSAGetLastError(), ERROR_INVALID_HANDLE);
	CHECK(CreateIoCompletionPort((HANDLE)b, (HANDLE)event, 0, 0) == NULL);
	CHECK_EQUAL(WSAGetLastError(), ERROR_INVALID_HANDLE);
	CHECK(CreateIoCompletionPort((HANDLE)STDIN_FILENO, other, 0, 0) == NULL);
	CHECK_EQUAL(WSAGetLastError(), ERROR_INVALID_HANDLE);
	CHECK(CreateIoCompletionPort((HANDLE)blocking, other, 0, 0) == NULL);
	CHECK_EQUAL(WSAGetLastError(), ERROR_INVALID_PARAMETER);
	port = CreateIoCompletionPort((HANDLE)b, NULL, 7, 0);
	REQUIRE(port != NULL);
	CHECK(CreateIoCompletionPort((HANDLE)b, other, 8, 0) == NULL);
	CHECK_EQUAL(WSAGetLastError(), ERROR_INVALID_PARAMETER);

	/* Later, and at once. */
	CHECK_EQUAL(receive(b, &overlapped, NULL), WSA_IO_PENDING);
	nothing_comes(port);
	send_bytes(5);
	comes(port, 0, 5, 7, &overlapped);
	send_bytes(6);
	CHECK_EQUAL(receive(b, &overlapped, NULL), 0);
	comes(port, 0, 6, 7, &overlapped);
	/* An event besides; one with its lowest bit set stands alone. */
	CHECK_EQUAL(receive(b, &overlapped, event), WSA_IO_PENDING);
	send_bytes(7);
	comes(port, 0, 7, 7, &overlapped);
	CHECK_EQUAL(WSAWaitForMultipleEvents(1, &event, TRUE, 0, FALSE), 0);
	CHECK_EQUAL(receive(b, &overlapped, (HANDLE)((ULONG_PTR)event | 1)), WSA_IO_PENDING);
	CHECK_EQUAL(WSAWaitForMultipleEvents(1, &event, TRUE, 0, FALSE), WSA_WAIT_TIMEOUT);
	send_bytes(8);
	CHECK_EQUAL(WSAWaitForMultipleEvents(1, &event, TRUE, INFINITE, FALSE), 0);
	nothing_comes(port);
	/* What fails. */
	CHECK_EQUAL(receive(b, &overlapped, NULL), WSA_IO_PENDING);
	send_bytes(65);
	comes(port, ERROR_MORE_DATA, 64, 7, &overlapped);
	CHECK_EQUAL(receive(b, &overlapped, NULL), WSA_IO_PENDING);
	CHECK(CancelIoEx((HANDLE)b, &overlapped));
	comes(port, ERROR_OPERATION_ABORTED, 0, 7, &overlapped);
	CHECK_EQUAL(receive(b, &overlapped, NULL), WSA_IO_PENDING);
	CHECK(closesocket(b) == 0);
	comes(port, ERROR_OPERATION_ABORTED, 0, 7, &overlapped);
	nothing_comes(port);
	CHECK(closesocket(a) == 0 && closesocket(blocking) == 0);
	CHECK(CloseHandle(port) && CloseHandle(other) && WSACloseEvent(event));
}

static void CALLBACK routine(DWORD error, DWORD bytes, LPWSAOVERLAPPED overlapped, DWORD flags)
{
	(void)error, (void)bytes, (void)overlapped, (void)flags;
}

/* The control codes of reservations tell a port, too, whether they succeed or not. */
static void control_calls(void)
{
	HANDLE port = new_port();
	SOCKET s = tcp();
	INET_PORT_RANGE wanted = range(20000, 1), none = range(20000, 0);
	INET_PORT_RESERVATION_INSTANCE out;
	OVERLAPPED overlapped;
	DWORD returned;

	REQUIRE(CreateIoCompletionPort((HANDLE)s, port, 9, 0) == port);
	memset(&overlapped, 0, sizeof(overlapped));
	CHECK_EQUAL(WSAIoctl(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, 4, &out, 16, &returned,
			     &overlapped, NULL),
		    0);
	comes(port, 0, 16, 9, &overlapped);
	CHECK_EQUAL(ntohs(out.Reservation.StartPort), 20000);
	CHECK(WSAIoctl(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, 4, &out, 16, &returned,
		       &overlapped, NULL) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSA_IO_PENDING);
	comes(port, ERROR_SHARING_VIOLATION, 0, 9, &overlapped);
	CHECK(WSAIoctl(s, SIO_ACQUIRE_PORT_RESERVATION, &none, 4, &out, 16, &returned, &overlapped,
		       NULL) == SOCKET_ERROR);
	comes(port, ERROR_INVALID_PARAMETER, 0, 9, &overlapped);
	/* With a port there are no routines. */
	CHECK(WSAIoctl(s, SIO_RELEASE_PORT_RESERVATION, &out.Token, 8, NULL, 0, &returned,
		       &overlapped, routine) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEINVAL);
	CHECK_EQUAL(WSAIoctl(s, SIO_RELEASE_PORT_RESERVATION, &out.Token, 8, NULL, 0, &returned,
			     &overlapped, NULL),
		    0);
	comes(port, 0, 0, 9, &overlapped);
	/* Success in the call may be told by the call alone. */
	CHECK(!SetFileCompletionNotificationModes((HANDLE)s, 4));
	CHECK_EQUAL(WSAGetLastError(), ERROR_INVALID_PARAMETER);
	CHECK(!SetFileCompletionNotificationModes(port, 1));
	CHECK_EQUAL(WSAGetLastError(), ERROR_INVALID_HANDLE);
	CHECK(SetFileCompletionNotificationModes((HANDLE)s, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS |
								    FILE_SKIP_SET_EVENT_ON_HANDLE));
	CHECK_EQUAL(WSAIoctl(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, 4, &out, 16, &returned,
			     &overlapped, NULL),
		    0);
	nothing_comes(port);
	CHECK(WSAIoctl(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, 4, &out, 16, &returned,
		       &overlapped, NULL) == SOCKET_ERROR);
	comes(port, ERROR_SHARING_VIOLATION, 0, 9, &overlapped);
	CHECK(closesocket(s) == 0 && CloseHandle(port));
}

/* ---- threads ---- */

struct waiter {
	HANDLE port;
	DWORD error;
	pthread_t thread;
};

static void *wait_for_one(void *argument)
{
	struct waiter *waiter = (struct waiter *)argument;

	waiter->error = take(waiter->port, INFINITE).error;
	return NULL;
}

static void waiting(void)
{
	struct waiter waiters[4];
	HANDLE port = new_port();
	size_t i;

	/* One packet wakes one; closing wakes all. */
	for (i = 0; i < COUNT(waiters); i++) {
		waiters[i].port = port;
		REQUIRE(pthread_create(&waiters[i].thread, NULL, wait_for_one, &waiters[i]) == 0);
	}
	SleepEx(20, FALSE);
	CHECK(PostQueuedCompletionStatus(port, 0, 0, NULL));
	for (i = 0; take(port, 0).success; i++)
		;
	CHECK(i <= 1);
	if (i)
		CHECK(PostQueuedCompletionStatus(port, 0, 0, NULL));
	while (take(port, 0).success)
		CHECK(PostQueuedCompletionStatus(port, 0, 0, NULL));
	CHECK(CloseHandle(port));
	{
		size_t got = 0;

		for (i = 0; i < COUNT(waiters); i++) {
			CHECK(pthread_join(waiters[i].thread, NULL) == 0);
			got += waiters[i].error == 0;
			/* One that had not got to waiting finds no port. */
			CHECK(waiters[i].error == 0 || waiters[i].error == ERROR_ABANDONED_WAIT_0 ||
			      waiters[i].error == ERROR_INVALID_HANDLE);
		}
		CHECK_EQUAL(got, 1);
	}
}

static int calls;

static void CALLBACK count(DWORD_PTR context)
{
	(void)context;
	calls++;
}

static void *post_later(void *argument)
{
	SleepEx(20, FALSE);
	CHECK(PostQueuedCompletionStatus(*(HANDLE *)argument, 5, 6, NULL));
	return NULL;
}

static void alertable_waits(void)
{
	HANDLE port = new_port();
	WSATHREADID self;
	OVERLAPPED_ENTRY entry;
	ULONG removed;
	pthread_t thread;
	int error;

	CHECK(WPUOpenCurrentThread(&self, &error) == 0);
	CHECK(WPUQueueApc(&self, count, 0, &error) == 0);
	CHECK(!GetQueuedCompletionStatusEx(port, &entry, 1, &removed, 0, FALSE));
	CHECK_EQUAL(WSAGetLastError(), WAIT_TIMEOUT);
	CHECK(!GetQueuedCompletionStatusEx(port, &entry, 1, &removed, INFINITE, TRUE));
	CHECK_EQUAL(WSAGetLastError(), WAIT_IO_COMPLETION);
	CHECK_EQUAL(calls, 1);
	REQUIRE(pthread_create(&thread, NULL, post_later, &port) == 0);
	CHECK(GetQueuedCompletionStatusEx(port, &entry, 1, &removed, INFINITE, TRUE));
	CHECK_EQUAL(entry.dwNumberOfBytesTransferred, 5);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(CloseHandle(port));
}

static void *start_and_end(void *overlapped)
{
	CHECK_EQUAL(receive(b, (LPWSAOVERLAPPED)overlapped, NULL), WSA_IO_PENDING);
	return NULL;
}

/* With a port an operation outlives its thread. */
static void the_end_of_the_thread(void)
{
	HANDLE port = new_port();
	OVERLAPPED overlapped;
	pthread_t thread;

	datagrams();
	REQUIRE(CreateIoCompletionPort((HANDLE)b, port, 1, 0) == port);
	REQUIRE(pthread_create(&thread, NULL, start_and_end, &overlapped) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	nothing_comes(port);
	send_bytes(3);
	comes(port, 0, 3, 1, &overlapped);
	/* Its descriptor is another socket's now, and nothing of the old is left. */
	CHECK_EQUAL(receive(b, &overlapped, NULL), WSA_IO_PENDING);
	close((int)b);
	CHECK_EQUAL(udp(), b);
	comes(port, ERROR_OPERATION_ABORTED, 0, 1, &overlapped);
	CHECK(CreateIoCompletionPort((HANDLE)b, port, 2, 0) == port);
	CHECK(closesocket(a) == 0 && closesocket(b) == 0 && CloseHandle(port));
}

/* How often the thread of the library has slept, and which processor time it has used. */
static int engines(unsigned long *switches)
{
	struct dirent *entry;
	DIR *tasks = opendir("/proc/self/task");
	int found = 0;

	REQUIRE(tasks != NULL);
	*switches = 0;
	while ((entry = readdir(tasks))) {
		char path[300], line[256];
		FILE *status;
		int is_engine = 0;

		snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
		status = fopen(path, "r");
		while (status && fgets(line, sizeof(line), status)) {
			unsigned long number;

			if (!strcmp(line, "Name:\tportkeep-io\n"))
				found += is_engine = 1;
			if (is_engine &&
			    (sscanf(line, "voluntary_ctxt_switches: %lu", &number) == 1 ||
			     sscanf(line, "nonvoluntary_ctxt_switches: %lu", &number) == 1))
				*switches += number;
		}
		if (status)
			fclose(status);
	}
	closedir(tasks);
	return found;
}

/* At rest the library has one thread, which does not wake: neither for pending operations, nor for
 * sockets on which data lies that nobody waits for. */
static void rest(void)
{
	HANDLE port = new_port();
	OVERLAPPED overlapped[4];
	unsigned long before, after;
	SOCKADDR_IN name;
	int length = sizeof(name);
	SOCKET c;
	int i;

	datagrams();
	REQUIRE(CreateIoCompletionPort((HANDLE)b, port, 1, 0) == port);
	CHECK_EQUAL(receive(b, &overlapped[0], NULL), WSA_IO_PENDING);
	send_bytes(1);
	comes(port, 0, 1, 1, &overlapped[0]);
	/* One that is told once more than somebody waits for. */
	send_bytes(1);
	send_bytes(1);
	c = udp();
	REQUIRE(bind_port(c, 0) == 0);
	REQUIRE(getsockname(c, (SOCKADDR *)&name, &length) == 0);
	for (i = 0; i < 4; i++) {
		WSABUF buffer = { sizeof(bytes_received), bytes_received };
		DWORD flags = 0;

		memset(&overlapped[i], 0, sizeof(overlapped[i]));
		CHECK(WSARecv(c, &buffer, 1, NULL, &flags, &overlapped[i], NULL) == SOCKET_ERROR);
	}
	/* Until it sleeps. */
	do {
		CHECK_EQUAL(engines(&before), 1);
		SleepEx(50, FALSE);
		CHECK_EQUAL(engines(&after), 1);
	} while (before != after);
	for (i = 0; i < 20; i++)
		send_bytes(1);
	SleepEx(200, FALSE);
	CHECK_EQUAL(engines(&after), 1);
	CHECK_EQUAL(after, before);
	CHECK(closesocket(a) == 0 && closesocket(b) == 0 && closesocket(c) == 0 &&
	      CloseHandle(port));
}

int main(void)
{
	unsigned long switches;

	start();
	posting();
	/* The thread is there from the first operation on that waits. */
	CHECK_EQUAL(engines(&switches), 0);
	control_calls();
	waiting();
	alertable_waits();
	CHECK_EQUAL(engines(&switches), 0);
	associating();
	the_end_of_the_thread();
	rest();
	CHECK(WSACleanup() == 0);
	return finish();
}

/* WSASend, WSARecv and their kin: blocking, overlapped with an event and with a routine, and cancelled. */
#include "check.h"

struct pair {
	SOCKET a, b;
};

static SOCKADDR_IN name_of(SOCKET s)
{
	SOCKADDR_IN name;
	int length = sizeof(name);

	REQUIRE(getsockname(s, (SOCKADDR *)&name, &length) == 0);
	return name;
}

static struct pair datagrams(void)
{
	struct pair pair = { udp(), udp() };
	SOCKADDR_IN name;

	REQUIRE(bind_port(pair.a, 0) == 0 && bind_port(pair.b, 0) == 0);
	name = name_of(pair.b);
	REQUIRE(connect(pair.a, (SOCKADDR *)&name, sizeof(name)) == 0);
	name = name_of(pair.a);
	REQUIRE(connect(pair.b, (SOCKADDR *)&name, sizeof(name)) == 0);
	return pair;
}

static struct pair streams(void)
{
	struct pair pair = { tcp(), INVALID_SOCKET };
	SOCKET listener = tcp();
	SOCKADDR_IN name;

	REQUIRE(bind_port(listener, 0) == 0 && listen(listener, 1) == 0);
	name = name_of(listener);
	REQUIRE(connect(pair.a, (SOCKADDR *)&name, sizeof(name)) == 0);
	pair.b = accept(listener, NULL, (int *)NULL);
	REQUIRE(pair.b != INVALID_SOCKET && closesocket(listener) == 0);
	return pair;
}

static void close_pair(struct pair pair)
{
	CHECK(closesocket(pair.a) == 0 && closesocket(pair.b) == 0);
}

/* ---- an operation on two buffers ---- */

struct operation {
	WSAOVERLAPPED overlapped;
	char first[4], second[60];
	DWORD bytes, flags;
	int calls;
	DWORD error, told, told_flags;
};

static void prepare(struct operation *it, WSAEVENT event)
{
	memset(it, 0, sizeof(*it));
	it->overlapped.hEvent = event;
	it->bytes = UNTOUCHED_DWORD;
	it->error = UNTOUCHED_DWORD;
}

static void CALLBACK routine(DWORD error, DWORD bytes, LPWSAOVERLAPPED overlapped, DWORD flags)
{
	struct operation *it = (struct operation *)overlapped;

	it->calls++;
	it->error = error;
	it->told = bytes;
	it->told_flags = flags;
}

/* 0, or the last error. */
static int receive(SOCKET s, struct operation *it, LPWSAOVERLAPPED_COMPLETION_ROUTINE completion)
{
	/* The array is the caller's again when the call returns. */
	WSABUF buffers[2] = { { sizeof(it->first), it->first },
			      { sizeof(it->second), it->second } };
	int result = WSARecv(s, buffers, 2, &it->bytes, &it->flags, &it->overlapped, completion);

	CHECK_EQUAL(result == 0, WSAGetLastError() == 0);
	memset(buffers, UNTOUCHED, sizeof(buffers));
	return WSAGetLastError();
}

static int send_text(SOCKET s, const char *text, LPWSAOVERLAPPED overlapped,
		     LPWSAOVERLAPPED_COMPLETION_ROUTINE completion)
{
	WSABUF buffers[3] = { { 1, (char *)text },
			      { 0, NULL },
			      { (ULONG)strlen(text) - 1, (char *)text + 1 } };
	DWORD bytes = UNTOUCHED_DWORD;

	if (WSASend(s, buffers, 3, &bytes, 0, overlapped, completion))
		return WSAGetLastError();
	CHECK_EQUAL(bytes, strlen(text));
	return 0;
}

static int result_of(SOCKET s, struct operation *it, BOOL wait)
{
	it->bytes = UNTOUCHED_DWORD;
	return WSAGetOverlappedResult(s, &it->overlapped, &it->bytes, wait, &it->flags) ?
		       0 :
		       WSAGetLastError();
}

static int is_set(WSAEVENT event)
{
	return WSAWaitForMultipleEvents(1, &event, FALSE, 0, FALSE) == WSA_WAIT_EVENT_0;
}

static void has_text(const struct operation *it, const char *text)
{
	size_t length = strlen(text);
	size_t first = length < sizeof(it->first) ? length : sizeof(it->first);

	CHECK(memcmp(it->first, text, first) == 0);
	CHECK(memcmp(it->second, text + first, length - first) == 0);
}

/* ---- cases ---- */

static void blocking_calls(struct pair pair)
{
	struct operation it;
	WSABUF buffer = { sizeof(it.second), it.second };

	prepare(&it, NULL);
	CHECK_EQUAL(send_text(pair.a, "blocking", NULL, NULL), 0);
	CHECK_EQUAL(WSARecv(pair.b, &buffer, 1, &it.bytes, &it.flags, NULL, NULL), 0);
	CHECK_EQUAL(it.bytes, 8);
	CHECK(memcmp(it.second, "blocking", 8) == 0);
	/* Without WSAOVERLAPPED the number has to go somewhere. */
	CHECK(WSARecv(pair.b, &buffer, 1, NULL, &it.flags, NULL, NULL) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK(WSASend(pair.b, &buffer, 1, NULL, 0, NULL, NULL) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK(WSARecv(pair.b, &buffer, 1, &it.bytes, NULL, NULL, NULL) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK(WSARecv(pair.b, NULL, 1, &it.bytes, &it.flags, NULL, NULL) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	it.flags = 0x10000;
	CHECK(WSARecv(pair.b, &buffer, 1, &it.bytes, &it.flags, NULL, NULL) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEOPNOTSUPP);
}

/* What is there already is done in the call, and its end told all the same. */
static void done_at_once(struct pair pair)
{
	WSAEVENT event = WSACreateEvent();
	struct operation it;

	prepare(&it, event);
	CHECK_EQUAL(send_text(pair.a, "at once", NULL, NULL), 0);
	CHECK_EQUAL(receive(pair.b, &it, NULL), 0);
	CHECK_EQUAL(it.bytes, 7);
	CHECK_EQUAL(it.overlapped.Internal, 0);
	CHECK_EQUAL(it.overlapped.InternalHigh, 7);
	CHECK(is_set(event));
	CHECK_EQUAL(result_of(pair.b, &it, FALSE), 0);
	CHECK_EQUAL(it.bytes, 7);
	has_text(&it, "at once");

	prepare(&it, NULL);
	CHECK_EQUAL(send_text(pair.a, "at once", &it.overlapped, routine), 0);
	CHECK_EQUAL(it.calls, 0);
	CHECK_EQUAL(SleepEx(0, TRUE), WAIT_IO_COMPLETION);
	CHECK_EQUAL(it.calls, 1);
	CHECK_EQUAL(it.error, 0);
	CHECK_EQUAL(it.told, 7);
	prepare(&it, NULL);
	CHECK_EQUAL(receive(pair.b, &it, routine), 0);
	CHECK_EQUAL(SleepEx(0, TRUE), WAIT_IO_COMPLETION);
	CHECK_EQUAL(it.calls, 1);
	CHECK_EQUAL(it.told, 7);
	CHECK(WSACloseEvent(event));
}

/* What has to wait is told later, in its order. */
static void told_later(struct pair pair)
{
	WSAEVENT event = WSACreateEvent();
	struct operation by_event, by_routine;
	DWORD bytes;

	prepare(&by_event, event);
	prepare(&by_routine, NULL);
	CHECK_EQUAL(receive(pair.b, &by_event, NULL), WSA_IO_PENDING);
	CHECK_EQUAL(by_event.bytes, UNTOUCHED_DWORD);
	CHECK_EQUAL(receive(pair.b, &by_routine, routine), WSA_IO_PENDING);
	CHECK(!HasOverlappedIoCompleted(&by_event.overlapped));
	CHECK_EQUAL(result_of(pair.b, &by_event, FALSE), WSA_IO_INCOMPLETE);
	CHECK(!GetOverlappedResult((HANDLE)pair.b, &by_event.overlapped, &bytes, FALSE));
	CHECK_EQUAL(WSAGetLastError(), ERROR_IO_INCOMPLETE);
	CHECK(!is_set(event));
	CHECK_EQUAL(SleepEx(0, TRUE), 0);
	/* Sending goes past it. */
	CHECK_EQUAL(send_text(pair.b, "other way", NULL, NULL), 0);
	CHECK_EQUAL(send_text(pair.a, "first", NULL, NULL), 0);
	CHECK_EQUAL(WSAWaitForMultipleEvents(1, &event, TRUE, WSA_INFINITE, FALSE), 0);
	CHECK_EQUAL(result_of(pair.b, &by_event, TRUE), 0);
	CHECK_EQUAL(by_event.bytes, 5);
	has_text(&by_event, "first");
	CHECK_EQUAL(by_routine.calls, 0);
	CHECK_EQUAL(send_text(pair.a, "second", NULL, NULL), 0);
	CHECK_EQUAL(SleepEx(WSA_INFINITE, TRUE), WAIT_IO_COMPLETION);
	CHECK_EQUAL(by_routine.calls, 1);
	CHECK_EQUAL(by_routine.error, 0);
	CHECK_EQUAL(by_routine.told, 6);
	has_text(&by_routine, "second");
	CHECK(GetOverlappedResult((HANDLE)pair.b, &by_event.overlapped, &bytes, TRUE));
	CHECK_EQUAL(bytes, 5);
	prepare(&by_event, event);
	CHECK_EQUAL(receive(pair.a, &by_event, NULL), 0);
	has_text(&by_event, "other way");
	CHECK(WSACloseEvent(event));
}

static void is_aborted(struct pair pair, struct operation *it)
{
	DWORD bytes;

	CHECK_EQUAL(result_of(pair.a, it, TRUE), WSA_OPERATION_ABORTED);
	CHECK_EQUAL(it->bytes, 0);
	CHECK_EQUAL((DWORD)it->overlapped.Internal, 0xC0000120);
	CHECK(!GetOverlappedResult((HANDLE)pair.a, &it->overlapped, &bytes, TRUE));
	CHECK_EQUAL(WSAGetLastError(), ERROR_OPERATION_ABORTED);
}

static void *cancel_elsewhere(void *argument)
{
	struct pair *pair = (struct pair *)argument;

	/* Nothing here is this thread's. */
	CHECK(CancelIo((HANDLE)pair->b));
	return NULL;
}

static void cancelling(struct pair pair)
{
	WSAEVENT event = WSACreateEvent();
	struct operation one, two, three;
	pthread_t thread;

	prepare(&one, event);
	prepare(&two, NULL);
	prepare(&three, NULL);
	/* Nothing to cancel. */
	CHECK(CancelIo((HANDLE)pair.b));
	CHECK(!CancelIoEx((HANDLE)pair.b, NULL));
	CHECK_EQUAL(WSAGetLastError(), ERROR_NOT_FOUND);
	CHECK(!CancelIo(INVALID_HANDLE_VALUE));
	CHECK_EQUAL(WSAGetLastError(), ERROR_INVALID_HANDLE);
	CHECK(!CancelIoEx((HANDLE)event, NULL));
	CHECK_EQUAL(WSAGetLastError(), ERROR_INVALID_HANDLE);

	CHECK_EQUAL(receive(pair.b, &one, NULL), WSA_IO_PENDING);
	CHECK_EQUAL(receive(pair.b, &two, routine), WSA_IO_PENDING);
	CHECK_EQUAL(receive(pair.b, &three, NULL), WSA_IO_PENDING);
	REQUIRE(pthread_create(&thread, NULL, cancel_elsewhere, &pair) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK_EQUAL(result_of(pair.b, &one, FALSE), WSA_IO_INCOMPLETE);
	/* The first, and what is behind it goes on. */
	CHECK(CancelIoEx((HANDLE)pair.b, &one.overlapped));
	is_aborted(pair, &one);
	CHECK(is_set(event));
	CHECK(!CancelIoEx((HANDLE)pair.b, &one.overlapped));
	CHECK_EQUAL(WSAGetLastError(), ERROR_NOT_FOUND);
	CHECK_EQUAL(result_of(pair.b, &two, FALSE), WSA_IO_INCOMPLETE);
	CHECK_EQUAL(send_text(pair.a, "two", NULL, NULL), 0);
	CHECK_EQUAL(SleepEx(WSA_INFINITE, TRUE), WAIT_IO_COMPLETION);
	CHECK_EQUAL(two.error, 0);
	has_text(&two, "two");
	/* All of this thread's. */
	prepare(&two, NULL);
	CHECK_EQUAL(receive(pair.b, &two, routine), WSA_IO_PENDING);
	CHECK(CancelIo((HANDLE)pair.b));
	is_aborted(pair, &three);
	CHECK_EQUAL(SleepEx(WSA_INFINITE, TRUE), WAIT_IO_COMPLETION);
	CHECK_EQUAL(two.calls, 1);
	CHECK_EQUAL(two.error, WSA_OPERATION_ABORTED);
	/* What comes now is for the next. */
	CHECK_EQUAL(send_text(pair.a, "next", NULL, NULL), 0);
	prepare(&one, NULL);
	receive(pair.b, &one, NULL);
	CHECK_EQUAL(result_of(pair.b, &one, TRUE), 0);
	has_text(&one, "next");
	CHECK(WSACloseEvent(event));
}

static void *receive_and_end(void *argument)
{
	static struct operation it;

	prepare(&it, NULL);
	CHECK_EQUAL(receive(*(SOCKET *)argument, &it, NULL), WSA_IO_PENDING);
	return &it;
}

static void ends_of_threads_and_sockets(struct pair pair)
{
	WSAEVENT event = WSACreateEvent();
	struct operation *threads, it, by_routine;
	pthread_t thread;
	void *result;

	REQUIRE(pthread_create(&thread, NULL, receive_and_end, &pair.b) == 0);
	CHECK(pthread_join(thread, &result) == 0);
	threads = (struct operation *)result;
	is_aborted(pair, threads);
	prepare(&it, event);
	prepare(&by_routine, NULL);
	CHECK_EQUAL(receive(pair.b, &it, NULL), WSA_IO_PENDING);
	CHECK_EQUAL(receive(pair.b, &by_routine, routine), WSA_IO_PENDING);
	CHECK(closesocket(pair.b) == 0);
	CHECK(is_set(event));
	is_aborted(pair, &it);
	CHECK_EQUAL(SleepEx(WSA_INFINITE, TRUE), WAIT_IO_COMPLETION);
	CHECK_EQUAL(by_routine.error, WSA_OPERATION_ABORTED);
	CHECK(WSACloseEvent(event));
	CHECK(closesocket(pair.a) == 0);
}

/* ---- what datagrams and streams have of their own ---- */

/* It is refused by the call, and nobody else is told. */
static void too_long_a_datagram(void)
{
	static char much[70000];
	struct pair pair = datagrams();
	HANDLE port = CreateIoCompletionPort((HANDLE)pair.b, NULL, 0, 0);
	WSABUF buffers[1025] = { { sizeof(much), much } };
	struct operation it;
	ULONG_PTR key;
	LPOVERLAPPED overlapped;
	DWORD bytes;

	prepare(&it, NULL);
	CHECK(WSASend(pair.a, buffers, 1, NULL, 0, &it.overlapped, routine) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEMSGSIZE);
	CHECK(WSASend(pair.b, buffers, 1, NULL, 0, &it.overlapped, NULL) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEMSGSIZE);
	/* More buffers than the kernel takes at once: nor is a part of it sent. */
	buffers[0].len = 1;
	CHECK(WSASend(pair.a, buffers, COUNT(buffers), &bytes, 0, NULL, NULL) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEMSGSIZE);
	CHECK_EQUAL(SleepEx(0, TRUE), 0);
	CHECK(!GetQueuedCompletionStatus(port, &bytes, &key, &overlapped, 0));
	CHECK_EQUAL(GetLastError(), WAIT_TIMEOUT);
	CHECK(closesocket(pair.a) == 0 && closesocket(pair.b) == 0 && CloseHandle(port));
}

static void a_long_datagram(void)
{
	struct pair pair = datagrams();
	struct operation it;
	char text[100];
	DWORD bytes;

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	/* At once, and later. */
	prepare(&it, NULL);
	CHECK_EQUAL(send_text(pair.a, text, NULL, NULL), 0);
	CHECK_EQUAL(receive(pair.b, &it, routine), WSAEMSGSIZE);
	CHECK_EQUAL(it.bytes, UNTOUCHED_DWORD);
	CHECK_EQUAL(it.flags, MSG_PARTIAL);
	CHECK_EQUAL(SleepEx(WSA_INFINITE, TRUE), WAIT_IO_COMPLETION);
	CHECK_EQUAL(it.calls, 1);
	CHECK_EQUAL(it.error, WSAEMSGSIZE);
	CHECK_EQUAL(it.told, 64);
	prepare(&it, NULL);
	CHECK_EQUAL(receive(pair.b, &it, NULL), WSA_IO_PENDING);
	CHECK_EQUAL(send_text(pair.a, text, NULL, NULL), 0);
	CHECK_EQUAL(result_of(pair.b, &it, TRUE), WSAEMSGSIZE);
	CHECK_EQUAL(it.bytes, 64);
	CHECK_EQUAL(it.flags, MSG_PARTIAL);
	CHECK(!GetOverlappedResult((HANDLE)pair.b, &it.overlapped, &bytes, FALSE));
	CHECK_EQUAL(WSAGetLastError(), ERROR_MORE_DATA);
	close_pair(pair);
}

static void senders_of_datagrams(void)
{
	SOCKET a = udp(), b = udp();
	struct operation it;
	SOCKADDR_IN to, from;
	int length = sizeof(from);
	WSABUF buffer = { 2, (char *)"hi" }, room = { sizeof(it.second), it.second };
	DWORD bytes;

	/* A socket that is not bound receives nothing. */
	prepare(&it, NULL);
	CHECK_EQUAL(receive(b, &it, NULL), WSAEINVAL);
	REQUIRE(bind_port(b, 0) == 0);
	to = name_of(b);
	CHECK(WSARecvFrom(b, &room, 1, &bytes, &it.flags, (SOCKADDR *)&from, &length,
			  &it.overlapped, NULL) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSA_IO_PENDING);
	CHECK_EQUAL(WSASendTo(a, &buffer, 1, &bytes, 0, (SOCKADDR *)&to, sizeof(to), NULL, NULL),
		    0);
	CHECK_EQUAL(bytes, 2);
	CHECK_EQUAL(result_of(b, &it, TRUE), 0);
	CHECK_EQUAL(it.bytes, 2);
	CHECK_EQUAL(length, sizeof(from));
	CHECK_EQUAL(from.sin_port, name_of(a).sin_port);
	/* Too little room for the address. */
	length = 4;
	prepare(&it, NULL);
	CHECK_EQUAL(WSASendTo(a, &buffer, 1, &bytes, 0, (SOCKADDR *)&to, sizeof(to), NULL, NULL),
		    0);
	CHECK(WSARecvFrom(b, &room, 1, &bytes, &it.flags, (SOCKADDR *)&from, &length, NULL, NULL) ==
	      SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK(WSASendTo(a, &buffer, 1, &bytes, 0, (SOCKADDR *)&to, 1, NULL, NULL) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK(closesocket(a) == 0 && closesocket(b) == 0);
}

/* Nobody is there any more. */
static void a_refused_datagram(void)
{
	struct pair pair = datagrams();
	struct operation it;

	CHECK(closesocket(pair.b) == 0);
	prepare(&it, NULL);
	CHECK_EQUAL(receive(pair.a, &it, NULL), WSA_IO_PENDING);
	CHECK_EQUAL(send_text(pair.a, "anybody?", NULL, NULL), 0);
	CHECK_EQUAL(result_of(pair.a, &it, TRUE), WSAECONNRESET);
	CHECK(closesocket(pair.a) == 0);
}

static void the_end_of_a_stream(void)
{
	struct pair pair = streams();
	struct operation it;
	struct linger linger = { 1, 0 };
	DWORD bytes;

	prepare(&it, NULL);
	CHECK_EQUAL(receive(pair.b, &it, NULL), WSA_IO_PENDING);
	CHECK(shutdown(pair.a, SD_SEND) == 0);
	CHECK_EQUAL(result_of(pair.b, &it, TRUE), 0);
	CHECK_EQUAL(it.bytes, 0);
	close_pair(pair);

	pair = streams();
	prepare(&it, NULL);
	CHECK_EQUAL(receive(pair.b, &it, NULL), WSA_IO_PENDING);
	CHECK(setsockopt(pair.a, SOL_SOCKET, SO_LINGER, (char *)&linger, sizeof(linger)) == 0);
	CHECK(closesocket(pair.a) == 0);
	CHECK_EQUAL(result_of(pair.b, &it, TRUE), WSAECONNRESET);
	CHECK(!GetOverlappedResult((HANDLE)pair.b, &it.overlapped, &bytes, FALSE));
	CHECK_EQUAL(WSAGetLastError(), ERROR_NETNAME_DELETED);
	CHECK(closesocket(pair.b) == 0);

	pair.a = tcp();
	prepare(&it, NULL);
	CHECK_EQUAL(receive(pair.a, &it, NULL), WSAENOTCONN);
	CHECK_EQUAL(send_text(pair.a, "text", NULL, NULL), WSAENOTCONN);
	CHECK(closesocket(pair.a) == 0);
}

enum {
	LARGE = 8 << 20
};

/* More than the kernel takes at once; two of them do not mix. */
static void a_large_send(void)
{
	struct pair pair = streams();
	char *all = (char *)malloc(2 * LARGE), *got = (char *)malloc(2 * LARGE);
	struct operation first, second, rest;
	WSABUF one = { LARGE, all }, two = { LARGE, all + LARGE }, room = { 2 * LARGE, got };
	size_t i;

	REQUIRE(all && got);
	for (i = 0; i < 2 * LARGE; i++)
		all[i] = (char)(i * 7 + i / LARGE);
	prepare(&first, NULL);
	prepare(&second, NULL);
	prepare(&rest, NULL);
	CHECK(WSASend(pair.a, &one, 1, NULL, 0, &first.overlapped, NULL) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSA_IO_PENDING);
	CHECK(WSASend(pair.a, &two, 1, NULL, 0, &second.overlapped, NULL) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSA_IO_PENDING);
	CHECK_EQUAL(result_of(pair.a, &first, FALSE), WSA_IO_INCOMPLETE);
	rest.flags = MSG_WAITALL;
	/* At once, if the engine sends as fast as this receives. */
	if (WSARecv(pair.b, &room, 1, NULL, &rest.flags, &rest.overlapped, NULL))
		CHECK_EQUAL(WSAGetLastError(), WSA_IO_PENDING);
	CHECK_EQUAL(result_of(pair.b, &rest, TRUE), 0);
	CHECK_EQUAL(rest.bytes, 2 * LARGE);
	CHECK(memcmp(all, got, 2 * LARGE) == 0);
	CHECK_EQUAL(result_of(pair.a, &first, TRUE), 0);
	CHECK_EQUAL(first.bytes, LARGE);
	CHECK_EQUAL(result_of(pair.a, &second, TRUE), 0);
	CHECK_EQUAL(second.bytes, LARGE);
	/* Flushing discards what waits to be sent, and nothing else. */
	{
		struct operation waits;
		DWORD returned;

		prepare(&first, NULL);
		prepare(&waits, NULL);
		CHECK_EQUAL(receive(pair.a, &waits, NULL), WSA_IO_PENDING);
		for (;;) {
			int error = WSASend(pair.a, &one, 1, NULL, 0, &first.overlapped, NULL);

			if (error && WSAGetLastError() == WSA_IO_PENDING)
				break;
		}
		CHECK_EQUAL(control(pair.a, SIO_FLUSH, NULL, 0, NULL, 0, &returned), 0);
		CHECK_EQUAL(result_of(pair.a, &first, TRUE), WSA_OPERATION_ABORTED);
		CHECK_EQUAL(result_of(pair.a, &waits, FALSE), WSA_IO_INCOMPLETE);
	}
	close_pair(pair);
	free(all);
	free(got);
}

/* A receive of nothing ends when there is something. */
static void a_receive_of_nothing(void)
{
	struct pair pair = streams();
	struct operation it;
	WSABUF nothing = { 0, NULL };

	prepare(&it, NULL);
	CHECK(WSARecv(pair.b, &nothing, 1, NULL, &it.flags, &it.overlapped, NULL) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSA_IO_PENDING);
	CHECK_EQUAL(send_text(pair.a, "text", NULL, NULL), 0);
	CHECK_EQUAL(result_of(pair.b, &it, TRUE), 0);
	CHECK_EQUAL(it.bytes, 0);
	prepare(&it, NULL);
	CHECK_EQUAL(receive(pair.b, &it, NULL), 0);
	has_text(&it, "text");
	close_pair(pair);
}

/* A child has nothing of its parent's operations, and may make its own. */
static void a_child(void)
{
	struct pair pair = datagrams();
	struct operation it, own;
	pid_t child;
	int status;

	prepare(&it, NULL);
	CHECK_EQUAL(receive(pair.b, &it, NULL), WSA_IO_PENDING);
	child = fork();
	REQUIRE(child >= 0);
	if (child == 0) {
		struct pair pair_of_child = datagrams();

		prepare(&own, NULL);
		CHECK_EQUAL(receive(pair_of_child.b, &own, NULL), WSA_IO_PENDING);
		CHECK_EQUAL(send_text(pair_of_child.a, "child", NULL, NULL), 0);
		CHECK_EQUAL(result_of(pair_of_child.b, &own, TRUE), 0);
		has_text(&own, "child");
		CHECK(closesocket(pair.b) == 0);
		_exit(finish());
	}
	CHECK_EQUAL(waitpid(child, &status, 0), child);
	CHECK_EQUAL(status, 0);
	CHECK_EQUAL(send_text(pair.a, "parent", NULL, NULL), 0);
	CHECK_EQUAL(result_of(pair.b, &it, TRUE), 0);
	has_text(&it, "parent");
	close_pair(pair);
}

/* The port comes from the block of the reservation, as at every other call that binds by the way. */
static void an_associated_sender(void)
{
	SOCKET holder = udp(), s = udp(), b = udp();
	INET_PORT_RESERVATION_INSTANCE block = acquired(holder, 0, 4);
	SOCKADDR_IN to;
	WSABUF buffer = { 2, (char *)"hi" };
	DWORD bytes;
	USHORT start = ntohs(block.Reservation.StartPort);

	REQUIRE(bind_port(b, 0) == 0);
	to = name_of(b);
	CHECK_EQUAL(associate(s, block.Token), 0);
	CHECK_EQUAL(WSASendTo(s, &buffer, 1, &bytes, 0, (SOCKADDR *)&to, sizeof(to), NULL, NULL),
		    0);
	CHECK(local_port(s) >= start && local_port(s) < start + 4);
	CHECK(closesocket(s) == 0 && closesocket(b) == 0 && closesocket(holder) == 0);
}

int main(void)
{
	struct pair pair;
	int i;

	start();
	for (i = 0; i < 2; i++) {
		pair = i ? streams() : datagrams();
		row = i ? "streams" : "datagrams";
		blocking_calls(pair);
		done_at_once(pair);
		told_later(pair);
		cancelling(pair);
		ends_of_threads_and_sockets(pair);
	}
	row = NULL;
	a_long_datagram();
	too_long_a_datagram();
	senders_of_datagrams();
	a_refused_datagram();
	the_end_of_a_stream();
	a_large_send();
	a_receive_of_nothing();
	a_child();
	an_associated_sender();
	CHECK(WSACleanup() == 0);
	return finish();
}

/* Overlapped control calls: completion by event and by routine, results, and the waits themselves. */
#include "check.h"

/* An overlapped call: its error, 0 if it succeeded at once. */
static int submit(SOCKET s, DWORD code, const void *in, DWORD in_length, void *out,
		  DWORD out_length, DWORD *returned, WSAOVERLAPPED *overlapped,
		  LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
	int result;

	WSASetLastError(NO_LAST_ERROR);
	result = WSAIoctl(s, code, (LPVOID)in, in_length, out, out_length, returned, overlapped,
			  routine);
	CHECK_EQUAL(WSAGetLastError() == 0, result == 0);
	return WSAGetLastError();
}

static int is_set(WSAEVENT event)
{
	return WSAWaitForMultipleEvents(1, &event, FALSE, 0, FALSE) == WSA_WAIT_EVENT_0;
}

/* The outcome that WSAGetOverlappedResult tells: 0 or the error. */
static int outcome(SOCKET s, WSAOVERLAPPED *overlapped, DWORD *bytes)
{
	DWORD flags = UNTOUCHED_DWORD;
	BOOL done;

	*bytes = UNTOUCHED_DWORD;
	WSASetLastError(NO_LAST_ERROR);
	done = WSAGetOverlappedResult(s, overlapped, bytes, TRUE, &flags);
	CHECK_EQUAL(flags, 0);
	CHECK_EQUAL(done, WSAGetLastError() == 0);
	return WSAGetLastError();
}

static void completion_by_event(void)
{
	SOCKET s = tcp(), other = tcp();
	WSAEVENT event = WSACreateEvent();
	WSAOVERLAPPED overlapped;
	INET_PORT_RANGE wanted = range(10000, 2);
	INET_PORT_RESERVATION_INSTANCE out;
	DWORD returned = UNTOUCHED_DWORD, bytes;

	/* Success, which is told as by Windows where it comes at once. */
	memset(&overlapped, 0, sizeof(overlapped));
	overlapped.hEvent = event;
	CHECK_EQUAL(submit(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted), &out,
			   sizeof(out), &returned, &overlapped, NULL),
		    0);
	CHECK_EQUAL(returned, 16);
	CHECK(is_set(event));
	CHECK_EQUAL(overlapped.Internal, 0);
	CHECK_EQUAL(overlapped.InternalHigh, 16);
	CHECK_EQUAL(outcome(s, &overlapped, &bytes), 0);
	CHECK_EQUAL(bytes, 16);
	CHECK_EQUAL(ntohs(out.StartPort), 10000);
	CHECK(!can_bind(SOCK_STREAM, 10000));

	/* A refusal comes through the completion, and the next operation resets the event. */
	memset(&out, UNTOUCHED, sizeof(out));
	returned = UNTOUCHED_DWORD;
	CHECK_EQUAL(submit(other, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted), &out,
			   sizeof(out), &returned, &overlapped, NULL),
		    WSA_IO_PENDING);
	CHECK_EQUAL(returned, UNTOUCHED_DWORD);
	CHECK_EQUAL(WSAWaitForMultipleEvents(1, &event, TRUE, WSA_INFINITE, FALSE),
		    WSA_WAIT_EVENT_0);
	CHECK(HasOverlappedIoCompleted(&overlapped));
	CHECK_EQUAL((DWORD)overlapped.Internal, 0xC0000043);
	CHECK_EQUAL(outcome(other, &overlapped, &bytes), WSAEADDRINUSE);
	CHECK_EQUAL(bytes, 0);
	CHECK(all_are(&out, UNTOUCHED, sizeof(out)));

	/* So does an unknown code. The low bit of the handle is none of it. */
	overlapped.hEvent = (HANDLE)((ULONG_PTR)event | 1);
	CHECK(WSAResetEvent(event));
	CHECK_EQUAL(submit(s, 0xD8000064, NULL, 0, NULL, 0, &returned, &overlapped, NULL),
		    WSA_IO_PENDING);
	CHECK_EQUAL(returned, UNTOUCHED_DWORD);
	CHECK(is_set(event));
	CHECK_EQUAL((DWORD)overlapped.Internal, 0xC00000BB);
	CHECK_EQUAL(outcome(s, &overlapped, &bytes), WSAEOPNOTSUPP);

	/* Without an event the structure alone tells. */
	overlapped.hEvent = NULL;
	CHECK_EQUAL(submit(s, SIO_FLUSH, NULL, 0, NULL, 0, &returned, &overlapped, NULL), 0);
	CHECK_EQUAL(returned, 0);
	CHECK_EQUAL(outcome(s, &overlapped, &bytes), 0);
	CHECK(WSACloseEvent(event));
	CHECK(!closesocket(s) && !closesocket(other));
}

/* Each error of the transport comes back from the completion as it is. */
static void every_error_comes_back(void)
{
	static const struct {
		const char *what;
		USHORT start, count;
		int error;
	} rows[] = {
		{ "no ports", 10000, 0, WSAEINVAL },
		{ "reserved", 11000, 1, WSAEADDRINUSE },
		{ "automatic", 40000, 1, WSAEADDRNOTAVAIL },
	};
	SOCKET s = tcp(), holder = tcp(), raw = socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
	INET_PORT_RESERVATION_INSTANCE out;
	WSAOVERLAPPED overlapped;
	DWORD returned, bytes;
	ULONG64 none = 0;
	size_t i;

	acquired(holder, 11000, 1);
	memset(&overlapped, 0, sizeof(overlapped));
	FOR_EACH_ROW(i, rows) {
		INET_PORT_RANGE wanted = range(rows[i].start, rows[i].count);

		CHECK_EQUAL(submit(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted), &out,
				   sizeof(out), &returned, &overlapped, NULL),
			    WSA_IO_PENDING);
		CHECK_EQUAL(outcome(s, &overlapped, &bytes), rows[i].error);
	}
	CHECK_EQUAL(submit(s, SIO_RELEASE_PORT_RESERVATION, &none, sizeof(none), NULL, 0, &returned,
			   &overlapped, NULL),
		    WSA_IO_PENDING);
	CHECK_EQUAL(outcome(s, &overlapped, &bytes), WSAEINVAL);
	CHECK_EQUAL(submit(raw, SIO_ASSOCIATE_PORT_RESERVATION, &none, sizeof(none), NULL, 0,
			   &returned, &overlapped, NULL),
		    WSA_IO_PENDING);
	CHECK_EQUAL(outcome(raw, &overlapped, &bytes), WSAEOPNOTSUPP);
	CHECK(!closesocket(s) && !closesocket(holder) && !closesocket(raw));
}

/* ---- completion routines ---- */

static struct {
	int calls;
	DWORD error, bytes, flags;
	LPWSAOVERLAPPED overlapped;
	pthread_t thread;
	int nested;
} seen;

static void CALLBACK routine(DWORD error, DWORD bytes, LPWSAOVERLAPPED overlapped, DWORD flags)
{
	DWORD returned;
	SOCKET s = tcp();

	seen.calls++;
	seen.error = error;
	seen.bytes = bytes;
	seen.overlapped = overlapped;
	seen.flags = flags;
	seen.thread = pthread_self();
	/* Control calls inside are executed, as others are. */
	seen.nested = control(s, SIO_FLUSH, NULL, 0, NULL, 0, &returned);
	CHECK(closesocket(s) == 0);
}

static void assert_called(int calls, DWORD error, DWORD bytes, WSAOVERLAPPED *overlapped)
{
	CHECK_EQUAL(seen.calls, calls);
	CHECK_EQUAL(seen.error, error);
	CHECK_EQUAL(seen.bytes, bytes);
	CHECK(seen.overlapped == overlapped);
	CHECK_EQUAL(seen.flags, 0);
	CHECK(pthread_equal(seen.thread, pthread_self()));
	CHECK_EQUAL(seen.nested, 0);
}

static void completion_by_routine(void)
{
	SOCKET s = tcp();
	WSAEVENT event = WSACreateEvent(), other = WSACreateEvent();
	WSAOVERLAPPED overlapped;
	INET_PORT_RANGE wanted = range(10000, 2);
	INET_PORT_RESERVATION_INSTANCE out;
	DWORD returned = UNTOUCHED_DWORD, bytes;

	memset(&overlapped, 0, sizeof(overlapped));
	memset(&seen, 0, sizeof(seen));
	overlapped.hEvent = event;
	CHECK_EQUAL(submit(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted), &out,
			   sizeof(out), &returned, &overlapped, routine),
		    0);
	CHECK_EQUAL(returned, 16);
	CHECK_EQUAL(ntohs(out.StartPort), 10000);
	/* It is called in an alertable wait and nowhere else, once; the event is ignored. */
	CHECK_EQUAL(SleepEx(1, FALSE), 0);
	CHECK_EQUAL(WSAWaitForMultipleEvents(1, &event, FALSE, 0, FALSE), WSA_WAIT_TIMEOUT);
	CHECK_EQUAL(outcome(s, &overlapped, &bytes), 0);
	CHECK_EQUAL(seen.calls, 0);
	CHECK_EQUAL(SleepEx(0, TRUE), WAIT_IO_COMPLETION);
	assert_called(1, 0, 16, &overlapped);
	CHECK_EQUAL(SleepEx(0, TRUE), 0);
	CHECK_EQUAL(seen.calls, 1);
	CHECK(!is_set(event));

	/* Failures, several before one wait, and the other alertable wait. */
	CHECK_EQUAL(submit(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted), &out,
			   sizeof(out), &returned, &overlapped, routine),
		    WSA_IO_PENDING);
	CHECK_EQUAL(submit(s, 0, NULL, 0, NULL, 0, &returned, &overlapped, routine),
		    WSA_IO_PENDING);
	CHECK_EQUAL(WSAWaitForMultipleEvents(1, &other, FALSE, WSA_INFINITE, TRUE),
		    WSA_WAIT_IO_COMPLETION);
	assert_called(3, WSAEOPNOTSUPP, 0, &overlapped);
	/* An event that is set comes first. */
	CHECK_EQUAL(submit(s, SIO_RELEASE_PORT_RESERVATION, &out.Token, 8, NULL, 0, &returned,
			   &overlapped, routine),
		    0);
	CHECK(WSASetEvent(other));
	CHECK_EQUAL(WSAWaitForMultipleEvents(1, &other, FALSE, WSA_INFINITE, TRUE),
		    WSA_WAIT_EVENT_0);
	CHECK_EQUAL(seen.calls, 3);
	CHECK_EQUAL(SleepEx(WSA_INFINITE, TRUE), WAIT_IO_COMPLETION);
	assert_called(4, 0, 0, &overlapped);
	CHECK(can_bind(SOCK_STREAM, 10000));
	CHECK(WSACloseEvent(event) && WSACloseEvent(other));
	CHECK(closesocket(s) == 0);
}

/* A routine that goes on with the next call: acquire, associate, release, each from the one before. */
static struct {
	SOCKET holder, server;
	INET_PORT_RANGE wanted;
	INET_PORT_RESERVATION_INSTANCE block;
	int step;
} chain;

static void CALLBACK next(DWORD error, DWORD bytes, LPWSAOVERLAPPED overlapped, DWORD flags)
{
	DWORD returned;

	CHECK_EQUAL(error, 0);
	CHECK_EQUAL(flags, 0);
	switch (++chain.step) {
	case 1:
		CHECK_EQUAL(bytes, 16);
		CHECK_EQUAL(submit(chain.server, SIO_ASSOCIATE_PORT_RESERVATION, &chain.block.Token,
				   8, NULL, 0, &returned, overlapped, next),
			    0);
		break;
	case 2:
		CHECK_EQUAL(bind_port(chain.server, 0), 0);
		CHECK_EQUAL(local_port(chain.server), ntohs(chain.block.StartPort));
		CHECK_EQUAL(submit(chain.holder, SIO_RELEASE_PORT_RESERVATION, &chain.block.Token,
				   8, NULL, 0, &returned, overlapped, next),
			    0);
		break;
	default:
		CHECK(closesocket(chain.server) == 0);
	}
}

static void a_chain_of_routines(void)
{
	WSAOVERLAPPED overlapped;
	DWORD returned;

	memset(&overlapped, 0, sizeof(overlapped));
	chain.holder = tcp();
	chain.server = tcp();
	chain.wanted = range(0, 1);
	CHECK_EQUAL(submit(chain.holder, SIO_ACQUIRE_PORT_RESERVATION, &chain.wanted,
			   sizeof(chain.wanted), &chain.block, sizeof(chain.block), &returned,
			   &overlapped, next),
		    0);
	while (chain.step < 3)
		CHECK_EQUAL(SleepEx(WSA_INFINITE, TRUE), WAIT_IO_COMPLETION);
	CHECK(can_bind(SOCK_STREAM, ntohs(chain.block.StartPort)));
	CHECK(closesocket(chain.holder) == 0);
}

/* ---- the thread that calls the routine ---- */

struct receiver {
	WSATHREADID name;
	WSAEVENT ready, quit;
};

static void *wait_alertably(void *argument)
{
	struct receiver *receiver = (struct receiver *)argument;
	int error = 0;

	CHECK_EQUAL(WPUOpenCurrentThread(&receiver->name, &error), 0);
	CHECK(WSASetEvent(receiver->ready));
	while (WSAWaitForMultipleEvents(1, &receiver->quit, FALSE, WSA_INFINITE, TRUE) ==
	       WSA_WAIT_IO_COMPLETION)
		;
	return NULL;
}

static ULONG_PTR queued_context;
static WSAEVENT queued_was_called;

static void CALLBACK queued(DWORD_PTR context)
{
	queued_context = context;
	CHECK(WSASetEvent(queued_was_called));
}

static void the_thread_that_the_caller_names(void)
{
	struct receiver receiver = { .ready = WSACreateEvent(), .quit = WSACreateEvent() };
	SOCKET s = tcp();
	WSAOVERLAPPED overlapped;
	INET_PORT_RANGE wanted = range(10000, 1);
	INET_PORT_RESERVATION_INSTANCE out;
	WSATHREADID name, nobody = { (HANDLE)1, 0 };
	pthread_t thread;
	DWORD returned;
	int error = UNTOUCHED;

	queued_was_called = WSACreateEvent();
	REQUIRE(pthread_create(&thread, NULL, wait_alertably, &receiver) == 0);
	CHECK_EQUAL(WSAWaitForMultipleEvents(1, &receiver.ready, FALSE, WSA_INFINITE, FALSE), 0);
	memset(&seen, 0, sizeof(seen));
	memset(&overlapped, 0, sizeof(overlapped));
	/* The structure is copied, so that its memory may go. */
	name = receiver.name;
	CHECK_EQUAL(WSPIoctl(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted), &out,
			     sizeof(out), &returned, &overlapped, routine, &name, &error),
		    0);
	memset(&name, UNTOUCHED, sizeof(name));
	CHECK_EQUAL(error, 0);
	CHECK_EQUAL(SleepEx(0, TRUE), 0);
	/* In the order in which they were queued. */
	CHECK_EQUAL(WPUQueueApc(&receiver.name, queued, 42, &error), 0);
	CHECK_EQUAL(WSAWaitForMultipleEvents(1, &queued_was_called, FALSE, WSA_INFINITE, FALSE), 0);
	CHECK_EQUAL(queued_context, 42);
	CHECK_EQUAL(seen.calls, 1);
	CHECK(pthread_equal(seen.thread, thread));
	CHECK(WSASetEvent(receiver.quit));
	CHECK(pthread_join(thread, NULL) == 0);

	/* A thread that is gone, and one that never was. */
	CHECK(WSPIoctl(s, SIO_FLUSH, NULL, 0, NULL, 0, &returned, &overlapped, routine,
		       &receiver.name, &error) == SOCKET_ERROR);
	CHECK_EQUAL(error, WSAEINVAL);
	CHECK(WPUQueueApc(&nobody, queued, 0, &error) == SOCKET_ERROR);
	CHECK_EQUAL(error, WSAEINVAL);
	CHECK(WPUCloseThread(&nobody, &error) == SOCKET_ERROR);
	CHECK(WPUOpenCurrentThread(NULL, &error) == SOCKET_ERROR);
	CHECK_EQUAL(error, WSAEFAULT);

	/* This thread by its name. */
	CHECK_EQUAL(WPUOpenCurrentThread(&name, &error), 0);
	CHECK_EQUAL(WPUQueueApc(&name, queued, 43, &error), 0);
	CHECK_EQUAL(SleepEx(WSA_INFINITE, TRUE), WAIT_IO_COMPLETION);
	CHECK_EQUAL(queued_context, 43);
	CHECK_EQUAL(WPUCloseThread(&name, &error), 0);
	CHECK(WSACloseEvent(queued_was_called));
	CHECK(WSACloseEvent(receiver.ready) && WSACloseEvent(receiver.quit));
	CHECK(closesocket(s) == 0);
}

/* ---- arguments ---- */

static void bad_arguments_are_refused_at_once(void)
{
	SOCKET s = tcp();
	WSAEVENT event = WSACreateEvent(), closed = WSACreateEvent();
	INET_PORT_RANGE wanted = range(10000, 1);
	INET_PORT_RESERVATION_INSTANCE out;
	WSAOVERLAPPED overlapped;
	DWORD returned;
	LPWSAOVERLAPPED nowhere = (LPWSAOVERLAPPED)8;
	LPWSAOVERLAPPED_COMPLETION_ROUTINE no_code = (LPWSAOVERLAPPED_COMPLETION_ROUTINE)8;
	const struct {
		const char *what;
		DWORD in_length, out_length;
		WSAOVERLAPPED *overlapped;
		LPWSAOVERLAPPED_COMPLETION_ROUTINE routine;
		WSAEVENT event;
		int error;
		DWORD returned;
	} rows[] = {
		{ "unwritable structure", 4, 16, nowhere, NULL, event, WSAEFAULT, UNTOUCHED_DWORD },
		{ "unreadable routine", 4, 16, &overlapped, no_code, event, WSAEFAULT,
		  UNTOUCHED_DWORD },
		{ "short input", 3, 16, &overlapped, NULL, event, WSAEFAULT, UNTOUCHED_DWORD },
		{ "short input with a routine", 3, 16, &overlapped, routine, event, WSAEFAULT,
		  UNTOUCHED_DWORD },
		{ "short output", 4, 15, &overlapped, NULL, event, WSAEINVAL, 0 },
		{ "a closed event", 4, 16, &overlapped, NULL, closed, WSA_INVALID_HANDLE,
		  UNTOUCHED_DWORD },
	};
	size_t i;

	CHECK(WSACloseEvent(closed));
	memset(&seen, 0, sizeof(seen));
	FOR_EACH_ROW(i, rows) {
		memset(&overlapped, 0, sizeof(overlapped));
		memset(&out, UNTOUCHED, sizeof(out));
		overlapped.InternalHigh = 5;
		overlapped.hEvent = rows[i].event;
		returned = UNTOUCHED_DWORD;
		CHECK_EQUAL(submit(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, rows[i].in_length,
				   &out, rows[i].out_length, &returned, rows[i].overlapped,
				   rows[i].routine),
			    rows[i].error);
		CHECK_EQUAL(returned, rows[i].returned);
		CHECK(all_are(&out, UNTOUCHED, sizeof(out)));
		/* Nothing completes. */
		CHECK_EQUAL(overlapped.InternalHigh, 5);
		CHECK(!is_set(event));
		CHECK_EQUAL(SleepEx(0, TRUE), 0);
	}
	CHECK_EQUAL(seen.calls, 0);
	CHECK(can_bind(SOCK_STREAM, 10000));

	/* Before all else. */
	CHECK_EQUAL(submit(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted), &out,
			   sizeof(out), NULL, &overlapped, routine),
		    WSAEFAULT);

	/* A structure that was refused says that it is pending, and never is. */
	CHECK_EQUAL(submit(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, 0, &out, sizeof(out),
			   &returned, &overlapped, NULL),
		    WSAEFAULT);
	CHECK_EQUAL(overlapped.Internal, STATUS_PENDING);
	CHECK(WSACloseEvent(event));
	CHECK(closesocket(s) == 0);
}

static void results(void)
{
	SOCKET s = tcp();
	WSAOVERLAPPED overlapped;
	DWORD bytes = UNTOUCHED_DWORD, flags;
	size_t i;
	static const struct {
		const char *what;
		DWORD status;
		int error;
	} rows[] = {
		{ "success", 0, 0 },
		{ "a success", 0x40000000, 0 },
		{ "STATUS_SHARING_VIOLATION", 0xC0000043, WSAEADDRINUSE },
		{ "STATUS_ACCESS_DENIED", 0xC0000022, WSAEACCES },
		{ "STATUS_INVALID_PARAMETER", 0xC000000D, WSAEINVAL },
		{ "STATUS_NOT_FOUND", 0xC0000225, WSAEINVAL },
		{ "STATUS_NOT_SUPPORTED", 0xC00000BB, WSAEOPNOTSUPP },
		{ "STATUS_ACCESS_VIOLATION", 0xC0000005, WSAEFAULT },
		{ "STATUS_INVALID_HANDLE", 0xC0000008, WSAENOTSOCK },
		{ "STATUS_INSUFFICIENT_RESOURCES", 0xC000009A, WSAENOBUFS },
		{ "STATUS_CANCELLED", 0xC0000120, WSA_OPERATION_ABORTED },
		{ "STATUS_REQUEST_ABORTED", 0xC0000240, WSAEINTR },
		{ "STATUS_INVALID_ADDRESS", 0xC0000141, WSAEADDRNOTAVAIL },
	};

	memset(&overlapped, 0, sizeof(overlapped));
	overlapped.InternalHigh = 7;
	FOR_EACH_ROW(i, rows) {
		overlapped.Internal = rows[i].status;
		CHECK_EQUAL(outcome(s, &overlapped, &bytes), rows[i].error);
		CHECK_EQUAL(bytes, 7);
	}
	overlapped.Internal = STATUS_PENDING;
	CHECK(!WSAGetOverlappedResult(s, &overlapped, &bytes, FALSE, &flags));
	CHECK_EQUAL(WSAGetLastError(), WSA_IO_INCOMPLETE);
	overlapped.Internal = 0;
	CHECK(!WSAGetOverlappedResult(INVALID_SOCKET, &overlapped, &bytes, FALSE, &flags));
	CHECK_EQUAL(WSAGetLastError(), WSAENOTSOCK);
	CHECK(!WSAGetOverlappedResult(STDIN_FILENO, &overlapped, &bytes, FALSE, &flags));
	CHECK_EQUAL(WSAGetLastError(), WSAENOTSOCK);
	CHECK(!WSAGetOverlappedResult(s, NULL, &bytes, FALSE, &flags));
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK(!WSAGetOverlappedResult(s, &overlapped, NULL, FALSE, &flags));
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK(!WSAGetOverlappedResult(s, &overlapped, &bytes, FALSE, NULL));
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK(closesocket(s) == 0);
}

/* ---- events ---- */

static void *set_later(void *event)
{
	SleepEx(20, FALSE);
	CHECK(WSASetEvent((WSAEVENT)event));
	return NULL;
}

static void events(void)
{
	WSAEVENT events[WSA_MAXIMUM_WAIT_EVENTS + 1];
	pthread_t thread;
	DWORD i;

	for (i = 0; i < COUNT(events); i++) {
		events[i] = WSACreateEvent();
		CHECK(events[i] != WSA_INVALID_EVENT);
	}
	CHECK_EQUAL(WSAWaitForMultipleEvents(64, events, FALSE, 0, FALSE), WSA_WAIT_TIMEOUT);
	CHECK_EQUAL(WSAWaitForMultipleEvents(64, events, FALSE, 5, TRUE), WSA_WAIT_TIMEOUT);
	CHECK(WSASetEvent(events[5]) && WSASetEvent(events[3]));
	CHECK_EQUAL(WSAWaitForMultipleEvents(64, events, FALSE, 0, FALSE), WSA_WAIT_EVENT_0 + 3);
	CHECK_EQUAL(WSAWaitForMultipleEvents(4, events, TRUE, 0, FALSE), WSA_WAIT_TIMEOUT);
	CHECK_EQUAL(WSAWaitForMultipleEvents(1, events + 3, TRUE, 0, FALSE), WSA_WAIT_EVENT_0);
	/* It stays set until it is reset. */
	CHECK(is_set(events[3]) && is_set(events[3]));
	CHECK(WSAResetEvent(events[3]));
	CHECK(!is_set(events[3]));
	REQUIRE(pthread_create(&thread, NULL, set_later, events[4]) == 0);
	CHECK_EQUAL(WSAWaitForMultipleEvents(2, events + 4, TRUE, WSA_INFINITE, FALSE),
		    WSA_WAIT_EVENT_0);
	CHECK(pthread_join(thread, NULL) == 0);

	CHECK_EQUAL(WSAWaitForMultipleEvents(0, events, FALSE, 0, FALSE), WSA_WAIT_FAILED);
	CHECK_EQUAL(WSAGetLastError(), WSA_INVALID_PARAMETER);
	CHECK_EQUAL(WSAWaitForMultipleEvents(65, events, FALSE, 0, FALSE), WSA_WAIT_FAILED);
	CHECK_EQUAL(WSAGetLastError(), WSA_INVALID_PARAMETER);
	CHECK_EQUAL(WSAWaitForMultipleEvents(1, NULL, FALSE, 0, FALSE), WSA_WAIT_FAILED);
	CHECK_EQUAL(WSAGetLastError(), WSA_INVALID_PARAMETER);
	for (i = 0; i < COUNT(events); i++)
		CHECK(WSACloseEvent(events[i]));
	CHECK_EQUAL(WSAWaitForMultipleEvents(1, events, FALSE, 0, FALSE), WSA_WAIT_FAILED);
	CHECK_EQUAL(WSAGetLastError(), WSA_INVALID_HANDLE);
	CHECK(!WSASetEvent(events[0]));
	CHECK_EQUAL(WSAGetLastError(), WSA_INVALID_HANDLE);
	CHECK(!WSAResetEvent(NULL));
	CHECK(!WSACloseEvent(events[0]));
}

int main(void)
{
	start();
	completion_by_event();
	every_error_comes_back();
	completion_by_routine();
	a_chain_of_routines();
	the_thread_that_the_caller_names();
	bad_arguments_are_refused_at_once();
	results();
	events();
	CHECK(WSACleanup() == 0);
	return finish();
}

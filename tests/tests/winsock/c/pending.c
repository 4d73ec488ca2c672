/*
 * Control calls that are pending or queued: behind another thread that is in its blocking hook with
 * the socket. Cancelling, closing the socket, flushing it, and the end of the thread.
 */
#include "check.h"

/* ---- a thread that stays in a control call until it is told ---- */

struct occupier {
	SOCKET s;
	WSAEVENT inside, leave;
	int cancel;
	int error;
	INET_PORT_RESERVATION_INSTANCE out;
	pthread_t thread;
};

static _Thread_local struct occupier *here;

static int stay(void)
{
	INET_PORT_RANGE wanted = range(0, 1);
	INET_PORT_RESERVATION_INSTANCE out;
	DWORD returned = UNTOUCHED_DWORD;

	CHECK(WSAIsBlocking());
	/* Calls inside are refused, and the hook can cancel its call. */
	CHECK_EQUAL(control(here->s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted), &out,
			    sizeof(out), &returned),
		    WSAEINPROGRESS);
	CHECK_EQUAL(returned, UNTOUCHED_DWORD);
	CHECK(socket(AF_INET, SOCK_STREAM, 0) == INVALID_SOCKET);
	CHECK_EQUAL(WSAGetLastError(), WSAEINPROGRESS);
	CHECK(closesocket(here->s) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEINPROGRESS);
	CHECK(WSASetEvent(here->inside));
	/* The last WSACleanup ends the wait, too. */
	CHECK(WSAWaitForMultipleEvents(1, &here->leave, FALSE, WSA_INFINITE, FALSE) == 0 ||
	      WSAGetLastError() == WSANOTINITIALISED);
	if (here->cancel)
		CHECK(WSACancelBlockingCall() == 0);
	return FALSE;
}

static void *occupy(void *argument)
{
	INET_PORT_RANGE wanted = range(20000, 1);
	DWORD returned = UNTOUCHED_DWORD;

	here = (struct occupier *)argument;
	memset(&here->out, UNTOUCHED, sizeof(here->out));
	CHECK(WSASetBlockingHook((FARPROC)stay) == NULL);
	here->error = control(here->s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted),
			      &here->out, sizeof(here->out), &returned);
	CHECK_EQUAL(returned, here->error ? 0 : 16);
	CHECK_EQUAL(all_are(&here->out, UNTOUCHED, sizeof(here->out)), here->error != 0);
	CHECK(WSAUnhookBlockingHook() == 0);
	CHECK(!WSAIsBlocking());
	return NULL;
}

static struct occupier *occupier(SOCKET s, int cancel)
{
	struct occupier *occupier = (struct occupier *)calloc(1, sizeof(*occupier));

	REQUIRE(occupier != NULL);
	occupier->s = s;
	occupier->cancel = cancel;
	occupier->inside = WSACreateEvent();
	occupier->leave = WSACreateEvent();
	REQUIRE(pthread_create(&occupier->thread, NULL, occupy, occupier) == 0);
	CHECK_EQUAL(WSAWaitForMultipleEvents(1, &occupier->inside, FALSE, WSA_INFINITE, FALSE), 0);
	return occupier;
}

/* Lets it go on and tells what its call came to. */
static int leaves(struct occupier *occupier)
{
	int error;

	CHECK(WSASetEvent(occupier->leave));
	CHECK(pthread_join(occupier->thread, NULL) == 0);
	error = occupier->error;
	CHECK(WSACloseEvent(occupier->inside) && WSACloseEvent(occupier->leave));
	free(occupier);
	return error;
}

/* ---- an overlapped acquire of one port behind it ---- */

struct request {
	WSAOVERLAPPED overlapped;
	INET_PORT_RANGE wanted;
	INET_PORT_RESERVATION_INSTANCE out;
	DWORD returned;
};

static int calls;
static DWORD last_error;

static void CALLBACK routine(DWORD error, DWORD bytes, LPWSAOVERLAPPED overlapped, DWORD flags)
{
	(void)bytes, (void)overlapped, (void)flags;
	calls++;
	last_error = error;
}

static void submit(struct request *request, SOCKET s, USHORT port, WSAEVENT event,
		   LPWSAOVERLAPPED_COMPLETION_ROUTINE completion)
{
	memset(request, UNTOUCHED, sizeof(*request));
	memset(&request->overlapped, 0, sizeof(request->overlapped));
	request->overlapped.hEvent = event;
	request->wanted = range(port, 1);
	CHECK(WSAIoctl(s, SIO_ACQUIRE_PORT_RESERVATION, &request->wanted, sizeof(request->wanted),
		       &request->out, sizeof(request->out), &request->returned,
		       &request->overlapped, completion) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSA_IO_PENDING);
	CHECK_EQUAL(request->returned, UNTOUCHED_DWORD);
}

static int is_pending(SOCKET s, struct request *request)
{
	DWORD bytes, flags;

	return !WSAGetOverlappedResult(s, &request->overlapped, &bytes, FALSE, &flags) &&
	       WSAGetLastError() == WSA_IO_INCOMPLETE;
}

static int outcome(SOCKET s, struct request *request)
{
	DWORD bytes, flags;

	return WSAGetOverlappedResult(s, &request->overlapped, &bytes, TRUE, &flags) ?
		       0 :
		       WSAGetLastError();
}

static int is_set(WSAEVENT event)
{
	return WSAWaitForMultipleEvents(1, &event, FALSE, 0, FALSE) == WSA_WAIT_EVENT_0;
}

/* ---- cases ---- */

static void a_pending_call_is_made_in_its_turn(void)
{
	SOCKET s = tcp();
	WSAEVENT event = WSACreateEvent();
	struct occupier *first = occupier(s, FALSE);
	struct request by_event, by_routine, refused;

	calls = 0;
	submit(&by_event, s, 20001, event, NULL);
	submit(&by_routine, s, 20002, NULL, routine);
	/* In their order: its port is taken by then. */
	submit(&refused, s, 20001, NULL, NULL);
	CHECK(is_pending(s, &by_event) && is_pending(s, &by_routine) && !is_set(event));
	CHECK_EQUAL(SleepEx(0, TRUE), 0);
	CHECK(can_bind(SOCK_STREAM, 20001));
	CHECK_EQUAL(leaves(first), 0);
	CHECK(is_set(event));
	CHECK_EQUAL(outcome(s, &by_event), 0);
	CHECK_EQUAL(ntohs(by_event.out.StartPort), 20001);
	CHECK_EQUAL(outcome(s, &refused), WSAEADDRINUSE);
	CHECK_EQUAL(calls, 0);
	CHECK_EQUAL(SleepEx(WSA_INFINITE, TRUE), WAIT_IO_COMPLETION);
	CHECK_EQUAL(calls, 1);
	CHECK_EQUAL(last_error, 0);
	CHECK(!can_bind(SOCK_STREAM, 20000) && !can_bind(SOCK_STREAM, 20001) &&
	      !can_bind(SOCK_STREAM, 20002));
	CHECK(WSACloseEvent(event));
	CHECK(closesocket(s) == 0);
}

static void cancelling_a_blocking_call(void)
{
	SOCKET s = tcp();
	struct occupier *first = occupier(s, TRUE);
	struct request behind;

	submit(&behind, s, 20001, NULL, NULL);
	/* Outside a hook there is nothing to cancel. */
	CHECK(WSACancelBlockingCall() == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEINVAL);
	CHECK_EQUAL(leaves(first), WSAEINTR);
	/* Nothing was done, and what waited goes on. */
	CHECK(can_bind(SOCK_STREAM, 20000));
	CHECK_EQUAL(outcome(s, &behind), 0);
	CHECK(!can_bind(SOCK_STREAM, 20001));
	CHECK(closesocket(s) == 0);
}

static void *wait_for_the_result(void *argument)
{
	struct request *request = (struct request *)argument;
	DWORD bytes, flags;
	SOCKET other = tcp();

	/* Any socket will do, as this one goes. */
	CHECK(!WSAGetOverlappedResult(other, &request->overlapped, &bytes, TRUE, &flags));
	CHECK_EQUAL(WSAGetLastError(), WSA_OPERATION_ABORTED);
	CHECK(closesocket(other) == 0);
	return NULL;
}

static void closing_the_socket(void)
{
	SOCKET s = tcp();
	WSAEVENT event = WSACreateEvent();
	struct occupier *first = occupier(s, FALSE);
	struct request by_event, by_routine;
	pthread_t waiter;

	calls = 0;
	submit(&by_event, s, 20001, event, NULL);
	submit(&by_routine, s, 20002, NULL, routine);
	REQUIRE(pthread_create(&waiter, NULL, wait_for_the_result, &by_event) == 0);
	CHECK(closesocket(s) == 0);
	CHECK(is_set(event));
	CHECK_EQUAL((DWORD)by_event.overlapped.Internal, 0xC0000120);
	CHECK(pthread_join(waiter, NULL) == 0);
	CHECK_EQUAL(SleepEx(WSA_INFINITE, TRUE), WAIT_IO_COMPLETION);
	CHECK_EQUAL(calls, 1);
	CHECK_EQUAL(last_error, WSA_OPERATION_ABORTED);
	CHECK(all_are(&by_event.out, UNTOUCHED, sizeof(by_event.out)));
	/* The blocking call, too, ends. */
	CHECK_EQUAL(leaves(first), WSAEINTR);
	CHECK(can_bind(SOCK_STREAM, 20000) && can_bind(SOCK_STREAM, 20001));
	CHECK(WSACloseEvent(event));
}

/* One by its structure, then all of the thread; what is not cancelled goes on. */
static void cancelling_a_pending_call(void)
{
	SOCKET s = tcp();
	WSAEVENT event = WSACreateEvent();
	struct occupier *first = occupier(s, FALSE);
	struct request one, by_routine, kept;

	calls = 0;
	submit(&one, s, 20001, event, NULL);
	submit(&by_routine, s, 20002, NULL, routine);
	CHECK(CancelIoEx((HANDLE)s, &one.overlapped));
	CHECK(is_set(event));
	CHECK_EQUAL(outcome(s, &one), WSA_OPERATION_ABORTED);
	CHECK(!CancelIoEx((HANDLE)s, &one.overlapped));
	CHECK_EQUAL(GetLastError(), ERROR_NOT_FOUND);
	CHECK(is_pending(s, &by_routine));
	CHECK(CancelIo((HANDLE)s));
	CHECK_EQUAL(SleepEx(WSA_INFINITE, TRUE), WAIT_IO_COMPLETION);
	CHECK_EQUAL(calls, 1);
	CHECK_EQUAL(last_error, WSA_OPERATION_ABORTED);
	submit(&kept, s, 20003, NULL, NULL);
	CHECK_EQUAL(leaves(first), 0);
	CHECK_EQUAL(outcome(s, &kept), 0);
	CHECK(can_bind(SOCK_STREAM, 20001) && can_bind(SOCK_STREAM, 20002));
	CHECK(!can_bind(SOCK_STREAM, 20003));
	CHECK(WSACloseEvent(event));
	CHECK(closesocket(s) == 0);
}

struct blocked {
	SOCKET s;
	int error;
};

static void *blocked(void *argument)
{
	struct blocked *call = (struct blocked *)argument;
	INET_PORT_RANGE wanted = range(20003, 1);
	INET_PORT_RESERVATION_INSTANCE out;
	DWORD returned;

	call->error = control(call->s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted), &out,
			      sizeof(out), &returned);
	return NULL;
}

/* A blocking call without a hook, which waits for its turn. */
static void closing_the_socket_of_a_call_that_waits(void)
{
	struct blocked call;
	DWORD pause = 10;

	do {
		struct occupier *first;
		pthread_t thread;

		call.s = tcp();
		first = occupier(call.s, FALSE);
		REQUIRE(pthread_create(&thread, NULL, blocked, &call) == 0);
		SleepEx(pause, FALSE);
		CHECK(closesocket(call.s) == 0);
		CHECK(pthread_join(thread, NULL) == 0);
		CHECK_EQUAL(leaves(first), WSAEINTR);
		/* The thread may not have come so far yet. */
		pause *= 2;
	} while (call.error == WSAENOTSOCK && pause < 60000);
	CHECK_EQUAL(call.error, WSAEINTR);
	CHECK(can_bind(SOCK_STREAM, 20003));
}

static int cancel_at_once(void)
{
	CHECK(WSACancelBlockingCall() == 0);
	return TRUE;
}

static void cancelling_a_call_that_waits(void)
{
	SOCKET s = tcp();
	struct occupier *first = occupier(s, FALSE);
	INET_PORT_RESERVATION_INSTANCE out;

	CHECK(WSASetBlockingHook((FARPROC)cancel_at_once) == NULL);
	CHECK_EQUAL(acquire(s, 20003, 1, &out), WSAEINTR);
	CHECK(WSASetBlockingHook((FARPROC)8) == NULL);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK(WSASetBlockingHook(NULL) == (FARPROC)cancel_at_once);
	CHECK_EQUAL(leaves(first), 0);
	CHECK(can_bind(SOCK_STREAM, 20003));
	CHECK(closesocket(s) == 0);
}

static void flushing_the_socket(void)
{
	SOCKET s = tcp();
	WSAEVENT event = WSACreateEvent();
	struct occupier *first = occupier(s, FALSE);
	struct request behind;
	WSAOVERLAPPED overlapped;
	DWORD returned = UNTOUCHED_DWORD;

	/* It waits for no turn, and is told as every overlapped call. */
	submit(&behind, s, 20001, NULL, NULL);
	memset(&overlapped, 0, sizeof(overlapped));
	overlapped.hEvent = event;
	CHECK_EQUAL(WSAIoctl(s, SIO_FLUSH, NULL, 0, NULL, 0, &returned, &overlapped, NULL), 0);
	CHECK_EQUAL(returned, 0);
	CHECK(is_set(event));
	CHECK_EQUAL(outcome(s, &behind), WSA_OPERATION_ABORTED);

	calls = 0;
	submit(&behind, s, 20001, NULL, NULL);
	CHECK_EQUAL(WSAIoctl(s, SIO_FLUSH, NULL, 0, NULL, 0, &returned, &overlapped, routine), 0);
	CHECK_EQUAL(outcome(s, &behind), WSA_OPERATION_ABORTED);
	CHECK_EQUAL(SleepEx(WSA_INFINITE, TRUE), WAIT_IO_COMPLETION);
	CHECK_EQUAL(calls, 1);
	CHECK_EQUAL(last_error, 0);

	submit(&behind, s, 20001, NULL, NULL);
	CHECK_EQUAL(control(s, SIO_FLUSH, NULL, 0, NULL, 0, &returned), 0);
	CHECK_EQUAL(outcome(s, &behind), WSA_OPERATION_ABORTED);
	CHECK_EQUAL(leaves(first), 0);
	CHECK(can_bind(SOCK_STREAM, 20001));
	CHECK(WSACloseEvent(event));
	CHECK(closesocket(s) == 0);
}

struct short_life {
	SOCKET s;
	WSAEVENT event;
	struct request *by_event, *by_routine;
};

static void *submit_and_end(void *argument)
{
	struct short_life *life = (struct short_life *)argument;
	/* A program's mistake that Windows forgives: its structure goes with the thread. */
	struct request on_the_stack;

	submit(life->by_event, life->s, 20001, life->event, NULL);
	submit(life->by_routine, life->s, 20002, NULL, routine);
	submit(&on_the_stack, life->s, 20003, NULL, NULL);
	return NULL;
}

static void the_end_of_the_thread(void)
{
	SOCKET s = tcp();
	struct occupier *first = occupier(s, FALSE);
	struct request by_event, by_routine, others;
	struct short_life life = { s, WSACreateEvent(), &by_event, &by_routine };
	pthread_t thread;

	calls = 0;
	REQUIRE(pthread_create(&thread, NULL, submit_and_end, &life) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	submit(&others, s, 20004, NULL, NULL);
	CHECK(is_set(life.event));
	CHECK_EQUAL(outcome(s, &by_event), WSA_OPERATION_ABORTED);
	CHECK_EQUAL(outcome(s, &by_routine), WSA_OPERATION_ABORTED);
	CHECK(is_pending(s, &others));
	CHECK_EQUAL(leaves(first), 0);
	CHECK_EQUAL(outcome(s, &others), 0);
	/* The routine was the thread's to call. */
	CHECK_EQUAL(SleepEx(0, TRUE), 0);
	CHECK_EQUAL(calls, 0);
	CHECK(can_bind(SOCK_STREAM, 20001) && can_bind(SOCK_STREAM, 20003));
	CHECK(!can_bind(SOCK_STREAM, 20004));
	CHECK(WSACloseEvent(life.event));
	CHECK(closesocket(s) == 0);
}

static void *complete_and_end(void *argument)
{
	struct request *request = (struct request *)argument;
	SOCKET s = udp();

	request->wanted = range(20001, 1);
	memset(&request->overlapped, 0, sizeof(request->overlapped));
	/* Done at once, and the routine queued; no alertable wait comes. */
	CHECK_EQUAL(WSAIoctl(s, SIO_ACQUIRE_PORT_RESERVATION, &request->wanted, 4, &request->out,
			     16, &request->returned, &request->overlapped, routine),
		    0);
	return NULL;
}

static void the_end_of_the_thread_with_a_routine_queued(void)
{
	struct request request;
	pthread_t thread;

	calls = 0;
	REQUIRE(pthread_create(&thread, NULL, complete_and_end, &request) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK_EQUAL(request.overlapped.Internal, 0);
	CHECK_EQUAL(SleepEx(0, TRUE), 0);
	CHECK_EQUAL(calls, 0);
	CHECK(!can_bind(SOCK_DGRAM, 20001));
}

/* The end of the library aborts, too. */
static void the_last_cleanup(void)
{
	SOCKET s = tcp();
	WSAEVENT event = WSACreateEvent();
	struct occupier *first = occupier(s, FALSE);
	struct request behind;

	submit(&behind, s, 20001, event, NULL);
	CHECK(WSACleanup() == 0);
	CHECK_EQUAL((DWORD)behind.overlapped.Internal, 0xC0000120);
	start();
	CHECK(is_set(event));
	CHECK_EQUAL(leaves(first), WSAEINTR);
	CHECK(WSACloseEvent(event));
}

int main(void)
{
	start();
	a_pending_call_is_made_in_its_turn();
	cancelling_a_blocking_call();
	cancelling_a_pending_call();
	closing_the_socket();
	closing_the_socket_of_a_call_that_waits();
	cancelling_a_call_that_waits();
	flushing_the_socket();
	the_end_of_the_thread();
	the_end_of_the_thread_with_a_routine_queued();
	the_last_cleanup();
	CHECK(WSACleanup() == 0);
	return finish();
}

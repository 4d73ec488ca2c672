/*
 * Threads that make overlapped and blocking control calls on the same sockets, while these are closed
 * and opened again: every request ends once, and nothing stays reserved.
 */
#include "check.h"

enum {
	THREADS = 4,
	SOCKETS = 2,
	ROUNDS = 100
};

static SOCKET sockets[SOCKETS];

struct request {
	WSAOVERLAPPED overlapped;
	INET_PORT_RANGE wanted;
	INET_PORT_RESERVATION_INSTANCE out;
	int completions;
	DWORD error;
};

static void CALLBACK routine(DWORD error, DWORD bytes, LPWSAOVERLAPPED overlapped, DWORD flags)
{
	/* The structure comes first. */
	struct request *request = (struct request *)overlapped;

	CHECK_EQUAL(bytes, error ? 0 : 16);
	CHECK_EQUAL(flags, 0);
	request->completions++;
	request->error = error;
}

static SOCKET some_socket(int number)
{
	return __atomic_load_n(&sockets[number % SOCKETS], __ATOMIC_ACQUIRE);
}

/* The errors that an operation may have while its socket is closed and its descriptor used again. */
static int is_expected(DWORD error)
{
	return error == 0 || error == WSA_OPERATION_ABORTED || error == WSAENOTSOCK ||
	       error == WSAEINTR || error == WSAEADDRINUSE;
}

static void give_back(const INET_PORT_RESERVATION_INSTANCE *out)
{
	SOCKET s = tcp();
	DWORD returned;
	int error = control(s, SIO_RELEASE_PORT_RESERVATION, &out->Token, 8, NULL, 0, &returned);

	/* It has gone with its socket if that was closed. */
	CHECK(error == 0 || error == WSAEINVAL);
	CHECK(closesocket(s) == 0);
}

static void by_event(int number, WSAEVENT event)
{
	struct request request;
	SOCKET s = some_socket(number), any;
	DWORD returned, bytes, flags;

	memset(&request, 0, sizeof(request));
	request.overlapped.hEvent = event;
	request.wanted = range(0, 1);
	if (WSAIoctl(s, SIO_ACQUIRE_PORT_RESERVATION, &request.wanted, 4, &request.out, 16,
		     &returned, &request.overlapped, NULL) &&
	    WSAGetLastError() != WSA_IO_PENDING) {
		CHECK_EQUAL(WSAGetLastError(), WSAENOTSOCK);
		return;
	}
	CHECK_EQUAL(WSAWaitForMultipleEvents(1, &event, TRUE, WSA_INFINITE, FALSE),
		    WSA_WAIT_EVENT_0);
	any = tcp();
	if (WSAGetOverlappedResult(any, &request.overlapped, &bytes, FALSE, &flags))
		give_back(&request.out);
	else
		CHECK(is_expected(WSAGetLastError()));
	CHECK(closesocket(any) == 0);
}

static void by_routine(int number)
{
	struct request request;
	SOCKET s = some_socket(number);
	DWORD returned;

	memset(&request, 0, sizeof(request));
	request.wanted = range(0, 1);
	if (WSAIoctl(s, SIO_ACQUIRE_PORT_RESERVATION, &request.wanted, 4, &request.out, 16,
		     &returned, &request.overlapped, routine) &&
	    WSAGetLastError() != WSA_IO_PENDING) {
		CHECK_EQUAL(WSAGetLastError(), WSAENOTSOCK);
		return;
	}
	while (!request.completions)
		CHECK_EQUAL(SleepEx(WSA_INFINITE, TRUE), WAIT_IO_COMPLETION);
	CHECK_EQUAL(request.completions, 1);
	CHECK(is_expected(request.error));
	if (request.error == 0)
		give_back(&request.out);
}

static void blocking(int number)
{
	INET_PORT_RANGE wanted = range(0, 1);
	INET_PORT_RESERVATION_INSTANCE out;
	DWORD returned;
	int error = control(some_socket(number), SIO_ACQUIRE_PORT_RESERVATION, &wanted, 4, &out, 16,
			    &returned);

	CHECK(is_expected(error));
	if (error == 0)
		give_back(&out);
}

static void *work(void *argument)
{
	WSAEVENT event = WSACreateEvent();
	int i;

	(void)argument;
	for (i = 0; i < ROUNDS; i++) {
		by_event(i, event);
		by_routine(i + 1);
		blocking(i);
	}
	CHECK_EQUAL(SleepEx(0, TRUE), 0);
	CHECK(WSACloseEvent(event));
	return NULL;
}

/* Two of them leave their requests behind. */
static void *leave(void *argument)
{
	struct request *requests = (struct request *)argument;
	DWORD returned;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		requests[i].wanted = range(0, 1);
		if (WSAIoctl(some_socket(i), SIO_ACQUIRE_PORT_RESERVATION, &requests[i].wanted, 4,
			     &requests[i].out, 16, &returned, &requests[i].overlapped,
			     i % 2 ? routine : NULL) &&
		    WSAGetLastError() != WSA_IO_PENDING)
			/* Closed meanwhile: refused, and never completes. */
			requests[i].overlapped.Internal = 0;
	}
	return NULL;
}

int main(void)
{
	static struct request requests[2][ROUNDS];
	pthread_t threads[THREADS], leaving[2];
	int i;

	start();
	for (i = 0; i < SOCKETS; i++)
		sockets[i] = tcp();
	for (i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&threads[i], NULL, work, NULL) == 0);
	for (i = 0; i < 2; i++)
		REQUIRE(pthread_create(&leaving[i], NULL, leave, requests[i]) == 0);
	for (i = 0; i < ROUNDS; i++) {
		SOCKET next = tcp();
		SOCKET old = __atomic_exchange_n(&sockets[i % SOCKETS], next, __ATOMIC_ACQ_REL);

		CHECK(closesocket(old) == 0);
		SleepEx(1, FALSE);
	}
	for (i = 0; i < 2; i++)
		CHECK(pthread_join(leaving[i], NULL) == 0);
	for (i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	for (i = 0; i < ROUNDS; i++)
		CHECK(HasOverlappedIoCompleted(&requests[0][i].overlapped) &&
		      HasOverlappedIoCompleted(&requests[1][i].overlapped));
	for (i = 0; i < SOCKETS; i++)
		CHECK(closesocket(sockets[i]) == 0);
	CHECK(WSACleanup() == 0);
	return finish();
}

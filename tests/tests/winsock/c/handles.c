/* Events of either family of functions, the waits for them, and what closes them. */
#include "check.h"

static DWORD called;

static void CALLBACK routine(DWORD error, DWORD bytes, LPWSAOVERLAPPED overlapped, DWORD flags)
{
	(void)error, (void)bytes, (void)overlapped, (void)flags;
	called++;
}

static int is_set(HANDLE event)
{
	DWORD result = WaitForSingleObject(event, 0);

	CHECK(result == WAIT_OBJECT_0 || result == WAIT_TIMEOUT);
	return result == WAIT_OBJECT_0;
}

/* A wait resets the event that it ends by, if that is not of manual reset. */
static void resets(void)
{
	static const struct {
		const char *what;
		BOOL manual, set;
	} rows[] = {
		{ "automatic, not set", FALSE, FALSE },
		{ "automatic, set", FALSE, TRUE },
		{ "manual, not set", TRUE, FALSE },
		{ "manual, set", TRUE, TRUE },
	};
	size_t i;

	FOR_EACH_ROW(i, rows) {
		HANDLE event = CreateEvent(NULL, rows[i].manual, rows[i].set, NULL);

		REQUIRE(event != NULL);
		CHECK_EQUAL(is_set(event), rows[i].set);
		CHECK_EQUAL(is_set(event), rows[i].set && rows[i].manual);
		CHECK(SetEvent(event));
		CHECK(is_set(event));
		CHECK_EQUAL(is_set(event), rows[i].manual);
		CHECK(ResetEvent(event));
		CHECK(!is_set(event));
		CHECK(CloseHandle(event));
	}
	row = NULL;
}

static void flags(void)
{
	DWORD both = CREATE_EVENT_MANUAL_RESET | CREATE_EVENT_INITIAL_SET;
	HANDLE event = CreateEventExW(NULL, NULL, both, EVENT_ALL_ACCESS);

	CHECK(is_set(event) && is_set(event));
	CHECK(CloseHandle(event));
	event = CreateEventExA(NULL, NULL, CREATE_EVENT_INITIAL_SET, EVENT_MODIFY_STATE);
	CHECK(is_set(event) && !is_set(event));
	CHECK(CloseHandle(event));
	CHECK(CreateEventExW(NULL, NULL, 4, EVENT_ALL_ACCESS) == NULL);
	CHECK_EQUAL(GetLastError(), ERROR_INVALID_PARAMETER);
	CHECK(CreateEventW(NULL, TRUE, FALSE, L"name") == NULL);
	CHECK_EQUAL(GetLastError(), ERROR_NOT_SUPPORTED);
	CHECK(CreateEventA(NULL, TRUE, FALSE, "name") == NULL);
	CHECK_EQUAL(GetLastError(), ERROR_NOT_SUPPORTED);
}

/* Waiting for all takes nothing before all are there. */
static void several(void)
{
	HANDLE events[MAXIMUM_WAIT_OBJECTS + 1];
	size_t i;

	for (i = 0; i < COUNT(events); i++)
		events[i] = CreateEvent(NULL, FALSE, FALSE, NULL);
	CHECK(SetEvent(events[1]) && SetEvent(events[2]));
	CHECK_EQUAL(WaitForMultipleObjects(4, events, TRUE, 0), WAIT_TIMEOUT);
	CHECK_EQUAL(WaitForMultipleObjects(4, events, FALSE, 0), WAIT_OBJECT_0 + 1);
	CHECK_EQUAL(WaitForMultipleObjects(4, events, FALSE, 0), WAIT_OBJECT_0 + 2);
	CHECK_EQUAL(WaitForMultipleObjects(4, events, FALSE, 0), WAIT_TIMEOUT);
	for (i = 0; i < MAXIMUM_WAIT_OBJECTS; i++)
		CHECK(SetEvent(events[i]));
	CHECK_EQUAL(WaitForMultipleObjectsEx(MAXIMUM_WAIT_OBJECTS, events, TRUE, 0, FALSE),
		    WAIT_OBJECT_0);
	for (i = 0; i < MAXIMUM_WAIT_OBJECTS; i++)
		CHECK(!is_set(events[i]));
	CHECK_EQUAL(WaitForMultipleObjects(COUNT(events), events, FALSE, 0), WAIT_FAILED);
	CHECK_EQUAL(GetLastError(), ERROR_INVALID_PARAMETER);
	CHECK_EQUAL(WaitForMultipleObjects(0, events, FALSE, 0), WAIT_FAILED);
	CHECK_EQUAL(GetLastError(), ERROR_INVALID_PARAMETER);
	CHECK_EQUAL(WaitForMultipleObjects(1, NULL, FALSE, 0), WAIT_FAILED);
	CHECK_EQUAL(GetLastError(), ERROR_INVALID_PARAMETER);
	/* One of several that are one will do, all of them not. */
	events[1] = events[0];
	CHECK_EQUAL(WaitForMultipleObjects(2, events, FALSE, 0), WAIT_TIMEOUT);
	CHECK_EQUAL(WaitForMultipleObjects(2, events, TRUE, 0), WAIT_FAILED);
	CHECK_EQUAL(GetLastError(), ERROR_INVALID_PARAMETER);
	for (i = 0; i < COUNT(events); i++)
		CHECK_EQUAL(CloseHandle(events[i]), i != 1);
}

/* A WSAEVENT is a HANDLE. */
static void both_families(void)
{
	WSAEVENT of_winsock = WSACreateEvent();
	HANDLE of_win32 = CreateEvent(NULL, FALSE, FALSE, NULL);
	HANDLE events[2];

	CHECK(SetEvent(of_winsock) && WSASetEvent(of_win32));
	/* Winsock's are of manual reset. */
	CHECK(is_set(of_winsock) && is_set(of_winsock));
	events[0] = of_winsock;
	events[1] = of_win32;
	CHECK_EQUAL(WSAWaitForMultipleEvents(2, events, TRUE, 0, FALSE), WSA_WAIT_EVENT_0);
	CHECK_EQUAL(WSAWaitForMultipleEvents(2, events, TRUE, 0, FALSE), WSA_WAIT_TIMEOUT);
	CHECK(ResetEvent(of_winsock) && !is_set(of_winsock) && WSAResetEvent(of_win32));
	CHECK(CloseHandle(of_winsock) && WSACloseEvent(of_win32));
	CHECK(!WSASetEvent(of_winsock));
	CHECK_EQUAL(WSAGetLastError(), WSA_INVALID_HANDLE);
	CHECK(!SetEvent(of_win32));
	CHECK_EQUAL(GetLastError(), ERROR_INVALID_HANDLE);
}

static void what_is_no_object(void)
{
	HANDLE event = CreateEvent(NULL, TRUE, TRUE, NULL);
	HANDLE none[4] = { NULL, INVALID_HANDLE_VALUE, (HANDLE)4, NULL };
	SOCKET s = tcp();
	size_t i;

	CHECK(CloseHandle(event));
	none[3] = event;
	for (i = 0; i < COUNT(none); i++) {
		CHECK_EQUAL(WaitForSingleObject(none[i], INFINITE), WAIT_FAILED);
		CHECK_EQUAL(GetLastError(), ERROR_INVALID_HANDLE);
		SetLastError(NO_LAST_ERROR);
		CHECK(!SetEvent(none[i]) && !ResetEvent(none[i]));
		CHECK_EQUAL(GetLastError(), ERROR_INVALID_HANDLE);
		CHECK(!CloseHandle(none[i]));
		CHECK_EQUAL(GetLastError(), ERROR_INVALID_HANDLE);
	}
	/* Nobody waits for a socket here. */
	CHECK_EQUAL(WaitForSingleObject((HANDLE)s, 0), WAIT_FAILED);
	CHECK_EQUAL(GetLastError(), ERROR_INVALID_HANDLE);
	CHECK(CloseHandle((HANDLE)s));
	CHECK(!is_open((int)s));
	CHECK(closesocket(s) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAENOTSOCK);
}

/* Each set event lets one of the waiting threads through. */
static HANDLE turnstile;
static int passed;

static void *pass(void *unused)
{
	CHECK_EQUAL(WaitForSingleObject(turnstile, INFINITE), WAIT_OBJECT_0);
	__atomic_fetch_add(&passed, 1, __ATOMIC_SEQ_CST);
	CHECK(SetEvent(turnstile));
	return unused;
}

static void one_thread_at_a_time(void)
{
	pthread_t threads[8];
	size_t i;

	turnstile = CreateEvent(NULL, FALSE, FALSE, NULL);
	for (i = 0; i < COUNT(threads); i++)
		REQUIRE(pthread_create(&threads[i], NULL, pass, NULL) == 0);
	CHECK(SetEvent(turnstile));
	for (i = 0; i < COUNT(threads); i++)
		pthread_join(threads[i], NULL);
	CHECK_EQUAL(passed, COUNT(threads));
	CHECK(is_set(turnstile) && !is_set(turnstile));
	CHECK(CloseHandle(turnstile));
}

/* WSAIoctl's page names these waits for the alertable state. */
static void alertable_waits(void)
{
	SOCKET s = tcp();
	HANDLE event = CreateEvent(NULL, FALSE, FALSE, NULL);
	WSAOVERLAPPED overlapped;
	INET_PORT_RANGE wanted = range(0, 1);
	INET_PORT_RESERVATION_INSTANCE out;
	DWORD returned, i;

	for (i = 0; i < 3; i++) {
		memset(&overlapped, 0, sizeof(overlapped));
		CHECK_EQUAL(WSAIoctl(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted), &out,
				     sizeof(out), &returned, &overlapped, routine),
			    0);
		/* Not alertable: nothing is called. */
		CHECK_EQUAL(WaitForSingleObject(event, 0), WAIT_TIMEOUT);
		CHECK_EQUAL(called, i);
		switch (i) {
		case 0:
			CHECK_EQUAL(WaitForSingleObjectEx(event, INFINITE, TRUE),
				    WAIT_IO_COMPLETION);
			break;
		case 1:
			CHECK_EQUAL(WaitForMultipleObjectsEx(1, &event, FALSE, INFINITE, TRUE),
				    WAIT_IO_COMPLETION);
			break;
		default:
			CHECK_EQUAL(SleepEx(INFINITE, TRUE), WAIT_IO_COMPLETION);
		}
		CHECK_EQUAL(called, i + 1);
	}
	Sleep(0);
	CHECK(CloseHandle(event));
	CHECK(closesocket(s) == 0);
}

static void last_errors_are_one(void)
{
	WSASetLastError(WSAEACCES);
	CHECK_EQUAL(GetLastError(), WSAEACCES);
	SetLastError(ERROR_SHARING_VIOLATION);
	CHECK_EQUAL(WSAGetLastError(), 32);
	SetLastError(0xFFFFFFFF);
	CHECK_EQUAL(GetLastError(), 0xFFFFFFFF);
}

int main(void)
{
	/* None of these needs Winsock. */
	resets();
	flags();
	several();
	one_thread_at_a_time();
	last_errors_are_one();
	start();
	both_families();
	what_is_no_object();
	alertable_waits();
	WSACleanup();
	return finish();
}

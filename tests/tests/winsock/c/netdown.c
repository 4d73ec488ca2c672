/* Control calls that the kernel fails with ENETDOWN. */
#include "check.h"

static DWORD completion_error, completions;

static void CALLBACK note(DWORD error, DWORD bytes, LPWSAOVERLAPPED overlapped, DWORD flags)
{
	(void)overlapped;
	CHECK_EQUAL(bytes, 0);
	CHECK_EQUAL(flags, 0);
	completion_error = error;
	completions++;
}

int main(void)
{
	INET_PORT_RANGE wanted = range(10000, 2);
	INET_PORT_RESERVATION_TOKEN token = { 1 << 17 | 10000 };
	INET_PORT_RESERVATION_INSTANCE out;
	const struct {
		const char *what;
		DWORD code;
		const void *in;
		DWORD in_length;
	} rows[] = {
		{ "acquire", SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted) },
		{ "associate", SIO_ASSOCIATE_PORT_RESERVATION, &token, sizeof(token) },
		{ "release", SIO_RELEASE_PORT_RESERVATION, &token, sizeof(token) },
	};
	WSAOVERLAPPED overlapped;
	DWORD returned;
	size_t i;
	SOCKET s;

	start();
	s = tcp();
	FOR_EACH_ROW(i, rows) {
		memset(&out, UNTOUCHED, sizeof(out));
		returned = UNTOUCHED_DWORD;
		CHECK_EQUAL(control(s, rows[i].code, rows[i].in, rows[i].in_length, &out,
				    sizeof(out), &returned),
			    WSAENETDOWN);
		CHECK_EQUAL(returned, 0);
		CHECK(all_are(&out, UNTOUCHED, sizeof(out)));

		/* Overlapped, the completion tells. */
		returned = UNTOUCHED_DWORD;
		completions = 0;
		memset(&overlapped, 0, sizeof(overlapped));
		CHECK_EQUAL(WSAIoctl(s, rows[i].code, (LPVOID)rows[i].in, rows[i].in_length, &out,
				     sizeof(out), &returned, &overlapped, note),
			    SOCKET_ERROR);
		CHECK_EQUAL(WSAGetLastError(), WSA_IO_PENDING);
		CHECK_EQUAL(returned, UNTOUCHED_DWORD);
		CHECK_EQUAL(SleepEx(0, TRUE), WAIT_IO_COMPLETION);
		CHECK_EQUAL(completions, 1);
		CHECK_EQUAL(completion_error, WSAENETDOWN);
		CHECK(all_are(&out, UNTOUCHED, sizeof(out)));
	}
	return finish();
}

/*
 * Control calls with arguments that are wrong in every way: pointers to nowhere, to the edge of what is
 * mapped, to what may only be read, lengths that lie. Each is refused or does something sensible; none
 * crashes, and none writes where it was not told to.
 */
#include "check.h"

#include <sys/mman.h>

enum {
	CALLS = 30000,
	PAGE = 4096
};

static unsigned int seed = 20261125;

static unsigned int draw(unsigned int below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

/* Two pages, of which the second is gone. */
static unsigned char *page;
static const unsigned char constants[64];

static void *somewhere(unsigned char *good)
{
	switch (draw(8)) {
	case 0:
		return NULL;
	case 1:
		return (void *)(UINT_PTR)draw(PAGE);
	case 2:
		return (void *)(~(UINT_PTR)0 - draw(64));
	case 3:
		return page + PAGE - draw(64);
	case 4:
		return (void *)constants;
	case 5:
		return good + draw(8);
	default:
		return good;
	}
}

static int is_known(int error)
{
	static const int errors[] = {
		0,
		WSA_INVALID_HANDLE,
		WSA_IO_PENDING,
		WSAEACCES,
		WSAEFAULT,
		WSAEINVAL,
		WSAENOTSOCK,
		WSAEOPNOTSUPP,
		WSAEADDRINUSE,
		WSAEADDRNOTAVAIL,
		WSAEINPROGRESS,
	};
	size_t i;

	for (i = 0; i < COUNT(errors); i++)
		if (errors[i] == error)
			return 1;
	return 0;
}

static void CALLBACK routine(DWORD error, DWORD bytes, LPWSAOVERLAPPED overlapped, DWORD flags)
{
	CHECK(is_known((int)error));
	CHECK(bytes == 0 || bytes == 16);
	CHECK(overlapped != NULL && flags == 0);
}

static void call(SOCKET s, const ULONG64 *tokens)
{
	static const DWORD codes[] = {
		SIO_ACQUIRE_PORT_RESERVATION,
		SIO_RELEASE_PORT_RESERVATION,
		SIO_ASSOCIATE_PORT_RESERVATION,
		SIO_FLUSH,
		0xD8000064,
	};
	/* Each with room around it that nothing may touch. */
	struct {
		unsigned char before[16], in[32], between[16], out[32], after[16];
	} memory;
	struct {
		WSAOVERLAPPED structure;
		char room[8];
	} overlapped;
	/* With room for what begins in their middle. */
	DWORD returned[4], lengths[] = { 0, 1, 3, 4, 7, 8, 15, 16, 32, 0xFFFFFFFF };
	LPWSAOVERLAPPED_COMPLETION_ROUTINE completion = draw(4) ? NULL : routine;
	LPWSAOVERLAPPED structure = draw(2) ? NULL : &overlapped.structure;
	DWORD code = codes[draw(COUNT(codes))];
	void *in, *out, *count;
	int result, error[4];

	memset(&memory, UNTOUCHED, sizeof(memory));
	memset(&overlapped, 0, sizeof(overlapped));
	if (code == SIO_ACQUIRE_PORT_RESERVATION) {
		INET_PORT_RANGE wanted =
			range((USHORT)(draw(2) ? draw(65536) : 0), (USHORT)draw(4));

		memcpy(memory.in, &wanted, sizeof(wanted));
	} else {
		memcpy(memory.in, &tokens[draw(4)], sizeof(*tokens));
	}
	if (!draw(16))
		structure = (LPWSAOVERLAPPED)somewhere((unsigned char *)&overlapped);
	if (!draw(16))
		completion = (LPWSAOVERLAPPED_COMPLETION_ROUTINE)(UINT_PTR)draw(PAGE);
	if (!draw(16))
		overlapped.structure.hEvent = (HANDLE)(UINT_PTR)draw(100000);
	in = draw(4) ? memory.in : somewhere(memory.in);
	out = draw(4) ? memory.out : somewhere(memory.out);
	count = draw(8) ? returned : somewhere((unsigned char *)returned);
	WSASetLastError(NO_LAST_ERROR);
	if (draw(4))
		result = WSAIoctl(s, code, in, lengths[draw(COUNT(lengths))], out,
				  lengths[draw(COUNT(lengths))], (LPDWORD)count, structure,
				  completion);
	else
		result = WSPIoctl(s, code, in, lengths[draw(COUNT(lengths))], out,
				  lengths[draw(COUNT(lengths))], (LPDWORD)count, structure,
				  completion, draw(2) ? NULL : (LPWSATHREADID)somewhere(memory.in),
				  draw(8) ? error : (int *)somewhere((unsigned char *)error));
	CHECK(result == 0 || result == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError() == 0, result == 0);
	CHECK(is_known(WSAGetLastError()));
	/* What has a routine that is due needs its structure until that is called. */
	SleepEx(0, TRUE);
	CHECK(all_are(memory.before, UNTOUCHED, sizeof(memory.before)));
	CHECK(all_are(memory.between, UNTOUCHED, sizeof(memory.between)));
	CHECK(all_are(memory.after, UNTOUCHED, sizeof(memory.after)));
}

int main(void)
{
	ULONG64 tokens[4] = { 0, 0, 1, ~0ULL };
	SOCKET sockets[4];
	int i;

	start();
	page = (unsigned char *)mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(page != MAP_FAILED && munmap(page + PAGE, PAGE) == 0);
	sockets[0] = tcp();
	sockets[1] = udp();
	sockets[2] = socket(AF_UNIX, SOCK_STREAM, 0);
	sockets[3] = (SOCKET)STDIN_FILENO;
	tokens[0] = acquired(sockets[0], 0, 1).Token;
	for (i = 0; i < CALLS && !failures; i++)
		call(sockets[draw(4)], tokens);
	CHECK(all_are(constants, 0, sizeof(constants)));
	CHECK(closesocket(sockets[0]) == 0 && closesocket(sockets[1]) == 0);
	CHECK(WSACleanup() == 0);
	return finish();
}

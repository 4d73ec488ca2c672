/* Windows' layouts and numbers, and the members' names in C and in C++. Only compiled. */
#ifdef __cplusplus
/* A function that is not Winsock's has the same name. */
#include <functional>
#include <string>
#define ASSERT(condition) static_assert(condition, #condition)
#else
#define ASSERT(condition) __extension__ _Static_assert(condition, #condition)
#endif

#include <Windows.h.>
#include <WinSock2.h>
#include <mstcpip.h>
#include <ws2ipdef.h>
#include <iphlpapi.h>

#define SAME(number, value) ASSERT((number) == (value))

SAME(SIO_ACQUIRE_PORT_RESERVATION, 2550136932u);
SAME(SIO_RELEASE_PORT_RESERVATION, 2550136933u);
SAME(SIO_ASSOCIATE_PORT_RESERVATION, 2550136934u);
SAME(INVALID_PORT_RESERVATION_TOKEN, 0);
SAME(WSA_IO_PENDING, 997);
SAME(WSA_WAIT_FAILED, 0xFFFFFFFF);
SAME(WSAEACCES - WSABASEERR, 13);
SAME(MAKEWORD(2, 1), 0x0102);

SAME(sizeof(INET_PORT_RANGE), 4);
SAME(sizeof(INET_PORT_RESERVATION), 4);
SAME(sizeof(INET_PORT_RESERVATION_TOKEN), 8);
SAME(sizeof(INET_PORT_RESERVATION_INSTANCE), 16);
SAME(sizeof(INET_PORT_RESERVATION_INFORMATION), 4);
SAME(offsetof(INET_PORT_RESERVATION_INSTANCE, Token), 8);
SAME(__alignof__(INET_PORT_RESERVATION_INSTANCE), 8);
SAME(__alignof__(INET_PORT_RESERVATION_TOKEN), 8);
SAME(sizeof(WSAOVERLAPPED), 3 * sizeof(void *) + 8);
SAME(sizeof(WSATHREADID), 2 * sizeof(void *));
SAME(sizeof(SOCKET), sizeof(void *));
SAME(sizeof(DWORD), 4);
SAME(sizeof(LONG), 4);
SAME(sizeof(ULONG64), 8);

struct unaligned {
	char one;
	INET_PORT_RESERVATION_INSTANCE instance;
};
SAME(sizeof(struct unaligned), 24);

/* The members, as each language has them on Windows. */
ULONG64 members(INET_PORT_RESERVATION_INSTANCE *instance);
ULONG64 members(INET_PORT_RESERVATION_INSTANCE *instance)
{
	instance->Reservation.StartPort = htons(1);
	instance->Reservation.NumberOfPorts = 1;
#ifdef __cplusplus
	return instance->Token.Token;
#else
	instance->StartPort = htons(1);
	instance->NumberOfPorts = 1;
	return instance->Token;
#endif
}

/* Lengths are ints on Windows, socklen_t on Linux. */
int lengths(SOCKET s, SOCKADDR *address);
int lengths(SOCKET s, SOCKADDR *address)
{
	int length = sizeof(SOCKADDR_STORAGE);
	socklen_t linux_length = sizeof(SOCKADDR_STORAGE);
	char byte;

	return getsockname(s, address, &length) + getsockname(s, address, &linux_length) +
	       getpeername(s, address, &length) +
	       getsockopt(s, SOL_SOCKET, SO_ERROR, &byte, &length) +
	       (int)recvfrom(s, &byte, 1, 0, address, &length) + (int)accept(s, address, &length) +
	       (int)accept(s, NULL, NULL);
}

#ifdef __cplusplus
int other_bind();
int other_bind()
{
	return std::bind([](int number) { return number; }, 1)();
}
#endif

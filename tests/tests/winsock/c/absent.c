/* Where Portkeep is not enabled: the control calls say WSAEOPNOTSUPP, once their arguments are right. */
#include "check.h"

int main(void)
{
	INET_PORT_RESERVATION_INSTANCE out;
	INET_PORT_RANGE wanted = range(10000, 1);
	WSAOVERLAPPED overlapped;
	DWORD returned, flags;
	SOCKET s;

	start();
	s = tcp();
	memset(&out, UNTOUCHED, sizeof(out));
	CHECK_EQUAL(acquire(s, 10000, 1, &out), WSAEOPNOTSUPP);
	CHECK_EQUAL(acquire(s, 0, 1, &out), WSAEOPNOTSUPP);
	CHECK_EQUAL(release(s, 1), WSAEOPNOTSUPP);
	CHECK_EQUAL(release(s, 0), WSAEOPNOTSUPP);
	CHECK_EQUAL(associate(s, 1), WSAEOPNOTSUPP);
	CHECK(all_are(&out, UNTOUCHED, sizeof(out)));
	CHECK_EQUAL(acquire(s, 10000, 0, &out), WSAEINVAL);
	CHECK_EQUAL(control(s, SIO_RELEASE_PORT_RESERVATION, NULL, 0, NULL, 0, &returned),
		    WSAEFAULT);

	memset(&overlapped, 0, sizeof(overlapped));
	CHECK(WSAIoctl(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted), &out, sizeof(out),
		       &returned, &overlapped, NULL) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSA_IO_PENDING);
	CHECK(!WSAGetOverlappedResult(s, &overlapped, &returned, TRUE, &flags));
	CHECK_EQUAL(WSAGetLastError(), WSAEOPNOTSUPP);

	/* Sockets are what they are. */
	CHECK_EQUAL(bind_port(s, 10000), 0);
	CHECK_EQUAL(bind_port(udp(), 10000), 0);
	CHECK_EQUAL(bind_port(tcp(), 10000), WSAEADDRINUSE);
	CHECK(WSACleanup() == 0);
	return finish();
}

/* Options, timeouts and the control calls that are not about reservations. */
#include "check.h"

static int error_of(int result)
{
	return result == 0 ? 0 : WSAGetLastError();
}

static int set(SOCKET s, int option, DWORD value)
{
	return error_of(setsockopt(s, SOL_SOCKET, option, &value, sizeof(value)));
}

static DWORD get(SOCKET s, int option)
{
	DWORD value = UNTOUCHED_DWORD;
	int length = sizeof(value);

	CHECK_EQUAL(error_of(getsockopt(s, SOL_SOCKET, option, &value, &length)), 0);
	CHECK_EQUAL(length, sizeof(value));
	return value;
}

/* Milliseconds in a DWORD; a time that passes is an error of its own. */
static void timeouts(void)
{
	SOCKET s = udp();
	struct timeval time = { 7, 0 };
	int length = sizeof(time);
	char byte;

	CHECK_EQUAL(bind_port(s, 0), 0);
	CHECK_EQUAL(get(s, SO_RCVTIMEO), 0);
	CHECK_EQUAL(set(s, SO_SNDTIMEO, 61000), 0);
	CHECK_EQUAL(get(s, SO_SNDTIMEO), 61000);
	CHECK_EQUAL(getsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &time, &length), 0);
	CHECK_EQUAL(time.tv_sec, 61);
	CHECK_EQUAL(set(s, SO_RCVTIMEO, 20), 0);
	CHECK_EQUAL(recv(s, &byte, 1, 0), SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAETIMEDOUT);
	CHECK_EQUAL(recv(s, &byte, 1, MSG_DONTWAIT), SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEWOULDBLOCK);
	/* As on Linux, too. */
	time.tv_sec = 3;
	CHECK_EQUAL(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)), 0);
	CHECK_EQUAL(get(s, SO_RCVTIMEO), 3000);
	CHECK_EQUAL(error_of(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &time, 3)), WSAEFAULT);
	CHECK_EQUAL(error_of(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, NULL, 4)), WSAEFAULT);
	CHECK_EQUAL(error_of(setsockopt(s, SOL_SOCKET, SO_BROADCAST, &time, 3)), WSAEFAULT);
	CHECK_EQUAL(get(s, SO_RCVTIMEO), 3000);
	CHECK(closesocket(s) == 0);
}

static void exclusive_addresses(void)
{
	SOCKET one = tcp(), other = tcp();
	USHORT port;

	CHECK_EQUAL(get(one, SO_EXCLUSIVEADDRUSE), 0);
	CHECK_EQUAL(set(one, SO_EXCLUSIVEADDRUSE, 1), 0);
	CHECK_EQUAL(get(one, SO_EXCLUSIVEADDRUSE), 1);
	CHECK_EQUAL(set(one, SO_REUSEADDR, 1), WSAEINVAL);
	CHECK_EQUAL(get(one, SO_REUSEADDR), 0);
	CHECK_EQUAL(set(other, SO_REUSEADDR, 1), 0);
	CHECK_EQUAL(set(other, SO_EXCLUSIVEADDRUSE, 1), WSAEINVAL);
	CHECK_EQUAL(bind_port(one, 0), 0);
	port = local_port(one);
	CHECK_EQUAL(set(one, SO_EXCLUSIVEADDRUSE, 0), WSAEINVAL);
	/* Who would share is told something else than who would not. */
	CHECK_EQUAL(bind_port(other, port), WSAEACCES);
	CHECK_EQUAL(set(other, SO_REUSEADDR, 0), 0);
	CHECK_EQUAL(bind_port(other, port), WSAEADDRINUSE);
	CHECK(closesocket(one) == 0);
	CHECK_EQUAL(bind_port(other, port), 0);
	CHECK(closesocket(other) == 0);
	one = tcp();
	CHECK_EQUAL(get(one, SO_DONTLINGER), 1);
	CHECK_EQUAL(set(one, SO_DONTLINGER, 0), 0);
	CHECK_EQUAL(get(one, SO_DONTLINGER), 0);
	CHECK(closesocket(one) == 0);
}

/* SO_ERROR tells a code of Winsock, once. */
static void errors_of_connects(void)
{
	SOCKET free_port = tcp(), s = tcp();
	u_long on = 1;
	SOCKADDR_IN address;
	int length = sizeof(address);
	fd_set failed, writable;

	CHECK_EQUAL(bind_port(free_port, 0), 0);
	CHECK(getsockname(free_port, (SOCKADDR *)&address, &length) == 0);
	CHECK_EQUAL(ioctlsocket(s, FIONBIO, &on), 0);
	CHECK(connect(s, (SOCKADDR *)&address, sizeof(address)) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEWOULDBLOCK);
	FD_ZERO(&failed);
	FD_SET(s, &failed);
	writable = failed;
	CHECK_EQUAL(select(0, NULL, &writable, &failed, NULL), 1);
	CHECK(FD_ISSET(s, &failed) && !FD_ISSET(s, &writable));
	CHECK_EQUAL(get(s, SO_ERROR), WSAECONNREFUSED);
	CHECK_EQUAL(get(s, SO_ERROR), 0);
	CHECK(closesocket(s) == 0 && closesocket(free_port) == 0);
}

/* Nothing beside the DWORD is touched. */
static void ioctls(void)
{
	SOCKET s = udp(), sender = udp();
	struct {
		DWORD before, number, after;
	} at;
	SOCKADDR_IN address;
	int length = sizeof(address);
	char byte;

	CHECK_EQUAL(bind_port(s, 0), 0);
	CHECK(getsockname(s, (SOCKADDR *)&address, &length) == 0);
	memset(&at, UNTOUCHED, sizeof(at));
	at.number = 1;
	CHECK_EQUAL(ioctlsocket(s, FIONBIO, &at.number), 0);
	CHECK_EQUAL(recv(s, &byte, 1, 0), SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEWOULDBLOCK);
	CHECK_EQUAL(sendto(sender, "123", 3, 0, (SOCKADDR *)&address, sizeof(address)), 3);
	CHECK_EQUAL(ioctlsocket(s, FIONREAD, &at.number), 0);
	CHECK_EQUAL(at.number, 3);
	/* A zero with other bytes behind it. */
	at.number = 0;
	CHECK_EQUAL(ioctlsocket(s, FIONBIO, &at.number), 0);
	CHECK(!(fcntl((int)s, F_GETFL) & O_NONBLOCK));
	CHECK(at.before == UNTOUCHED_DWORD && at.after == UNTOUCHED_DWORD);
	CHECK_EQUAL(error_of(ioctlsocket(s, 0x40047307, &at.number)), WSAEOPNOTSUPP);
	CHECK_EQUAL(error_of(ioctlsocket(s, FIONREAD, (u_long *)8)), WSAEFAULT);
	CHECK_EQUAL(error_of(ioctlsocket(s, FIONBIO, NULL)), WSAEFAULT);
	CHECK_EQUAL(error_of(ioctlsocket(INVALID_SOCKET, FIONBIO, &at.number)), WSAENOTSOCK);
	CHECK(closesocket(s) == 0 && closesocket(sender) == 0);
}

static DWORD called;

static void CALLBACK routine(DWORD error, DWORD bytes, LPWSAOVERLAPPED overlapped, DWORD flags)
{
	CHECK(error == 0 && flags == 0 && overlapped != NULL);
	called += 100 + bytes;
}

/* The same by WSAIoctl, as WFPSampler has it, blocking and overlapped. */
static void ioctls_by_control_calls(void)
{
	SOCKET s = udp(), sender = udp();
	DWORD on = 1, returned = UNTOUCHED_DWORD, available[2] = { 0, UNTOUCHED_DWORD };
	SOCKADDR_IN address;
	int length = sizeof(address);
	WSAOVERLAPPED overlapped;

	CHECK_EQUAL(bind_port(s, 0), 0);
	CHECK(getsockname(s, (SOCKADDR *)&address, &length) == 0);
	CHECK_EQUAL(control(s, FIONBIO, &on, sizeof(on), NULL, 0, &returned), 0);
	CHECK_EQUAL(returned, 0);
	CHECK(fcntl((int)s, F_GETFL) & O_NONBLOCK);
	CHECK_EQUAL(control(s, FIONBIO, &on, sizeof(on) - 1, NULL, 0, &returned), WSAEFAULT);
	CHECK_EQUAL(control(s, FIONBIO, &on, sizeof(on), NULL, 0, NULL), WSAEFAULT);
	CHECK_EQUAL(sendto(sender, "12345", 5, 0, (SOCKADDR *)&address, sizeof(address)), 5);
	CHECK_EQUAL(control(s, FIONREAD, NULL, 0, available, sizeof(DWORD), &returned), 0);
	CHECK_EQUAL(returned, sizeof(DWORD));
	CHECK(available[0] == 5 && available[1] == UNTOUCHED_DWORD);
	CHECK_EQUAL(control(s, FIONREAD, NULL, 0, available, 3, &returned), WSAEFAULT);
	CHECK_EQUAL(returned, 0);
	memset(&overlapped, 0, sizeof(overlapped));
	on = 0;
	CHECK_EQUAL(WSAIoctl(s, FIONBIO, &on, sizeof(on), NULL, 0, &returned, &overlapped, routine),
		    0);
	CHECK(!(fcntl((int)s, F_GETFL) & O_NONBLOCK));
	available[0] = 0;
	CHECK_EQUAL(WSAIoctl(s, FIONREAD, NULL, 0, available, sizeof(DWORD), &returned, &overlapped,
			     routine),
		    0);
	CHECK_EQUAL(available[0], 5);
	CHECK_EQUAL(SleepEx(0, TRUE), WAIT_IO_COMPLETION);
	CHECK_EQUAL(called, 204);
	CHECK(closesocket(s) == 0 && closesocket(sender) == 0);
}

static int affinity(SOCKET s, USHORT processor, DWORD length)
{
	DWORD returned = UNTOUCHED_DWORD;
	int error = control(s, SIO_CPU_AFFINITY, &processor, length, NULL, 0, &returned);

	CHECK_EQUAL(returned, 0);
	return error;
}

/* A socket for each processor at one reserved port, as MsQuic has it. */
static void processors(int held)
{
	SOCKET holder = udp(), sockets[2], stranger = udp(), stream = tcp();
	INET_PORT_RESERVATION_INSTANCE block = acquired(holder, 0, 1);
	USHORT port = ntohs(block.StartPort);
	int cpu = -1, length = sizeof(cpu);
	size_t i;

	CHECK_EQUAL(affinity(holder, 0, 1), WSAEFAULT);
	CHECK_EQUAL(affinity(holder, 0xFFFF, 2), WSAEINVAL);
	CHECK_EQUAL(affinity(stream, 0, 2), WSAEOPNOTSUPP);
	for (i = 0; i < COUNT(sockets); i++) {
		sockets[i] = udp();
		CHECK_EQUAL(affinity(sockets[i], 0, 2), 0);
		CHECK_EQUAL(associate(sockets[i], block.Token), 0);
		CHECK_EQUAL(bind_port(sockets[i], port), 0);
		CHECK_EQUAL(local_port(sockets[i]), port);
		CHECK_EQUAL(affinity(sockets[i], 0, 2), WSAEINVAL);
	}
	CHECK_EQUAL(getsockopt(sockets[0], SOL_SOCKET, SO_INCOMING_CPU, &cpu, &length), 0);
	CHECK_EQUAL(cpu, 0);
	/* What shares a port may still not have a reserved one. (Sockets that hold it let the user's in.) */
	CHECK_EQUAL(affinity(stranger, 0, 2), 0);
	if (!held)
		CHECK_EQUAL(bind_port(stranger, port), WSAEACCES);
	for (i = 0; i < COUNT(sockets); i++)
		CHECK(closesocket(sockets[i]) == 0);
	CHECK(closesocket(holder) == 0 && closesocket(stranger) == 0 && closesocket(stream) == 0);
}

/* The port of the peer is nobody's: that is told or not, as the program wants it. */
static void resets(void)
{
	SOCKET s = udp(), peer = udp(), stream = tcp();
	BOOL report = TRUE;
	DWORD returned, flags = 0;
	SOCKADDR_IN address;
	int length = sizeof(address);
	char byte;
	WSABUF buffer = { 1, &byte };

	CHECK_EQUAL(bind_port(peer, 0), 0);
	CHECK(getsockname(peer, (SOCKADDR *)&address, &length) == 0);
	CHECK(closesocket(peer) == 0);
	CHECK_EQUAL(set(s, SO_RCVTIMEO, 20000), 0);
	CHECK(connect(s, (SOCKADDR *)&address, sizeof(address)) == 0);
	CHECK_EQUAL(send(s, "1", 1, 0), 1);
	CHECK_EQUAL(recv(s, &byte, 1, 0), SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAECONNRESET);
	report = FALSE;
	CHECK_EQUAL(control(s, SIO_UDP_CONNRESET, &report, sizeof(report), NULL, 0, &returned), 0);
	CHECK_EQUAL(returned, 0);
	CHECK_EQUAL(send(s, "1", 1, 0), 1);
	CHECK_EQUAL(set(s, SO_RCVTIMEO, 20), 0);
	CHECK_EQUAL(recv(s, &byte, 1, 0), SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAETIMEDOUT);
	CHECK_EQUAL(send(s, "1", 1, 0), 1);
	CHECK_EQUAL(WSARecv(s, &buffer, 1, &returned, &flags, NULL, NULL), SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAETIMEDOUT);
	CHECK_EQUAL(control(s, SIO_UDP_CONNRESET, &report, 3, NULL, 0, &returned), WSAEFAULT);
	CHECK_EQUAL(control(stream, SIO_UDP_CONNRESET, &report, sizeof(report), NULL, 0, &returned),
		    WSAEOPNOTSUPP);
	CHECK(closesocket(s) == 0 && closesocket(stream) == 0);
}

int main(int argc, char **argv)
{
	(void)argv;
	start();
	timeouts();
	exclusive_addresses();
	errors_of_connects();
	ioctls();
	ioctls_by_control_calls();
	processors(argc > 1);
	resets();
	WSACleanup();
	return finish();
}

/* Rules of WSAIoctl that hold for every code, WSPIoctl's own arguments, and the library's start and end. */
#include "check.h"

#include <ws2tcpip.h>

/* 0xD8000064 is ACQUIRE with the direction bits of input and output. */
static const DWORD unknown_codes[] = { 0,	   1,	       0xD8000064, 0x98000063,
				       0x98000067, 0x18000064, 0xFFFFFFFF };

static void unknown_control_codes(void)
{
	INET_PORT_RANGE wanted = range(10000, 1);
	INET_PORT_RESERVATION_INSTANCE out;
	SOCKET s = tcp();
	size_t i;

	for (i = 0; i < COUNT(unknown_codes); i++) {
		DWORD returned = UNTOUCHED_DWORD;

		memset(&out, UNTOUCHED, sizeof(out));
		CHECK_EQUAL(control(s, unknown_codes[i], &wanted, sizeof(wanted), &out, sizeof(out),
				    &returned),
			    WSAEOPNOTSUPP);
		CHECK_EQUAL(returned, 0);
		CHECK(all_are(&out, UNTOUCHED, sizeof(out)));
		CHECK_EQUAL(control(s, unknown_codes[i], NULL, 0, NULL, 0, NULL), WSAEFAULT);
	}
	CHECK(can_bind(SOCK_STREAM, 10000));
	CHECK(closesocket(s) == 0);
}

static DWORD called;

static void CALLBACK routine(DWORD error, DWORD bytes, LPWSAOVERLAPPED overlapped, DWORD flags)
{
	(void)error, (void)bytes, (void)overlapped, (void)flags;
	called++;
}

/* Without the attribute both pointers are ignored, whatever they are. */
static void sockets_without_the_overlapped_attribute(void)
{
	SOCKET s = WSASocketW(AF_INET, SOCK_STREAM, IPPROTO_TCP, NULL, 0, 0);
	INET_PORT_RANGE wanted = range(10000, 1);
	INET_PORT_RESERVATION_INSTANCE out;
	WSAOVERLAPPED overlapped;
	DWORD returned;

	REQUIRE(s != INVALID_SOCKET);
	memset(&overlapped, UNTOUCHED, sizeof(overlapped));
	returned = UNTOUCHED_DWORD;
	CHECK_EQUAL(WSAIoctl(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted), &out,
			     sizeof(out), &returned, &overlapped, routine),
		    0);
	CHECK_EQUAL(returned, 16);
	CHECK(all_are(&overlapped, UNTOUCHED, sizeof(overlapped)));
	returned = UNTOUCHED_DWORD;
	CHECK_EQUAL(WSAIoctl(s, SIO_RELEASE_PORT_RESERVATION, &out.Token, 8, NULL, 0, &returned,
			     (LPWSAOVERLAPPED)8, (LPWSAOVERLAPPED_COMPLETION_ROUTINE)8),
		    0);
	CHECK_EQUAL(returned, 0);
	/* What fails fails at once. */
	CHECK(WSAIoctl(s, SIO_RELEASE_PORT_RESERVATION, &out.Token, 8, NULL, 0, &returned,
		       &overlapped, routine) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEINVAL);
	CHECK_EQUAL(SleepEx(0, TRUE), 0);
	CHECK_EQUAL(called, 0);
	CHECK(closesocket(s) == 0);
}

/* An overlapped socket, but no WSAOVERLAPPED: a blocking call, and nobody calls the routine. */
static void a_routine_alone_is_ignored(void)
{
	SOCKET s = tcp();
	INET_PORT_RANGE wanted = range(10000, 1);
	INET_PORT_RESERVATION_INSTANCE out;
	DWORD returned;

	CHECK_EQUAL(WSAIoctl(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted), &out,
			     sizeof(out), &returned, NULL, routine),
		    0);
	CHECK_EQUAL(returned, 16);
	CHECK_EQUAL(SleepEx(0, TRUE), 0);
	CHECK_EQUAL(called, 0);
	CHECK(closesocket(s) == 0);
}

static void the_providers_function(void)
{
	SOCKET s = tcp();
	INET_PORT_RANGE wanted = range(10000, 1), none = range(10000, 0);
	INET_PORT_RESERVATION_INSTANCE out;
	DWORD returned = UNTOUCHED_DWORD;
	int error = UNTOUCHED;

	CHECK_EQUAL(WSPIoctl(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted), &out,
			     sizeof(out), &returned, NULL, NULL, NULL, &error),
		    0);
	CHECK_EQUAL(returned, 16);
	CHECK_EQUAL(error, 0);
	CHECK(WSPIoctl(s, SIO_ACQUIRE_PORT_RESERVATION, &none, sizeof(none), &out, sizeof(out),
		       &returned, NULL, NULL, NULL, &error) == SOCKET_ERROR);
	CHECK_EQUAL(error, WSAEINVAL);
	CHECK_EQUAL(WSAGetLastError(), WSAEINVAL);
	CHECK_EQUAL(returned, 0);
	error = 0;
	CHECK(WSPIoctl(INVALID_SOCKET, SIO_RELEASE_PORT_RESERVATION, &out.Token, 8, NULL, 0,
		       &returned, NULL, NULL, NULL, &error) == SOCKET_ERROR);
	CHECK_EQUAL(error, WSAENOTSOCK);
	/* Nowhere to tell the error: nothing is done. */
	CHECK(WSPIoctl(s, SIO_RELEASE_PORT_RESERVATION, &out.Token, 8, NULL, 0, &returned, NULL,
		       NULL, NULL, NULL) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK(!can_bind(SOCK_STREAM, 10000));
	CHECK_EQUAL(WSPIoctl(s, SIO_RELEASE_PORT_RESERVATION, &out.Token, 8, NULL, 0, &returned,
			     NULL, NULL, NULL, &error),
		    0);
	CHECK(can_bind(SOCK_STREAM, 10000));
	CHECK(closesocket(s) == 0);
}

static void making_sockets(void)
{
	static const struct {
		const char *what;
		int family, type, protocol;
		DWORD flags;
		int error;
	} rows[] = {
		{ "overlapped", AF_INET, SOCK_STREAM, 0, WSA_FLAG_OVERLAPPED, 0 },
		{ "not inherited", AF_INET, SOCK_STREAM, 0, WSA_FLAG_NO_HANDLE_INHERIT, 0 },
		{ "an unknown flag", AF_INET, SOCK_STREAM, 0, 0x40, WSAEINVAL },
		{ "an unknown family", 99, SOCK_STREAM, 0, 0, WSAEAFNOSUPPORT },
		{ "another type's protocol", AF_INET, SOCK_DGRAM, IPPROTO_TCP, 0,
		  WSAEPROTONOSUPPORT },
		{ "an unknown type", AF_INET, 9, 0, 0, WSAESOCKTNOSUPPORT },
	};
	size_t i;

	FOR_EACH_ROW(i, rows) {
		SOCKET s;

		WSASetLastError(NO_LAST_ERROR);
		s = WSASocket(rows[i].family, rows[i].type, rows[i].protocol, NULL, 0,
			      rows[i].flags);
		CHECK_EQUAL(s == INVALID_SOCKET, rows[i].error != 0);
		CHECK_EQUAL(WSAGetLastError(), rows[i].error ? rows[i].error : NO_LAST_ERROR);
		if (s != INVALID_SOCKET)
			CHECK(closesocket(s) == 0);
	}
	CHECK(WSASocketA(AF_INET, SOCK_STREAM, 0, (LPWSAPROTOCOL_INFOA)&i, 0, 0) == INVALID_SOCKET);
	CHECK_EQUAL(WSAGetLastError(), WSAEINVAL);
}

static void closing_sockets(void)
{
	SOCKET s = tcp(), again;

	CHECK(closesocket(STDIN_FILENO) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAENOTSOCK);
	CHECK(is_open(STDIN_FILENO));
	CHECK(closesocket(INVALID_SOCKET) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAENOTSOCK);
	CHECK(closesocket(s) == 0);
	CHECK(closesocket(s) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAENOTSOCK);

	/* A descriptor that was closed elsewhere and is another socket's now has nothing of the old. */
	s = WSASocketW(AF_INET, SOCK_STREAM, 0, NULL, 0, 0);
	close((int)s);
	again = tcp();
	CHECK_EQUAL(again, s);
	{
		WSAOVERLAPPED overlapped;
		DWORD returned;

		memset(&overlapped, 0, sizeof(overlapped));
		CHECK(WSAIoctl(again, 0, NULL, 0, NULL, 0, &returned, &overlapped, NULL) ==
		      SOCKET_ERROR);
		CHECK_EQUAL(WSAGetLastError(), WSA_IO_PENDING);
	}
	CHECK(closesocket(again) == 0);
}

/* The calls of a connection, and the errors that ported programs test for. */
static void a_connection(void)
{
	SOCKET listener = tcp(), client = tcp(), server, third = tcp();
	SOCKADDR_IN address;
	int length = sizeof(address), kind = 0;
	u_long on = 1, waiting = 0;
	char text[8];

	CHECK_EQUAL(bind_port(listener, 0), 0);
	CHECK(listen(listener, 1) == 0);
	CHECK(getsockname(listener, (SOCKADDR *)&address, &length) == 0);
	CHECK(connect(client, (SOCKADDR *)&address, sizeof(address)) == 0);
	server = accept(listener, (SOCKADDR *)&address, &length);
	REQUIRE(server != INVALID_SOCKET);
	CHECK(getpeername(server, (SOCKADDR *)&address, &length) == 0);
	CHECK_EQUAL(ntohs(address.sin_port), local_port(client));
	length = sizeof(kind);
	CHECK(getsockopt(server, SOL_SOCKET, SO_TYPE, (char *)&kind, &length) == 0);
	CHECK_EQUAL(kind, SOCK_STREAM);

	CHECK_EQUAL(send(client, "text", 4, 0), 4);
	CHECK_EQUAL(recv(server, text, 1, 0), 1);
	CHECK(ioctlsocket(server, FIONREAD, &waiting) == 0);
	CHECK_EQUAL(waiting, 3);
	CHECK(ioctlsocket(server, 5, &waiting) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEOPNOTSUPP);
	CHECK(ioctlsocket(server, FIONBIO, NULL) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK_EQUAL(recv(server, text, sizeof(text), 0), 3);
	CHECK(ioctlsocket(server, FIONBIO, &on) == 0);
	CHECK_EQUAL(recv(server, text, sizeof(text), 0), SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEWOULDBLOCK);
	CHECK(shutdown(client, SD_SEND) == 0);
	CHECK(send(client, "more", 4, 0) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAESHUTDOWN);
	CHECK(connect(client, (SOCKADDR *)&address, sizeof(address)) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEISCONN);
	length = sizeof(address);
	CHECK(getpeername(third, (SOCKADDR *)&address, &length) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAENOTCONN);
	address.sin_port = htons(9);
	CHECK(connect(third, (SOCKADDR *)&address, sizeof(address)) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAECONNREFUSED);
	CHECK(!closesocket(listener) && !closesocket(client) && !closesocket(server) &&
	      !closesocket(third));
}

/* A socket that has nobody to send to, or nowhere to receive at. */
static void unconnected(void)
{
	SOCKET stream = tcp(), bound = tcp(), datagram = udp(), listener = tcp();
	SOCKADDR_IN address;
	u_long on = 1;
	char text[8];
	SOCKET client, server;
	fd_set set;

	CHECK_EQUAL(bind_port(bound, 0), 0);
	CHECK(send(stream, "text", 4, 0) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAENOTCONN);
	CHECK(send(bound, "text", 4, 0) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAENOTCONN);
	CHECK(recv(stream, text, sizeof(text), 0) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAENOTCONN);
	CHECK(recv(datagram, text, sizeof(text), 0) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEINVAL);
	CHECK(recv(datagram, text, sizeof(text), MSG_WAITALL) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEINVAL);
	CHECK(send(datagram, "text", 4, 0) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAENOTCONN);
	CHECK(sendto(datagram, "text", 4, 0, NULL, 0) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAENOTCONN);
	/* A length is an int on Windows. */
	CHECK(send(datagram, text, -1, 0) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK(recv(datagram, text, -1, 0) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);

	/* What is accepted does not block if the listener does not. */
	memset(&address, 0, sizeof(address));
	CHECK_EQUAL(bind_port(listener, 0), 0);
	CHECK(listen(listener, 1) == 0);
	CHECK(ioctlsocket(listener, FIONBIO, &on) == 0);
	CHECK(accept(listener, NULL, (int *)NULL) == INVALID_SOCKET);
	CHECK_EQUAL(WSAGetLastError(), WSAEWOULDBLOCK);
	address.sin_family = AF_INET;
	address.sin_port = htons(local_port(listener));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	client = tcp();
	CHECK(connect(client, (SOCKADDR *)&address, sizeof(address)) == 0);
	FD_ZERO(&set);
	FD_SET(listener, &set);
	CHECK_EQUAL(select(0, &set, NULL, NULL, NULL), 1);
	server = accept(listener, NULL, (int *)NULL);
	REQUIRE(server != INVALID_SOCKET);
	CHECK(recv(server, text, sizeof(text), 0) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEWOULDBLOCK);
	CHECK(!closesocket(stream) && !closesocket(bound) && !closesocket(datagram));
	CHECK(!closesocket(listener) && !closesocket(client) && !closesocket(server));
}

/* They are ints on Windows, and may be negative. */
static void lengths_that_are_none(void)
{
	SOCKET s = udp(), listener = tcp();
	SOCKADDR_STORAGE name;
	DWORD one = 1;
	int length = -1;

	CHECK_EQUAL(bind_port(s, 0), 0);
	CHECK(getsockname(s, (SOCKADDR *)&name, &length) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK(getsockopt(s, SOL_SOCKET, SO_TYPE, (char *)&one, &length) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK(getsockopt(s, SOL_SOCKET, SO_TYPE, (char *)&one, (int *)NULL) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, (char *)&one, -1) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK(setsockopt(s, SOL_SOCKET, SO_RCVBUF, (char *)&one, -1) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK(sendto(s, "text", 4, 0, (SOCKADDR *)&name, -1) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK_EQUAL(getaddrinfo("127.0.0.1", "80", NULL, NULL), WSAEFAULT);
	CHECK_EQUAL(bind_port(listener, 0), 0);
	CHECK(listen(listener, -1) == 0);
	CHECK(send(listener, "text", 4, 0) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAENOTCONN);
	CHECK(!closesocket(s) && !closesocket(listener));
}

static void before_the_start_and_after_the_end(void)
{
	INET_PORT_RANGE wanted = range(10000, 1);
	INET_PORT_RESERVATION_INSTANCE out;
	DWORD returned = UNTOUCHED_DWORD;

	CHECK(socket(AF_INET, SOCK_STREAM, 0) == INVALID_SOCKET);
	CHECK_EQUAL(WSAGetLastError(), WSANOTINITIALISED);
	CHECK_EQUAL(control(0, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted), &out,
			    sizeof(out), &returned),
		    WSANOTINITIALISED);
	CHECK(WSACreateEvent() == WSA_INVALID_EVENT);
	CHECK_EQUAL(WSAGetLastError(), WSANOTINITIALISED);
	CHECK(closesocket(0) == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSANOTINITIALISED);
	CHECK(bind_port(0, 0) == WSANOTINITIALISED);
	CHECK(WSACleanup() == SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSANOTINITIALISED);
}

static void versions(void)
{
	static const struct {
		WORD requested, given;
		int error;
	} versions[] = {
		{ MAKEWORD(2, 2), MAKEWORD(2, 2), 0 },
		{ MAKEWORD(1, 1), MAKEWORD(1, 1), 0 },
		{ MAKEWORD(2, 0), MAKEWORD(2, 0), 0 },
		{ MAKEWORD(2, 3), MAKEWORD(2, 2), 0 },
		{ MAKEWORD(9, 0), MAKEWORD(2, 2), 0 },
		{ MAKEWORD(0, 9), MAKEWORD(2, 2), WSAVERNOTSUPPORTED },
	};
	WSADATA data;
	size_t i;

	for (i = 0; i < COUNT(versions); i++) {
		memset(&data, UNTOUCHED, sizeof(data));
		CHECK_EQUAL(WSAStartup(versions[i].requested, &data), versions[i].error);
		CHECK_EQUAL(data.wVersion, versions[i].given);
		CHECK_EQUAL(data.wHighVersion, MAKEWORD(2, 2));
		CHECK(memchr(data.szDescription, 0, sizeof(data.szDescription)) != NULL);
		if (versions[i].error == 0)
			CHECK(WSACleanup() == 0);
	}
	CHECK_EQUAL(WSAStartup(MAKEWORD(2, 2), NULL), WSAEFAULT);
}

/* The last end closes what is left; each start needs one. */
static void the_last_cleanup_closes(void)
{
	SOCKET s;

	start();
	start();
	s = tcp();
	acquired(s, 10000, 1);
	CHECK(WSACleanup() == 0);
	CHECK(!can_bind(SOCK_STREAM, 10000));
	CHECK(WSACleanup() == 0);
	CHECK(!is_open((int)s));
	start();
	CHECK(can_bind(SOCK_STREAM, 10000));
	CHECK(WSACleanup() == 0);
}

int main(void)
{
	before_the_start_and_after_the_end();
	versions();
	start();
	unknown_control_codes();
	sockets_without_the_overlapped_attribute();
	a_routine_alone_is_ignored();
	the_providers_function();
	making_sockets();
	closing_sockets();
	a_connection();
	unconnected();
	lengths_that_are_none();
	CHECK(WSACleanup() == 0);
	before_the_start_and_after_the_end();
	the_last_cleanup_closes();
	return finish();
}

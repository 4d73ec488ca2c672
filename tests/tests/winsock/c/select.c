/* select, WSAPoll, names and texts. */
#include "check.h"

#include <ws2tcpip.h>

#define WINDOWS_AF_INET6 23

static void sets(void)
{
	fd_set set;
	SOCKET s;

	FD_ZERO(&set);
	/* What is beyond the room is left out, and nothing is there twice. */
	for (s = 0; s < 2 * FD_SETSIZE; s++) {
		FD_SET(s, &set);
		FD_SET(s, &set);
	}
	CHECK_EQUAL(set.fd_count, FD_SETSIZE);
	FD_CLR(5, &set);
	CHECK_EQUAL(set.fd_count, FD_SETSIZE - 1);
	CHECK(FD_ISSET(4, &set) && !FD_ISSET(5, &set) && FD_ISSET(6, &set));
	CHECK(!FD_ISSET(FD_SETSIZE, &set));
}

static int error_of_select(fd_set *readable, const struct timeval *time)
{
	return select(0, readable, NULL, NULL, time) == SOCKET_ERROR ? WSAGetLastError() : 0;
}

static void selecting(void)
{
	SOCKET one = udp(), other = udp(), sender = udp(), closed = udp();
	struct timeval now = { 0, 0 }, none = { -1, 0 };
	fd_set readable, writable, copy;
	SOCKADDR_IN address;
	int length = sizeof(address);
	char byte;

	CHECK(bind_port(one, 0) == 0 && bind_port(other, 0) == 0 && closesocket(closed) == 0);
	CHECK(getsockname(other, (SOCKADDR *)&address, &length) == 0);
	FD_ZERO(&readable);
	CHECK_EQUAL(error_of_select(&readable, &now), WSAEINVAL);
	CHECK_EQUAL(error_of_select(NULL, &now), WSAEINVAL);
	FD_SET(one, &readable);
	FD_SET(other, &readable);
	copy = readable;
	CHECK_EQUAL(error_of_select(&readable, &none), WSAEINVAL);
	CHECK_EQUAL(select(0, &readable, NULL, NULL, &now), 0);
	CHECK_EQUAL(readable.fd_count, 0);
	readable = writable = copy;
	CHECK_EQUAL(select(0, &readable, &writable, NULL, NULL), 2);
	CHECK(readable.fd_count == 0 && writable.fd_count == 2);
	CHECK_EQUAL(sendto(sender, "1", 1, 0, (SOCKADDR *)&address, sizeof(address)), 1);
	readable = copy;
	/* The number of sockets means nothing. */
	CHECK_EQUAL(select(-7, &readable, NULL, NULL, NULL), 1);
	CHECK(!FD_ISSET(one, &readable) && FD_ISSET(other, &readable));
	CHECK_EQUAL(recv(other, &byte, 1, 0), 1);
	readable = copy;
	FD_SET(closed, &readable);
	CHECK_EQUAL(error_of_select(&readable, &now), WSAENOTSOCK);
	CHECK(closesocket(one) == 0 && closesocket(other) == 0 && closesocket(sender) == 0);
}

static void polling(void)
{
	SOCKET s = udp(), sender = udp();
	SOCKADDR_IN address;
	int length = sizeof(address);
	WSAPOLLFD polled[2];

	CHECK_EQUAL(bind_port(s, 0), 0);
	CHECK(getsockname(s, (SOCKADDR *)&address, &length) == 0);
	memset(polled, 0, sizeof(polled));
	polled[0].fd = (int)s;
	polled[0].events = POLLIN;
	polled[1].fd = (int)INVALID_SOCKET;
	CHECK_EQUAL(WSAPoll(polled, 2, 0), 0);
	CHECK_EQUAL(polled[0].revents, 0);
	CHECK_EQUAL(polled[1].revents, POLLNVAL);
	CHECK_EQUAL(sendto(sender, "1", 1, 0, (SOCKADDR *)&address, sizeof(address)), 1);
	CHECK_EQUAL(WSAPoll(polled, 2, -1), 1);
	CHECK_EQUAL(polled[0].revents, POLLIN);
	CHECK_EQUAL(WSAPoll(NULL, 1, 0), SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK_EQUAL(WSAPoll(polled, 0, 0), SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEINVAL);
	CHECK(closesocket(s) == 0 && closesocket(sender) == 0);
}

static void addresses_as_text(void)
{
	IN_ADDR address;
	IN6_ADDR wide;
	char text[INET6_ADDRSTRLEN];
	wchar_t long_text[INET6_ADDRSTRLEN];

	CHECK_EQUAL(inet_pton(AF_INET, "127.0.0.1", &address), 1);
	CHECK_EQUAL(address.S_un.S_un_b.s_b1, 127);
	CHECK_EQUAL(InetPtonW(AF_INET, L"10.2.3.4", &address), 1);
	CHECK_EQUAL(ntohl(address.s_addr), 0x0A020304);
	CHECK_EQUAL(InetPtonW(WINDOWS_AF_INET6, L"fe80::1", &wide), 1);
	CHECK_EQUAL(wide.s6_addr[15], 1);
	CHECK_EQUAL(InetPtonW(AF_INET, L"10.2.3.\x4e00", &address), 0);
	CHECK_EQUAL(InetPtonA(AF_INET, "10.2.3", &address), 0);
	CHECK_EQUAL(InetPtonA(77, "10.2.3.4", &address), SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEAFNOSUPPORT);
	CHECK_EQUAL(InetPtonW(AF_INET, NULL, &address), SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK(inet_ntop(AF_INET, &address, text, sizeof(text)) == text);
	CHECK(!strcmp(text, "10.2.3.4"));
	CHECK(InetNtopW(WINDOWS_AF_INET6, &wide, long_text, COUNT(long_text)) == long_text);
	CHECK(!wcscmp(long_text, L"fe80::1"));
	memset(long_text, UNTOUCHED, sizeof(long_text));
	CHECK(InetNtopW(AF_INET6, &wide, long_text, 7) == NULL);
	CHECK_EQUAL(WSAGetLastError(), WSA_INVALID_PARAMETER);
	CHECK(all_are(long_text, UNTOUCHED, sizeof(long_text)));
	CHECK(InetNtopA(77, &address, text, sizeof(text)) == NULL);
	CHECK_EQUAL(WSAGetLastError(), WSAEAFNOSUPPORT);
}

static void names(void)
{
	ADDRINFOA hints, *found = NULL;
	char host[NI_MAXHOST], service[NI_MAXSERV];

	memset(&hints, 0, sizeof(hints));
	hints.ai_family = WINDOWS_AF_INET6;
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
	CHECK_EQUAL(getaddrinfo("::1", "80", &hints, &found), 0);
	REQUIRE(found != NULL);
	CHECK_EQUAL(found->ai_family, AF_INET6);
	CHECK_EQUAL(getnameinfo(found->ai_addr, found->ai_addrlen, host, sizeof(host), service,
				sizeof(service), NI_NUMERICHOST | NI_NUMERICSERV),
		    0);
	CHECK(!strcmp(host, "::1") && !strcmp(service, "80"));
	freeaddrinfo(found);
	freeaddrinfo(NULL);
	CHECK_EQUAL(getaddrinfo("no address", "80", &hints, &found), WSAHOST_NOT_FOUND);
	CHECK_EQUAL(WSAGetLastError(), EAI_NONAME);
	hints.ai_socktype = 77;
	CHECK_EQUAL(getaddrinfo("::1", "80", &hints, &found), WSAESOCKTNOSUPPORT);
}

#define SYSTEM (FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS)

static void texts(void)
{
	LPWSTR allocated = NULL;
	char text[64];
	DWORD language = MAKELANGID(LANG_NEUTRAL, SUBLANG_DEFAULT);

	CHECK_EQUAL(FormatMessageA(SYSTEM, NULL, WSAEADDRINUSE, language, text, sizeof(text), NULL),
		    strlen("Address already in use.\r\n"));
	CHECK(!strcmp(text, "Address already in use.\r\n"));
	CHECK_EQUAL(FormatMessageW(SYSTEM | FORMAT_MESSAGE_ALLOCATE_BUFFER |
					   FORMAT_MESSAGE_MAX_WIDTH_MASK,
				   NULL, HRESULT_FROM_WIN32(ERROR_ACCESS_DENIED), language,
				   (LPWSTR)&allocated, 0, NULL),
		    wcslen(L"Access denied. "));
	REQUIRE(allocated != NULL);
	CHECK(!wcscmp(allocated, L"Access denied. "));
	CHECK(LocalFree(allocated) == NULL && LocalFree(NULL) == NULL);
	CHECK_EQUAL(FormatMessageA(SYSTEM, NULL, WSAEADDRINUSE, language, text, 25, NULL), 0);
	CHECK_EQUAL(GetLastError(), ERROR_INSUFFICIENT_BUFFER);
	CHECK_EQUAL(FormatMessageA(SYSTEM, NULL, 12345, language, text, sizeof(text), NULL), 0);
	CHECK_EQUAL(GetLastError(), ERROR_MR_MID_NOT_FOUND);
	CHECK_EQUAL(FormatMessageA(FORMAT_MESSAGE_FROM_STRING, "text", 0, language, text,
				   sizeof(text), NULL),
		    0);
	CHECK_EQUAL(GetLastError(), ERROR_INVALID_PARAMETER);
	CHECK_EQUAL(FormatMessageA(SYSTEM, NULL, 0, language, NULL, 64, NULL), 0);
	CHECK_EQUAL(GetLastError(), ERROR_INVALID_PARAMETER);
}

int main(void)
{
	start();
	sets();
	selecting();
	polling();
	addresses_as_text();
	names();
	texts();
	WSACleanup();
	return finish();
}

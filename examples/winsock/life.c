/*
 * The whole life of a runtime reservation, in Windows' words: reserves a block of eight TCP ports,
 * shows that a stranger cannot bind in it, binds a socket of its own there, and releases the block.
 * It compiles on Windows, too.
 */
#include <winsock2.h>
#include <windows.h>
#include <mstcpip.h>
#include <stdio.h>
#include <stdlib.h>

#pragma comment(lib, "ws2_32.lib")

static void fail(const wchar_t *what)
{
	fwprintf(stderr, L"error: %ls: %d\n", what, WSAGetLastError());
	exit(EXIT_FAILURE);
}

static SOCKET tcp_socket(void)
{
	SOCKET s = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);

	if (s == INVALID_SOCKET)
		fail(L"socket");
	return s;
}

static int bind_port(SOCKET s, USHORT port)
{
	struct sockaddr_in address = { 0 };

	address.sin_family = AF_INET;
	address.sin_port = htons(port);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return bind(s, (SOCKADDR *)&address, sizeof(address));
}

static USHORT local_port(SOCKET s)
{
	struct sockaddr_in address;
	int size = sizeof(address);

	if (getsockname(s, (SOCKADDR *)&address, &size))
		fail(L"getsockname");
	return ntohs(address.sin_port);
}

int main(void)
{
	/* The start is in network byte order, and 0 asks for any block; the count is a plain number. */
	INET_PORT_RANGE wanted = { htons(0), 8 };
	INET_PORT_RESERVATION_INSTANCE block;
	SOCKET holder, stranger, server;
	WSADATA data;
	DWORD bytes;
	USHORT start;

	if (WSAStartup(MAKEWORD(2, 2), &data))
		return EXIT_FAILURE;
	holder = tcp_socket();
	stranger = tcp_socket();
	server = tcp_socket();

	if (WSAIoctl(holder, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted), &block,
		     sizeof(block), &bytes, NULL, NULL))
		fail(L"SIO_ACQUIRE_PORT_RESERVATION");
	start = ntohs(block.StartPort);
	wprintf(L"reserved ports %u-%u, token %I64u\n", start, start + block.NumberOfPorts - 1,
		block.Token);

	/* Any socket that is not associated is a stranger, be it of the same process. */
	if (!bind_port(stranger, start))
		fail(L"a stranger took a port");
	wprintf(L"a stranger's bind to port %u: error %d\n", start, WSAGetLastError());

	/* Associated with the token, a socket may bind in the block; to port 0, to any port of it. */
	if (WSAIoctl(server, SIO_ASSOCIATE_PORT_RESERVATION, &block.Token, sizeof(block.Token),
		     NULL, 0, &bytes, NULL, NULL))
		fail(L"SIO_ASSOCIATE_PORT_RESERVATION");
	if (bind_port(server, 0))
		fail(L"bind the server");
	wprintf(L"the server's bind to port 0 took port %u\n", local_port(server));

	/* A server that is bound keeps its port when the reservation ends: close it, too. */
	closesocket(server);
	if (WSAIoctl(holder, SIO_RELEASE_PORT_RESERVATION, &block.Token, sizeof(block.Token), NULL,
		     0, &bytes, NULL, NULL))
		fail(L"SIO_RELEASE_PORT_RESERVATION");
	if (bind_port(stranger, start))
		fail(L"bind the stranger after the release");
	wprintf(L"released: the stranger has port %u\n", local_port(stranger));
	closesocket(stranger);
	closesocket(holder);
	WSACleanup();
	return EXIT_SUCCESS;
}

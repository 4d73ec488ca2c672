/*
 * Reserves four UDP ports without waiting in the call: an overlapped control call, at whose end a
 * routine is called, in the next alertable wait of the thread. It compiles on Windows, too.
 */
#include <winsock2.h>
#include <windows.h>
#include <mstcpip.h>
#include <stdio.h>
#include <stdlib.h>

#pragma comment(lib, "ws2_32.lib")

/* What the routine needs, with the structure first: its address is that of all. */
struct request {
	WSAOVERLAPPED overlapped;
	INET_PORT_RESERVATION_INSTANCE block;
	int done;
};

static void fail(const wchar_t *what, int error)
{
	fwprintf(stderr, L"error: %ls: %d\n", what, error);
	exit(EXIT_FAILURE);
}

static void CALLBACK acquired(DWORD error, DWORD bytes, LPWSAOVERLAPPED overlapped, DWORD flags)
{
	struct request *request = (struct request *)overlapped;

	(void)flags;
	if (error)
		fail(L"SIO_ACQUIRE_PORT_RESERVATION", error);
	wprintf(L"the routine is called: %u bytes, ports %u-%u\n", bytes,
		ntohs(request->block.StartPort),
		ntohs(request->block.StartPort) + request->block.NumberOfPorts - 1);
	request->done = 1;
}

int main(void)
{
	INET_PORT_RANGE wanted = { htons(0), 4 };
	struct request request = { 0 };
	DWORD bytes;
	WSADATA data;
	SOCKET s;

	if (WSAStartup(MAKEWORD(2, 2), &data))
		return EXIT_FAILURE;
	s = WSASocketW(AF_INET, SOCK_DGRAM, IPPROTO_UDP, NULL, 0, WSA_FLAG_OVERLAPPED);
	if (s == INVALID_SOCKET)
		fail(L"WSASocketW", WSAGetLastError());
	if (WSAIoctl(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted), &request.block,
		     sizeof(request.block), &bytes, &request.overlapped, acquired) &&
	    WSAGetLastError() != WSA_IO_PENDING)
		fail(L"SIO_ACQUIRE_PORT_RESERVATION", WSAGetLastError());

	wprintf(L"the thread waits alertably\n");
	while (!request.done)
		SleepEx(INFINITE, TRUE);
	closesocket(s);
	WSACleanup();
	return EXIT_SUCCESS;
}

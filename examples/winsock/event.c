/*
 * Reserves four UDP ports without waiting in the call: an overlapped control call, whose end sets an
 * event. It compiles on Windows, too.
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

int main(void)
{
	INET_PORT_RANGE wanted = { htons(0), 4 };
	INET_PORT_RESERVATION_INSTANCE block;
	WSAOVERLAPPED overlapped = { 0 };
	DWORD bytes, flags;
	WSADATA data;
	SOCKET s;

	if (WSAStartup(MAKEWORD(2, 2), &data))
		return EXIT_FAILURE;
	s = WSASocketW(AF_INET, SOCK_DGRAM, IPPROTO_UDP, NULL, 0, WSA_FLAG_OVERLAPPED);
	if (s == INVALID_SOCKET)
		fail(L"WSASocketW");
	overlapped.hEvent = WSACreateEvent();
	if (overlapped.hEvent == WSA_INVALID_EVENT)
		fail(L"WSACreateEvent");

	/* The structure and the buffers have to stay until the event is set. */
	if (WSAIoctl(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted), &block,
		     sizeof(block), &bytes, &overlapped, NULL) &&
	    WSAGetLastError() != WSA_IO_PENDING)
		fail(L"SIO_ACQUIRE_PORT_RESERVATION");

	/* Here a program has other things to do. It waits for all its events together. */
	if (WSAWaitForMultipleEvents(1, &overlapped.hEvent, TRUE, WSA_INFINITE, FALSE) !=
	    WSA_WAIT_EVENT_0)
		fail(L"WSAWaitForMultipleEvents");
	if (!WSAGetOverlappedResult(s, &overlapped, &bytes, FALSE, &flags))
		fail(L"SIO_ACQUIRE_PORT_RESERVATION");
	wprintf(L"the event is set: %u bytes, ports %u-%u\n", bytes, ntohs(block.StartPort),
		ntohs(block.StartPort) + block.NumberOfPorts - 1);

	WSACloseEvent(overlapped.hEvent);
	closesocket(s);
	WSACleanup();
	return EXIT_SUCCESS;
}

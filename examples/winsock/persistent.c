/*
 * A persistent reservation: creates one of ten UDP ports, looks its token up as another program
 * would, binds a socket there, and deletes it. It needs root (on Windows an elevated administrator)
 * and compiles on Windows, too.
 */
#include <winsock2.h>
#include <windows.h>
#include <mstcpip.h>
#include <iphlpapi.h>
#include <stdio.h>
#include <stdlib.h>

#pragma comment(lib, "ws2_32.lib")
#pragma comment(lib, "iphlpapi.lib")

enum {
	START = 9000,
	COUNT = 10
};

static void fail(const wchar_t *what, ULONG error)
{
	fwprintf(stderr, L"error: %ls: %u\n", what, error);
	if (error == ERROR_NOT_SUPPORTED)
		fwprintf(stderr, L"Hint: run `portkeep enable` as root\n");
	exit(EXIT_FAILURE);
}

int main(void)
{
	struct sockaddr_in address = { 0 };
	int size = sizeof(address);
	ULONG64 token;
	ULONG error;
	WSADATA data;
	DWORD bytes;
	SOCKET s;

	error = CreatePersistentUdpPortReservation(htons(START), COUNT, &token);
	if (error)
		fail(L"CreatePersistentUdpPortReservation", error);
	wprintf(L"reserved ports %u-%u\n", START, START + COUNT - 1);

	/* The token may be another one after each start of the machine. */
	error = LookupPersistentUdpPortReservation(htons(START), COUNT, &token);
	if (error)
		fail(L"LookupPersistentUdpPortReservation", error);

	if (WSAStartup(MAKEWORD(2, 2), &data))
		return EXIT_FAILURE;
	s = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP);
	if (s == INVALID_SOCKET)
		fail(L"socket", WSAGetLastError());
	if (WSAIoctl(s, SIO_ASSOCIATE_PORT_RESERVATION, &token, sizeof(token), NULL, 0, &bytes,
		     NULL, NULL))
		fail(L"SIO_ASSOCIATE_PORT_RESERVATION", WSAGetLastError());
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(s, (SOCKADDR *)&address, sizeof(address)) ||
	    getsockname(s, (SOCKADDR *)&address, &size))
		fail(L"bind", WSAGetLastError());
	wprintf(L"a bind to port 0 took port %u\n", ntohs(address.sin_port));
	closesocket(s);
	WSACleanup();

	/* By exactly the block that it was created with. */
	error = DeletePersistentUdpPortReservation(htons(START), COUNT);
	if (error)
		fail(L"DeletePersistentUdpPortReservation", error);
	wprintf(L"deleted\n");
	return EXIT_SUCCESS;
}

/*
 * After the pattern of a sampler of the filtering platform: control calls only, FIONBIO beside ACQUIRE
 * and ASSOCIATE on one socket, then a server that polls, and RELEASE.
 */
#include "check.h"

static void sample(int type)
{
	SOCKET s = open_socket(type), server = open_socket(type), stranger = open_socket(type);
	INET_PORT_RESERVATION_INSTANCE block;
	DWORD on = 1, returned = UNTOUCHED_DWORD;
	USHORT first;
	char byte;

	CHECK_EQUAL(control(s, FIONBIO, &on, sizeof(on), NULL, 0, &returned), 0);
	block = acquired(s, 0, 3);
	CHECK_EQUAL(block.NumberOfPorts, 3);
	first = ntohs(block.StartPort);
	/* In either order. */
	CHECK_EQUAL(associate(server, block.Token), 0);
	CHECK_EQUAL(control(server, FIONBIO, &on, sizeof(on), NULL, 0, &returned), 0);
	CHECK_EQUAL(returned, 0);
	CHECK_EQUAL(bind_port(server, first + 2), 0);
	CHECK_EQUAL(bind_port(stranger, first + 1), WSAEACCES);
	if (type == SOCK_STREAM) {
		SOCKET none;

		CHECK(listen(server, 1) == 0);
		none = accept(server, NULL, (int *)NULL);
		CHECK(none == INVALID_SOCKET);
	} else {
		CHECK(recv(server, &byte, 1, 0) == SOCKET_ERROR);
	}
	CHECK_EQUAL(WSAGetLastError(), WSAEWOULDBLOCK);
	CHECK_EQUAL(release(s, block.Token), 0);
	CHECK_EQUAL(bind_port(stranger, first + 1), 0);
	CHECK(!can_bind(type, first + 2));
	CHECK(!closesocket(s) && !closesocket(server) && !closesocket(stranger));
	CHECK(can_bind(type, first + 2));
}

int main(void)
{
	start();
	sample(SOCK_STREAM);
	sample(SOCK_DGRAM);
	CHECK(WSACleanup() == 0);
	return finish();
}

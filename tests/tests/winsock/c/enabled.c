/* The kernel part comes in the middle of the program's life. Between the steps the program waits for a line. */
#include "check.h"

static void wait_for_line(void)
{
	char byte = 0;

	REQUIRE(write(STDOUT_FILENO, "\n", 1) == 1);
	REQUIRE(read(STDIN_FILENO, &byte, 1) == 1);
}

int main(void)
{
	SOCKET holder, sockets[3], later, s, plain;
	INET_PORT_RESERVATION_INSTANCE block, other, kernels;
	USHORT start_port;
	size_t i;

	start();
	holder = tcp();
	later = tcp();
	block = acquired(holder, 0, 4);
	other = acquired(holder, 0, 1);
	start_port = ntohs(block.StartPort);
	for (i = 0; i < COUNT(sockets); i++)
		sockets[i] = tcp();
	CHECK_EQUAL(associate(sockets[0], block.Token), 0);
	CHECK_EQUAL(associate(sockets[1], block.Token), 0);
	CHECK_EQUAL(bind_port(sockets[0], start_port), 0);
	wait_for_line();
	/* What was associated binds, what was bound listens, and the token still lets in. */
	CHECK(listen(sockets[0], 1) == 0);
	CHECK_EQUAL(bind_port(sockets[1], start_port + 1), 0);
	CHECK_EQUAL(associate(sockets[2], block.Token), 0);
	CHECK(listen(sockets[2], 1) == 0);
	CHECK(local_port(sockets[2]) >= start_port && local_port(sockets[2]) < start_port + 4);
	/* Strangers stay out, and nobody else gets the ports. */
	CHECK(!can_bind(SOCK_STREAM, start_port + 3));
	CHECK_EQUAL(acquire(later, start_port + 3, 1, &kernels), WSAEADDRINUSE);
	/* New ones are the kernel part's, and go beside the old ones. */
	kernels = acquired(later, 0, 1);
	CHECK(kernels.Token != block.Token && kernels.Token < (ULONG64)1 << 62);
	s = tcp();
	CHECK_EQUAL(associate(s, block.Token), 0);
	CHECK_EQUAL(associate(s, kernels.Token), 0);
	/* The last association counts; what the kernel has associated it keeps. */
	CHECK_EQUAL(associate(s, block.Token), WSAEINVAL);
	CHECK_EQUAL(bind_port(s, 0), 0);
	CHECK_EQUAL(local_port(s), ntohs(kernels.StartPort));
	CHECK_EQUAL(release(later, kernels.Token), 0);
	/* The old tokens end once, and the other block by its socket. */
	CHECK_EQUAL(release(later, block.Token), 0);
	CHECK_EQUAL(release(later, block.Token), WSAEINVAL);
	CHECK_EQUAL(associate(later, block.Token), WSAEINVAL);
	CHECK(can_bind(SOCK_STREAM, start_port + 3));
	CHECK(!can_bind(SOCK_STREAM, ntohs(other.StartPort)));
	plain = tcp();
	CHECK(closesocket(holder) == 0);
	CHECK_EQUAL(bind_port(plain, ntohs(other.StartPort)), 0);
	for (i = 0; i < COUNT(sockets); i++)
		CHECK(closesocket(sockets[i]) == 0);
	CHECK(closesocket(s) == 0 && closesocket(plain) == 0 && closesocket(later) == 0);
	WSACleanup();
	return finish();
}

/* What Windows says of addresses and of sockets otherwise than Linux, and the default of IPV6_V6ONLY. */
#include "check.h"

#define WINDOWS_AF_INET6 23

static SOCKADDR_IN v4(USHORT port)
{
	SOCKADDR_IN address;

	memset(&address, 0, sizeof(address));
	address.sin_family = AF_INET;
	address.sin_port = htons(port);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

static SOCKADDR_IN6 v6(USHORT family, USHORT port)
{
	SOCKADDR_IN6 address;

	memset(&address, 0, sizeof(address));
	address.sin6_family = family;
	address.sin6_port = htons(port);
	address.sin6_addr = in6addr_loopback;
	return address;
}

static int error_of(int result)
{
	return result == 0 ? 0 : WSAGetLastError();
}

static void binds(void)
{
	SOCKADDR_IN one = v4(0), other = v4(10000);
	SOCKADDR_IN6 wide = v6(AF_INET6, 0), as_on_windows = v6(WINDOWS_AF_INET6, 0);
	SOCKET s = tcp(), six = socket(WINDOWS_AF_INET6, SOCK_STREAM, 0);
	USHORT port;

	REQUIRE(six != INVALID_SOCKET);
	CHECK_EQUAL(error_of(bind(s, (SOCKADDR *)&one, 0)), WSAEFAULT);
	CHECK_EQUAL(error_of(bind(s, (SOCKADDR *)&one, sizeof(one) - 1)), WSAEFAULT);
	CHECK_EQUAL(error_of(bind(s, (SOCKADDR *)8, sizeof(one))), WSAEFAULT);
	CHECK_EQUAL(error_of(bind(s, (SOCKADDR *)&wide, sizeof(wide))), WSAEFAULT);
	CHECK_EQUAL(error_of(bind(six, (SOCKADDR *)&one, sizeof(one))), WSAEFAULT);
	CHECK_EQUAL(error_of(bind(six, (SOCKADDR *)&wide, sizeof(wide) - 1)), WSAEFAULT);
	one.sin_family = AF_UNSPEC;
	CHECK_EQUAL(error_of(bind(s, (SOCKADDR *)&one, sizeof(one))), WSAEAFNOSUPPORT);
	one.sin_family = 0xdead;
	CHECK_EQUAL(error_of(bind(s, (SOCKADDR *)&one, sizeof(one))), WSAEAFNOSUPPORT);
	one.sin_family = AF_INET;
	/* None of these has bound it. */
	CHECK_EQUAL(error_of(bind(s, (SOCKADDR *)&one, sizeof(one))), 0);
	CHECK_EQUAL(error_of(bind(six, (SOCKADDR *)&as_on_windows, sizeof(as_on_windows))), 0);
	port = local_port(s);
	CHECK(port != 0 && local_port(six) != 0);
	/* It is bound already, whatever the address. */
	CHECK_EQUAL(error_of(bind(s, (SOCKADDR *)&one, sizeof(one))), WSAEINVAL);
	CHECK_EQUAL(error_of(bind(s, (SOCKADDR *)&other, sizeof(other))), WSAEINVAL);
	other.sin_port = htons(port);
	CHECK_EQUAL(error_of(bind(s, (SOCKADDR *)&other, sizeof(other))), WSAEINVAL);
	CHECK_EQUAL(local_port(s), port);
	CHECK(closesocket(s) == 0 && closesocket(six) == 0);
}

static void names(void)
{
	SOCKADDR_STORAGE name;
	SOCKADDR_IN address = v4(0);
	SOCKET s = tcp(), peer = tcp(), accepted;
	int length = sizeof(name);

	CHECK_EQUAL(error_of(getsockname(s, (SOCKADDR *)&name, &length)), WSAEINVAL);
	CHECK_EQUAL(error_of(bind(s, (SOCKADDR *)&address, sizeof(address))), 0);
	memset(&name, UNTOUCHED, sizeof(name));
	length = sizeof(address) - 1;
	CHECK_EQUAL(error_of(getsockname(s, (SOCKADDR *)&name, &length)), WSAEFAULT);
	CHECK(all_are(&name, UNTOUCHED, sizeof(name)));
	length = sizeof(name);
	CHECK_EQUAL(error_of(getsockname(s, (SOCKADDR *)&name, &length)), 0);
	CHECK_EQUAL(length, sizeof(address));
	CHECK_EQUAL(error_of(listen(s, 1)), 0);
	CHECK_EQUAL(error_of(connect(peer, (SOCKADDR *)&name, length - 1)), WSAEFAULT);
	CHECK_EQUAL(error_of(connect(peer, (SOCKADDR *)&name, length)), 0);
	length = 1;
	accepted = accept(s, (SOCKADDR *)&name, &length);
	CHECK(accepted == INVALID_SOCKET);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	/* The connection is still there. */
	length = sizeof(address);
	accepted = accept(s, (SOCKADDR *)&name, &length);
	REQUIRE(accepted != INVALID_SOCKET);
	length = sizeof(address) - 1;
	CHECK_EQUAL(error_of(getpeername(accepted, (SOCKADDR *)&name, &length)), WSAEFAULT);
	length = sizeof(address);
	CHECK_EQUAL(error_of(getpeername(accepted, (SOCKADDR *)&name, &length)), 0);
	CHECK(closesocket(s) == 0 && closesocket(peer) == 0 && closesocket(accepted) == 0);
}

static void families(void)
{
	static const struct {
		const char *what;
		int family, type, protocol, error;
	} rows[] = {
		{ "TCP of any family", 0, SOCK_STREAM, IPPROTO_TCP, 0 },
		{ "UDP of any family", 0, SOCK_DGRAM, IPPROTO_UDP, 0 },
		{ "nothing said", 0, 0, 0, WSAEINVAL },
		{ "a family alone", AF_INET, 0, 0, 0 },
		{ "no such family", 77, SOCK_STREAM, IPPROTO_TCP, WSAEAFNOSUPPORT },
	};
	size_t i;

	FOR_EACH_ROW(i, rows) {
		SOCKET s = socket(rows[i].family, rows[i].type, rows[i].protocol);

		CHECK_EQUAL(s == INVALID_SOCKET ? WSAGetLastError() : 0, rows[i].error);
		if (s != INVALID_SOCKET)
			CHECK(closesocket(s) == 0);
	}
}

/* The beginning of a datagram, and the word that there was more. */
static void datagrams(void)
{
	SOCKADDR_IN6 address = v6(WINDOWS_AF_INET6, 0), from;
	SOCKET s = socket(AF_INET6, SOCK_DGRAM, 0), sender = socket(AF_INET6, SOCK_DGRAM, 0);
	int length = sizeof(from);
	char room[8];

	CHECK_EQUAL(error_of(bind(s, (SOCKADDR *)&address, sizeof(address))), 0);
	address.sin6_port = htons(local_port(s));
	CHECK_EQUAL(sendto(sender, "123456", 6, 0, (SOCKADDR *)&address, sizeof(address) - 1),
		    SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK_EQUAL(sendto(sender, "123456", 6, 0, (SOCKADDR *)&address, sizeof(address)), 6);
	CHECK_EQUAL(recvfrom(s, room, 4, MSG_PEEK, (SOCKADDR *)&from, &length), SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEMSGSIZE);
	memset(room, 0, sizeof(room));
	memset(&from, 0, sizeof(from));
	length = sizeof(from);
	CHECK_EQUAL(recvfrom(s, room, 4, 0, (SOCKADDR *)&from, &length), SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEMSGSIZE);
	CHECK(!strcmp(room, "1234"));
	CHECK_EQUAL(length, sizeof(from));
	CHECK_EQUAL(from.sin6_family, AF_INET6);
	CHECK_EQUAL(ntohs(from.sin6_port), local_port(sender));
	/* The rest is lost, and the next one whole. */
	CHECK_EQUAL(connect(sender, (SOCKADDR *)&address, sizeof(address)), 0);
	CHECK_EQUAL(send(sender, "next", 4, 0), 4);
	CHECK_EQUAL(recv(s, room, sizeof(room), 0), 4);
	CHECK(!memcmp(room, "next", 4));
	/* Too little room for the address: nothing is taken. */
	CHECK_EQUAL(send(sender, "last", 4, 0), 4);
	length = sizeof(from) - 1;
	CHECK_EQUAL(recvfrom(s, room, sizeof(room), 0, (SOCKADDR *)&from, &length), SOCKET_ERROR);
	CHECK_EQUAL(WSAGetLastError(), WSAEFAULT);
	CHECK_EQUAL(recv(s, room, sizeof(room), 0), 4);
	CHECK(closesocket(s) == 0 && closesocket(sender) == 0);
}

/* The same reserved port at all addresses of each family. */
static void both_families(int type)
{
	SOCKET holder = open_socket(type), four = open_socket(type);
	SOCKET six = socket(AF_INET6, type, 0);
	INET_PORT_RESERVATION_INSTANCE block = acquired(holder, 0, 1);
	SOCKADDR_IN6 wide = v6(AF_INET6, 0);
	SOCKADDR_IN address = v4(0);
	int only = 0, length = sizeof(only);

	CHECK_EQUAL(getsockopt(six, IPPROTO_IPV6, IPV6_V6ONLY, &only, &length), 0);
	CHECK_EQUAL(only, 1);
	CHECK_EQUAL(associate(four, block.Token), 0);
	CHECK_EQUAL(associate(six, block.Token), 0);
	address.sin_port = wide.sin6_port = block.StartPort;
	address.sin_addr.s_addr = INADDR_ANY;
	wide.sin6_addr = in6addr_any;
	CHECK_EQUAL(error_of(bind(four, (SOCKADDR *)&address, sizeof(address))), 0);
	CHECK_EQUAL(error_of(bind(six, (SOCKADDR *)&wide, sizeof(wide))), 0);
	if (type == SOCK_STREAM)
		CHECK(listen(four, 1) == 0 && listen(six, 1) == 0);
	CHECK(closesocket(four) == 0 && closesocket(six) == 0 && closesocket(holder) == 0);
}

int main(void)
{
	start();
	binds();
	names();
	families();
	datagrams();
	both_families(SOCK_STREAM);
	both_families(SOCK_DGRAM);
	WSACleanup();
	return finish();
}

/* A server in C++ with a wide main: sockets that close themselves, arguments in wide characters. */
#include "check.h"

#include <tchar.h>

#include <string>
#include <thread>
#include <vector>

class Socket
{
      public:
	explicit Socket(SOCKET s) : s(s)
	{
		REQUIRE(s != INVALID_SOCKET);
	}
	Socket(const Socket &) = delete;
	Socket &operator=(const Socket &) = delete;
	~Socket()
	{
		CHECK(closesocket(s) == 0);
	}
	operator SOCKET() const
	{
		return s;
	}

      private:
	SOCKET s;
};

static void client(USHORT port, std::string &answer)
{
	Socket s(tcp());
	SOCKADDR_IN to = {};
	char text[32];
	int length;

	to.sin_family = AF_INET;
	to.sin_port = htons(port);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	REQUIRE(connect(s, (SOCKADDR *)&to, sizeof(to)) == 0);
	while ((length = recv(s, text, sizeof(text), 0)) > 0)
		answer.append(text, length);
	CHECK_EQUAL(length, 0);
}

/* Each port of a block answers with its number. */
static void serve(USHORT count)
{
	Socket owner(tcp());
	const INET_PORT_RESERVATION_INSTANCE block = acquired(owner, 0, count);
	const USHORT first = ntohs(block.Reservation.StartPort);

	for (USHORT port = first; port < first + count; port++) {
		Socket listener(tcp());
		const std::string greeting = "port " + std::to_string(port);
		std::string answer;

		CHECK(!can_bind(SOCK_STREAM, port));
		CHECK_EQUAL(associate(listener, block.Token.Token), 0);
		CHECK_EQUAL(bind_port(listener, port), 0);
		REQUIRE(listen(listener, 1) == 0);
		std::thread peer(client, port, std::ref(answer));
		{
			Socket accepted(accept(listener, NULL, (int *)NULL));

			CHECK_EQUAL(send(accepted, greeting.data(), (int)greeting.size(), 0),
				    greeting.size());
			CHECK(shutdown(accepted, SD_SEND) == 0);
			char end;
			CHECK_EQUAL(recv(accepted, &end, 1, 0), 0);
		}
		peer.join();
		CHECK(answer == greeting);
	}
	CHECK_EQUAL(release(owner, block.Token.Token), 0);
	CHECK_EQUAL(associate(owner, block.Token.Token), WSAEINVAL);
}

int _tmain(int argc, TCHAR *argv[])
{
	const std::vector<std::wstring> arguments(argv + 1, argv + argc);

	REQUIRE(arguments.size() == 2);
	start();
	const USHORT count = (USHORT)std::stoi(arguments[0]);
	serve(count);
	CHECK(WSACleanup() == 0);
	wprintf(L"%s: %u ports\n", arguments[1].c_str(), count);
	return finish();
}

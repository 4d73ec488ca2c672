/* Persistent reservations over a boot: what the argument says, before it or after it. */
#include "check.h"

int main(int argc, char **argv)
{
	ULONG64 token = 0;

	REQUIRE(argc == 2);
	start();
	if (!strcmp(argv[1], "before")) {
		CHECK_EQUAL(CreatePersistentTcpPortReservation(htons(9800), 5, &token), NO_ERROR);
		CHECK_EQUAL(CreatePersistentUdpPortReservation(htons(9800), 5, &token), NO_ERROR);
		CHECK_EQUAL(DeletePersistentUdpPortReservation(htons(9800), 5), NO_ERROR);
		/* Automatic ports, too, from which connect() is kept. */
		CHECK_EQUAL(CreatePersistentTcpPortReservation(htons(40000), 5, &token), NO_ERROR);
	} else {
		SOCKET s = tcp();

		CHECK_EQUAL(LookupPersistentTcpPortReservation(htons(9800), 5, &token), NO_ERROR);
		CHECK_EQUAL(associate(s, token), 0);
		CHECK_EQUAL(bind_port(s, 0), 0);
		CHECK(local_port(s) >= 9800 && local_port(s) <= 9804);
		CHECK(closesocket(s) == 0);
		CHECK(!can_bind(SOCK_STREAM, 9800) && !can_bind(SOCK_STREAM, 40000));
		CHECK_EQUAL(LookupPersistentUdpPortReservation(htons(9800), 5, &token),
			    ERROR_NOT_FOUND);
		CHECK(can_bind(SOCK_DGRAM, 9800));
		CHECK_EQUAL(DeletePersistentTcpPortReservation(htons(9800), 5), NO_ERROR);
		CHECK_EQUAL(DeletePersistentTcpPortReservation(htons(40000), 5), NO_ERROR);
	}
	CHECK(WSACleanup() == 0);
	return finish();
}

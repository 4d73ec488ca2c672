/* A set-user-ID program, which reserves over reboots: in the store of the machine. */
#include "check.h"

int main(void)
{
	ULONG64 token = 0;

	CHECK(geteuid() == 0 && getuid() != 0);
	CHECK_EQUAL(CreatePersistentTcpPortReservation(htons(20000), 2, &token), NO_ERROR);
	CHECK(token != 0);
	return finish();
}

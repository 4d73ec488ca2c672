/* A call that is given on the command line. */
#include <winsock2.h>
#include <mstcpip.h>
#include <iphlpapi.h>

int main(void)
{
	CALL;
	return 0;
}

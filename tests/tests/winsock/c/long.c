/* A long has 32 bits on Windows. Does not compile here, where it has 64. */
#include <winsock2.h>

int main(void)
{
	unsigned long available = 0;

	return ioctlsocket(0, FIONREAD, &available);
}

/* The words that programs for Windows bring along, by all the headers' names. Only compiled. */
#if defined(__cplusplus) || defined(PORTKEEP_TEST_STDLIB_FIRST)
#include <stdlib.h>
#endif

#include <WINDOWS.H>
#include <WinSock2.h>
#include <Ws2tcpip.h>
#include <WS2TCPIP.H>
#include <MSWSock.h>
#include <mswsock.h>
#include <ws2def.h>
#include <Ws2def.h>
#include <Ws2spi.h>
#include <WinError.h>
#include <winerror.h>
#include <TCHAR.H>
#include <tchar.h>
#include <sal.h>
#include <Mstcpip.h>
#include <IPHLPAPI.H>
#include <winnt.h>
#include <minwindef.h>
#include <basetsd.h>
#include <winsock.h>
#include <inaddr.h>
#include <in6addr.h>
#include <synchapi.h>
#include <handleapi.h>

#ifdef __cplusplus
/* After them: no word here is one of the C++ library's. */
#include <algorithm>
#include <chrono>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>
#endif

#pragma comment(lib, "Ws2_32.lib")

#ifdef __cplusplus
#define ASSERT(condition) static_assert(condition, #condition)
#else
#define ASSERT(condition) __extension__ _Static_assert(condition, #condition)
#endif

ASSERT(sizeof(u_long) == 4);
ASSERT(sizeof(UINT8) == 1 && sizeof(UINT16) == 2 && sizeof(BOOLEAN) == 1 && sizeof(INT16) == 2);
ASSERT(sizeof(ADDRESS_FAMILY) == 2 && sizeof(__int64) == 8 && sizeof(GUID) == 16);
ASSERT(sizeof(LARGE_INTEGER) == 8 && sizeof(HRESULT) == 4);
ASSERT(sizeof(struct in_addr) == 4 && sizeof(struct sockaddr_in) == 16);
ASSERT(HRESULT_FROM_WIN32(ERROR_ACCESS_DENIED) == E_ACCESSDENIED);
ASSERT(HRESULT_FROM_WIN32(NO_ERROR) == S_OK && FAILED(E_FAIL) && SUCCEEDED(S_FALSE));
ASSERT(ARRAYSIZE("four") == 5);
ASSERT(SO_EXCLUSIVEADDRUSE == ~SO_REUSEADDR);
ASSERT(SIO_CPU_AFFINITY == 0x98000015u && SIO_UDP_CONNRESET == 0x9800000Cu);
ASSERT(sizeof(TCHAR) == sizeof(_TCHAR) && sizeof(TEXT("ab")) == 3 * sizeof(TCHAR));
ASSERT(sizeof(_T("ab")) == 3 * sizeof(TCHAR));
ASSERT(MAKELONG(1, 2) == 0x20001 && LOWORD(0x20001) == 1 && HIWORD(0x20001) == 2);
C_ASSERT(sizeof(DWORD) == 4);

struct annotated {
	DWORD count;
	_Field_size_(count) PUINT8 bytes;
};

_Success_(return != FALSE) BOOL WINAPI
	annotated(_In_ SOCKET s, _In_reads_bytes_(length) LPCVOID in, _In_ DWORD length,
		  _Out_opt_ LPDWORD returned,
		  _Inout_updates_bytes_to_opt_(length, *returned) LPVOID out, IN DWORD one,
		  OUT PDWORD OPTIONAL other);

typedef int(__cdecl *comparison)(const void *, const void *);
typedef void(__stdcall *callback)(PVOID);
__declspec(noreturn) void stop(void);
__declspec(dllexport) int exported(comparison, callback);
extern __declspec(align(16)) char aligned[16];
ASSERT(__alignof__(aligned) == 16);

FORCEINLINE unsigned __int64 twice(unsigned __int64 number)
{
	return 2 * number;
}

int use(SOCKET s, TCHAR *text);
int use(SOCKET s, TCHAR *text)
{
	SOCKADDR_IN address;
	SOCKADDR_IN6 wide;
	LINGER linger = { 1, 0 };
	TIMEVAL time = { 0, 0 };
	ADDRINFOA hints, *found = NULL;
	HANDLE handle = INVALID_HANDLE_VALUE;
	fd_set sets[3];
	WSAPOLLFD polled;
	u_long one = 1;
	DWORD available = 0;
	char room[INET6_ADDRSTRLEN];
	size_t i;

	UNREFERENCED_PARAMETER(text);
	ZeroMemory(&address, sizeof(address));
	SecureZeroMemory(&wide, sizeof(wide));
	RtlZeroMemory(&hints, sizeof(hints));
	address.sin_addr.S_un.S_addr = htonl(INADDR_LOOPBACK);
	address.sin_addr.S_un.S_un_b.s_b4 = 2;
	address.sin_addr.s_addr ^= address.sin_addr.S_un.S_un_w.s_w1;
	for (i = 0; i < ARRAYSIZE(sets); i++) {
		FD_ZERO(&sets[i]);
		FD_SET(s, &sets[i]);
		sets[i].fd_count += FD_ISSET(s, &sets[i]) ? 0 : 1;
	}
	FD_CLR(s, &sets[0]);
	polled.fd = (int)s;
	polled.events = POLLRDNORM | POLLWRNORM;
	hints.ai_flags = AI_PASSIVE;
	/* As Microsoft's samples have it: no sign is lost. */
	if (accept(s, NULL, NULL) == INVALID_SOCKET ||
	    socket(AF_INET, SOCK_STREAM, 0) == INVALID_SOCKET)
		return WSAGetLastError();
	return ioctlsocket(s, FIONBIO, &one) + ioctlsocket(s, FIONREAD, &available) +
	       setsockopt(s, SOL_SOCKET, SO_LINGER, (const char *)&linger, sizeof(linger)) +
	       select(0, &sets[0], NULL, &sets[2], &time) + WSAPoll(&polled, 1, -1) +
	       (int)twice(GetLastError()) + CloseHandle(handle) +
	       getaddrinfo("localhost", "80", &hints, &found) +
	       (int)sizeof(InetNtop(AF_INET, &address, text, 1)) +
	       (inet_ntop(AF_INET, &address.sin_addr, room, sizeof(room)) == NULL);
}

int _tmain(int argc, _TCHAR **argv)
{
	_tprintf(_T("%s\n"), argv[0]);
	return argc;
}

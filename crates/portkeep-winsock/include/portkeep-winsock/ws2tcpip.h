/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Names and addresses. */
#ifndef PORTKEEP_WS2TCPIP_H
#define PORTKEEP_WS2TCPIP_H
#pragma GCC system_header

#include "winsock2.h"
#include "ws2ipdef.h"

#include <netdb.h>

/* Strict modes of the compiler leave them out. */
#ifndef AI_PASSIVE
#define AI_PASSIVE 0x0001
#define AI_CANONNAME 0x0002
#define AI_NUMERICHOST 0x0004
#define AI_V4MAPPED 0x0008
#define AI_ALL 0x0010
#define AI_ADDRCONFIG 0x0020
#define AI_NUMERICSERV 0x0400
#define NI_NUMERICHOST 1
#define NI_NUMERICSERV 2
#define NI_NOFQDN 4
#define NI_NAMEREQD 8
#define NI_DGRAM 16
struct addrinfo {
	int ai_flags, ai_family, ai_socktype, ai_protocol;
	socklen_t ai_addrlen;
	struct sockaddr *ai_addr;
	char *ai_canonname;
	struct addrinfo *ai_next;
};
#endif
#ifndef NI_MAXHOST
#define NI_MAXHOST 1025
#define NI_MAXSERV 32
#endif

typedef struct addrinfo ADDRINFOA, *PADDRINFOA;

/* What the functions return is a code of Winsock, and the last error, too. */
#undef EAI_AGAIN
#undef EAI_BADFLAGS
#undef EAI_FAIL
#undef EAI_FAMILY
#undef EAI_MEMORY
#undef EAI_NODATA
#undef EAI_NONAME
#undef EAI_SERVICE
#undef EAI_SOCKTYPE
#define EAI_AGAIN WSATRY_AGAIN
#define EAI_BADFLAGS WSAEINVAL
#define EAI_FAIL WSANO_RECOVERY
#define EAI_FAMILY WSAEAFNOSUPPORT
#define EAI_MEMORY WSA_NOT_ENOUGH_MEMORY
#define EAI_NODATA WSANO_DATA
#define EAI_NONAME WSAHOST_NOT_FOUND
#define EAI_SERVICE WSATYPE_NOT_FOUND
#define EAI_SOCKTYPE WSAESOCKTNOSUPPORT

PORTKEEP_BEGIN_DECLS

INT WSAAPI portkeep_winsock_getaddrinfo(PCSTR node, PCSTR service, const ADDRINFOA *hints,
					PADDRINFOA *result);
VOID WSAAPI portkeep_winsock_freeaddrinfo(PADDRINFOA info);
INT WSAAPI portkeep_winsock_getnameinfo(const SOCKADDR *address, socklen_t length, PCHAR node,
					DWORD node_size, PCHAR service, DWORD service_size,
					INT flags);
#define getaddrinfo portkeep_winsock_getaddrinfo
#define freeaddrinfo portkeep_winsock_freeaddrinfo
#define getnameinfo portkeep_winsock_getnameinfo

/* The address in text: 1 and the address, 0 if it is none, or SOCKET_ERROR. */
INT WSAAPI InetPtonA(INT Family, PCSTR pszAddrString, PVOID pAddrBuf);
INT WSAAPI InetPtonW(INT Family, PCWSTR pszAddrString, PVOID pAddrBuf);
/* The address as text, or NULL. */
PCSTR WSAAPI InetNtopA(INT Family, const VOID *pAddr, PSTR pStringBuf, size_t StringBufSize);
PCWSTR WSAAPI InetNtopW(INT Family, const VOID *pAddr, PWSTR pStringBuf, size_t StringBufSize);
#define inet_pton InetPtonA
#define inet_ntop InetNtopA
#ifdef UNICODE
#define InetPton InetPtonW
#define InetNtop InetNtopW
#else
#define InetPton InetPtonA
#define InetNtop InetNtopA
#endif

PORTKEEP_END_DECLS

#endif /* PORTKEEP_WS2TCPIP_H */

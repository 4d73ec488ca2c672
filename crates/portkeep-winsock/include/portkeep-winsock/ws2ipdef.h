/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* IPv6 addresses of Winsock. */
#ifndef PORTKEEP_WS2IPDEF_H
#define PORTKEEP_WS2IPDEF_H
#pragma GCC system_header

#include "winsock2.h"

typedef struct in6_addr IN6_ADDR, *PIN6_ADDR, *LPIN6_ADDR;
typedef struct sockaddr_in6 SOCKADDR_IN6, *PSOCKADDR_IN6, *LPSOCKADDR_IN6;

#ifndef s6_bytes
#define s6_bytes s6_addr
#endif

typedef union _SOCKADDR_INET {
	SOCKADDR_IN Ipv4;
	SOCKADDR_IN6 Ipv6;
	sa_family_t si_family;
} SOCKADDR_INET, *PSOCKADDR_INET;

PORTKEEP_STATIC_ASSERT(sizeof(SOCKADDR_IN) == 16 && sizeof(SOCKADDR_IN6) == 28);
PORTKEEP_STATIC_ASSERT(sizeof(SOCKADDR_INET) == 28);

#endif /* PORTKEEP_WS2IPDEF_H */

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Runtime port reservations: the control codes and what they take.
 *
 * Ports are in network byte order, numbers of ports in host byte order. A
 * reservation is of the protocol of its socket and for IPv4 and IPv6; it lasts
 * until it is released or the socket that acquired it is closed.
 */
#ifndef PORTKEEP_MSTCPIP_H
#define PORTKEEP_MSTCPIP_H
#pragma GCC system_header

#include "winsock2.h"

/*
 * Reserves a block of ports on a TCP or UDP socket. In: INET_PORT_RANGE, StartPort 0
 * for any block; out: INET_PORT_RESERVATION_INSTANCE.
 *
 * WSAEADDRINUSE     a port of the block is reserved or in use; no block is free
 * WSAEADDRNOTAVAIL  a port of the block is one of the kernel's automatic ports
 * WSAEACCES         the ports are privileged ones
 * WSAEINVAL         no ports, or past 65535; output buffer too small
 * WSAEDQUOT         the user holds too many ports
 * WSAENOBUFS        the kernel part's tables are full
 */
#define SIO_ACQUIRE_PORT_RESERVATION _WSAIOW(IOC_VENDOR, 100)
/*
 * Releases a reservation of this process. Sockets that are bound to its ports stay
 * so. In: INET_PORT_RESERVATION_TOKEN.
 *
 * WSAEACCES         another process acquired it
 * WSAEINVAL         there is no such reservation
 *
 * Any TCP or UDP socket of the process will do, also one of the other protocol.
 */
#define SIO_RELEASE_PORT_RESERVATION _WSAIOW(IOC_VENDOR, 101)
/*
 * Lets the socket bind in a reservation, to a port of its choice or to port 0 for
 * any of the block. In: INET_PORT_RESERVATION_TOKEN. Errors as of the release;
 * WSAEINVAL also if the socket is bound or the reservation is of the other protocol,
 * WSAEACCES also for a persistent reservation without the privilege.
 *
 * All three: WSAEOPNOTSUPP if the socket is neither a TCP nor a UDP one;
 * WSAENOTSOCK, WSAEFAULT, WSAEINPROGRESS, WSAEINTR.
 *
 * Where Portkeep is not enabled sockets of the process hold the ports, each of which
 * takes a descriptor (WSAEMFILE); docs/winsock.md says what differs.
 */
#define SIO_ASSOCIATE_PORT_RESERVATION _WSAIOW(IOC_VENDOR, 102)

/*
 * Lets a UDP socket share its port with others that have it, each for the datagrams
 * that its processor receives: SO_REUSEPORT and SO_INCOMING_CPU of Linux, which heeds
 * the processor since version 6.2. In: USHORT, the processor. Before bind.
 *
 * WSAEINVAL         the socket is bound, or there is no such processor
 * WSAEOPNOTSUPP     not a UDP socket
 */
#define SIO_CPU_AFFINITY _WSAIOW(IOC_VENDOR, 21)
/*
 * Whether an ICMP message that nobody is at a port of the peer makes the next receive
 * of a UDP socket fail with WSAECONNRESET. In: BOOL. Without a connect Linux never
 * tells of them, and it is always FALSE there.
 */
#define SIO_UDP_CONNRESET _WSAIOW(IOC_VENDOR, 12)

PORTKEEP_STATIC_ASSERT(SIO_CPU_AFFINITY == 0x98000015 && SIO_UDP_CONNRESET == 0x9800000C);
PORTKEEP_STATIC_ASSERT(SIO_ACQUIRE_PORT_RESERVATION == 0x98000064);
PORTKEEP_STATIC_ASSERT(SIO_RELEASE_PORT_RESERVATION == 0x98000065);
PORTKEEP_STATIC_ASSERT(SIO_ASSOCIATE_PORT_RESERVATION == 0x98000066);

#define INVALID_PORT_RESERVATION_TOKEN ((ULONG64)0)

typedef struct _INET_PORT_RANGE {
	USHORT StartPort; /* network byte order */
	USHORT NumberOfPorts;
} INET_PORT_RANGE, *PINET_PORT_RANGE;

typedef INET_PORT_RANGE INET_PORT_RESERVATION, *PINET_PORT_RESERVATION;

/* Aligned as on Windows also on 32-bit, where Linux' alignment is 4. */
typedef struct _INET_PORT_RESERVATION_TOKEN {
	ULONG64 Token __attribute__((aligned(8)));
} INET_PORT_RESERVATION_TOKEN, *PINET_PORT_RESERVATION_TOKEN;

/*
 * In C++ the members are Reservation and Token, as on Windows: Reservation.StartPort,
 * Token.Token. In C Windows leaves their names out: StartPort, NumberOfPorts, Token;
 * there Reservation.StartPort will do here, too.
 */
typedef struct _INET_PORT_RESERVATION_INSTANCE {
#ifdef __cplusplus
	INET_PORT_RESERVATION Reservation;
	INET_PORT_RESERVATION_TOKEN Token;
#else
	__extension__ union {
		INET_PORT_RESERVATION Reservation;
		__extension__ struct {
			USHORT StartPort;
			USHORT NumberOfPorts;
		};
	};
	ULONG64 Token __attribute__((aligned(8)));
#endif
} INET_PORT_RESERVATION_INSTANCE, *PINET_PORT_RESERVATION_INSTANCE;

typedef struct _INET_PORT_RESERVATION_INFORMATION {
	ULONG OwningPid;
} INET_PORT_RESERVATION_INFORMATION, *PINET_PORT_RESERVATION_INFORMATION;

PORTKEEP_STATIC_ASSERT(sizeof(INET_PORT_RANGE) == 4 && __alignof__(INET_PORT_RANGE) == 2);
PORTKEEP_STATIC_ASSERT(offsetof(INET_PORT_RANGE, NumberOfPorts) == 2);
PORTKEEP_STATIC_ASSERT(sizeof(INET_PORT_RESERVATION_TOKEN) == 8);
PORTKEEP_STATIC_ASSERT(sizeof(INET_PORT_RESERVATION_INSTANCE) == 16);
PORTKEEP_STATIC_ASSERT(__alignof__(INET_PORT_RESERVATION_INSTANCE) == 8);
PORTKEEP_STATIC_ASSERT(offsetof(INET_PORT_RESERVATION_INSTANCE, Reservation) == 0);
PORTKEEP_STATIC_ASSERT(offsetof(INET_PORT_RESERVATION_INSTANCE, Token) == 8);
PORTKEEP_STATIC_ASSERT(sizeof(INET_PORT_RESERVATION_INFORMATION) == 4);

#endif /* PORTKEEP_MSTCPIP_H */

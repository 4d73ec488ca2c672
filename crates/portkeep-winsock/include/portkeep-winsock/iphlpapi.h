/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Persistent port reservations. They belong to no process, need CAP_NET_ADMIN where
 * Windows wants an elevated administrator, and stay until they are deleted.
 *
 * StartPort is in network byte order. The functions return a Windows error code:
 *
 * NO_ERROR
 * ERROR_INVALID_PARAMETER   no start, no ports, past 65535; a bad pointer
 * ERROR_ACCESS_DENIED       without the privilege (Create and Delete)
 * ERROR_SHARING_VIOLATION   Create: a port of the block is reserved or in use
 * ERROR_NOT_FOUND           Delete, Lookup: there is no reservation of exactly that block
 * ERROR_NOT_SUPPORTED       Portkeep is not enabled here
 *
 * A token may change when the machine boots: look it up.
 */
#ifndef PORTKEEP_IPHLPAPI_H
#define PORTKEEP_IPHLPAPI_H
#pragma GCC system_header

#include "windows.h"

PORTKEEP_BEGIN_DECLS

ULONG WINAPI CreatePersistentTcpPortReservation(USHORT StartPort, USHORT NumberOfPorts,
						PULONG64 Token);
ULONG WINAPI CreatePersistentUdpPortReservation(USHORT StartPort, USHORT NumberOfPorts,
						PULONG64 Token);
ULONG WINAPI DeletePersistentTcpPortReservation(USHORT StartPort, USHORT NumberOfPorts);
ULONG WINAPI DeletePersistentUdpPortReservation(USHORT StartPort, USHORT NumberOfPorts);
ULONG WINAPI LookupPersistentTcpPortReservation(USHORT StartPort, USHORT NumberOfPorts,
						PULONG64 Token);
ULONG WINAPI LookupPersistentUdpPortReservation(USHORT StartPort, USHORT NumberOfPorts,
						PULONG64 Token);

PORTKEEP_END_DECLS

#endif /* PORTKEEP_IPHLPAPI_H */

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Winsock on Linux, as far as programs need it that reserve ports.
 *
 * A SOCKET is a file descriptor. Addresses, options and flags have Linux' values
 * and structures; error codes, control codes and what control calls take have
 * Windows'. Functions that are not declared here do not exist: nothing is a stub.
 *
 * Control calls (WSAIoctl, WSPIoctl) behave as Windows documents them. Where
 * its documentation and what is observed on Windows differ, this library
 *
 * - fails with WSAEFAULT if lpcbBytesReturned is NULL, whatever else there is
 *   (observed; the documentation allows NULL for some calls);
 * - reports 16 bytes for SIO_ACQUIRE_PORT_RESERVATION and 0 for its siblings,
 *   which have no output (observed; documented as never 0);
 * - ignores the output buffer of a code that has no output (observed; documented
 *   as having to be 0 bytes long), and accepts an input longer than needed;
 * - fails with WSAEFAULT for an input too short (observed, and WSAIoctl's page),
 *   but with WSAEINVAL and 0 bytes for an output buffer too small (the pages of
 *   these codes; WSAEFAULT is observed for others);
 * - resets the last error to 0 on success (observed);
 * - refuses an overlapped call at once for what is wrong with its arguments. What
 *   the transport refuses, an unknown control code too, returns WSA_IO_PENDING,
 *   and the completion tells the error (observed);
 * - sets lpcbBytesReturned of an overlapped call that succeeds at once
 *   (documented; observed for some codes and not for others), and leaves it alone
 *   when it returns WSA_IO_PENDING (observed);
 * - executes every call inside a completion routine (observed, and the pages of
 *   WSARecv and WSASend), and refuses them all with WSAEINPROGRESS inside a blocking
 *   hook (documented; that the pages of these codes say "callback" is taken for it).
 *
 * Control calls on one socket take turns. An overlapped one that has to wait for
 * its turn is pending, until then or until its socket or its thread ends, which
 * completes it with WSA_OPERATION_ABORTED; SIO_FLUSH does so too.
 */
#ifndef PORTKEEP_WINSOCK2_H
#define PORTKEEP_WINSOCK2_H
#pragma GCC system_header

#include "windows.h"

#if defined(_SYS_SOCKET_H) && defined(__USE_FORTIFY_LEVEL) && __USE_FORTIFY_LEVEL > 0
#define PORTKEEP_RECV_IS_INLINE
#endif
#pragma push_macro("__USE_FORTIFY_LEVEL")
#undef __USE_FORTIFY_LEVEL
#define __USE_FORTIFY_LEVEL 0
/* These return a SOCKET, unless the C library's header has come first. */
#ifndef _SYS_SOCKET_H
#define socket portkeep_winsock_c_socket
#define accept portkeep_winsock_c_accept
#define PORTKEEP_SOCKET_IS_OWN
#endif
/* An address has Windows' members, too, unless the C library's header has come first. */
#ifndef _NETINET_IN_H
#define s_addr                                                                                     \
	: 0;                                                                                       \
	__extension__ union {                                                                      \
		in_addr_t s_addr;                                                                  \
		union {                                                                            \
			struct {                                                                   \
				unsigned char s_b1, s_b2, s_b3, s_b4;                              \
			} S_un_b;                                                                  \
			struct {                                                                   \
				unsigned short s_w1, s_w2;                                         \
			} S_un_w;                                                                  \
			in_addr_t S_addr;                                                          \
		} S_un;                                                                            \
	}
#include <netinet/in.h>
#undef s_addr
#endif
/* How many sockets an fd_set has room for is the program's to say. */
#if defined(FD_SETSIZE) && !defined(_SYS_SELECT_H)
#pragma push_macro("FD_SETSIZE")
#define PORTKEEP_FD_SETSIZE_IS_OWN
#endif
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#ifdef PORTKEEP_SOCKET_IS_OWN
#undef socket
#undef accept
#endif
#undef FD_SETSIZE
#ifdef PORTKEEP_FD_SETSIZE_IS_OWN
#pragma pop_macro("FD_SETSIZE")
#else
#define FD_SETSIZE 64
#endif
#pragma pop_macro("__USE_FORTIFY_LEVEL")

/* Strict modes of the compiler leave them out. */
#ifndef __u_char_defined
typedef unsigned char u_char;
typedef unsigned short u_short;
typedef unsigned int u_int;
#define __u_char_defined
#endif
/*
 * It has 32 bits, as on Windows: calls write to variables of this type, and programs
 * hand them those of DWORD, too. The C library's has 64.
 */
#define u_long ULONG
PORTKEEP_STATIC_ASSERT(sizeof(u_long) == 4);

typedef UINT_PTR SOCKET;
typedef unsigned int GROUP;

#define INVALID_SOCKET ((SOCKET)(~0))
#define SOCKET_ERROR (-1)

typedef struct sockaddr SOCKADDR, *PSOCKADDR, *LPSOCKADDR;
typedef struct sockaddr_in SOCKADDR_IN, *PSOCKADDR_IN, *LPSOCKADDR_IN;
typedef struct sockaddr_storage SOCKADDR_STORAGE, *PSOCKADDR_STORAGE, *LPSOCKADDR_STORAGE;
typedef struct in_addr IN_ADDR, *PIN_ADDR, *LPIN_ADDR;
typedef struct linger LINGER, *PLINGER, *LPLINGER;
typedef struct timeval TIMEVAL, *PTIMEVAL, *LPTIMEVAL;
typedef USHORT ADDRESS_FAMILY;

typedef struct _SOCKET_ADDRESS {
	LPSOCKADDR lpSockaddr;
	INT iSockaddrLength;
} SOCKET_ADDRESS, *PSOCKET_ADDRESS, *LPSOCKET_ADDRESS;

PORTKEEP_STATIC_ASSERT(sizeof(IN_ADDR) == 4 && __alignof__(IN_ADDR) == 4);

/*
 * Nobody else may bind to the port of the socket, whatever he sets: what Linux does
 * without SO_REUSEADDR. The two exclude each other.
 */
#define SO_EXCLUSIVEADDRUSE ((int)(~SO_REUSEADDR))
/* The opposite of SO_LINGER. */
#define SO_DONTLINGER ((int)(~SO_LINGER))

#define SD_RECEIVE 0
#define SD_SEND 1
#define SD_BOTH 2

/* ---- error codes ---- */

#define WSA_INVALID_HANDLE 6
#define WSA_NOT_ENOUGH_MEMORY 8
#define WSA_INVALID_PARAMETER 87
#define WSA_OPERATION_ABORTED 995
#define WSA_IO_INCOMPLETE 996
#define WSA_IO_PENDING 997

#define WSABASEERR 10000
#define WSAEINTR 10004
#define WSAEBADF 10009
#define WSAEACCES 10013
#define WSAEFAULT 10014
#define WSAEINVAL 10022
#define WSAEMFILE 10024
#define WSAEWOULDBLOCK 10035
#define WSAEINPROGRESS 10036
#define WSAEALREADY 10037
#define WSAENOTSOCK 10038
#define WSAEDESTADDRREQ 10039
#define WSAEMSGSIZE 10040
#define WSAEPROTOTYPE 10041
#define WSAENOPROTOOPT 10042
#define WSAEPROTONOSUPPORT 10043
#define WSAESOCKTNOSUPPORT 10044
#define WSAEOPNOTSUPP 10045
#define WSAEPFNOSUPPORT 10046
#define WSAEAFNOSUPPORT 10047
#define WSAEADDRINUSE 10048
#define WSAEADDRNOTAVAIL 10049
#define WSAENETDOWN 10050
#define WSAENETUNREACH 10051
#define WSAENETRESET 10052
#define WSAECONNABORTED 10053
#define WSAECONNRESET 10054
#define WSAENOBUFS 10055
#define WSAEISCONN 10056
#define WSAENOTCONN 10057
#define WSAESHUTDOWN 10058
#define WSAETOOMANYREFS 10059
#define WSAETIMEDOUT 10060
#define WSAECONNREFUSED 10061
#define WSAELOOP 10062
#define WSAENAMETOOLONG 10063
#define WSAEHOSTDOWN 10064
#define WSAEHOSTUNREACH 10065
#define WSAENOTEMPTY 10066
#define WSAEPROCLIM 10067
#define WSAEUSERS 10068
#define WSAEDQUOT 10069
#define WSAESTALE 10070
#define WSAEREMOTE 10071
#define WSASYSNOTREADY 10091
#define WSAVERNOTSUPPORTED 10092
#define WSANOTINITIALISED 10093
#define WSAEDISCON 10101
#define WSAECANCELLED 10103
#define WSASYSCALLFAILURE 10107
#define WSASERVICE_NOT_FOUND 10108
#define WSATYPE_NOT_FOUND 10109
#define WSAHOST_NOT_FOUND 11001
#define WSATRY_AGAIN 11002
#define WSANO_RECOVERY 11003
#define WSANO_DATA 11004

/* ---- control codes ---- */

#define IOC_VOID 0x20000000U
#define IOC_OUT 0x40000000U
#define IOC_IN 0x80000000U
#define IOC_INOUT (IOC_IN | IOC_OUT)

#define IOC_UNIX 0x00000000U
#define IOC_WS2 0x08000000U
#define IOC_PROTOCOL 0x10000000U
#define IOC_VENDOR 0x18000000U

#define _WSAIO(x, y) (IOC_VOID | (x) | (y))
#define _WSAIOR(x, y) (IOC_OUT | (x) | (y))
#define _WSAIOW(x, y) (IOC_IN | (x) | (y))
#define _WSAIORW(x, y) (IOC_INOUT | (x) | (y))

/* Aborts the overlapped calls that are pending on the socket. */
#define SIO_FLUSH _WSAIO(IOC_WS2, 4)

/* Of ioctlsocket, and of WSAIoctl. */
#undef FIONBIO
#undef FIONREAD
#define FIONBIO 0x8004667E
#define FIONREAD 0x4004667F

PORTKEEP_STATIC_ASSERT(SIO_FLUSH == 0x28000004);

/* ---- structures ---- */

#define WSADESCRIPTION_LEN 256
#define WSASYS_STATUS_LEN 128

typedef struct WSAData {
	WORD wVersion;
	WORD wHighVersion;
#if UINTPTR_MAX > 0xFFFFFFFF
	unsigned short iMaxSockets;
	unsigned short iMaxUdpDg;
	char *lpVendorInfo;
	char szDescription[WSADESCRIPTION_LEN + 1];
	char szSystemStatus[WSASYS_STATUS_LEN + 1];
#else
	char szDescription[WSADESCRIPTION_LEN + 1];
	char szSystemStatus[WSASYS_STATUS_LEN + 1];
	unsigned short iMaxSockets;
	unsigned short iMaxUdpDg;
	char *lpVendorInfo;
#endif
} WSADATA, *LPWSADATA;

PORTKEEP_STATIC_ASSERT(sizeof(WSADATA) == (sizeof(void *) == 8 ? 408 : 400));

typedef OVERLAPPED WSAOVERLAPPED, *LPWSAOVERLAPPED;
typedef HANDLE WSAEVENT, *LPWSAEVENT;

/* dwError is 0 or an error code, dwFlags is 0. */
typedef void(CALLBACK *LPWSAOVERLAPPED_COMPLETION_ROUTINE)(DWORD dwError, DWORD cbTransferred,
							   LPWSAOVERLAPPED lpOverlapped,
							   DWORD dwFlags);

#define WSA_INVALID_EVENT ((WSAEVENT)NULL)
#define WSA_MAXIMUM_WAIT_EVENTS MAXIMUM_WAIT_OBJECTS
#define WSA_WAIT_EVENT_0 WAIT_OBJECT_0
#define WSA_WAIT_IO_COMPLETION WAIT_IO_COMPLETION
#define WSA_WAIT_TIMEOUT WAIT_TIMEOUT
#define WSA_WAIT_FAILED WAIT_FAILED
#define WSA_INFINITE INFINITE

#define WSA_FLAG_OVERLAPPED 0x01
#define WSA_FLAG_NO_HANDLE_INHERIT 0x80

/* Entries of a catalogue of protocols, which Linux does not have: only NULL will do. */
typedef struct _WSAPROTOCOL_INFOA WSAPROTOCOL_INFOA, *LPWSAPROTOCOL_INFOA;
typedef struct _WSAPROTOCOL_INFOW WSAPROTOCOL_INFOW, *LPWSAPROTOCOL_INFOW;

/*
 * A thread, for the completion routine of a WSPIoctl that another one makes.
 * WPUOpenCurrentThread fills it in; ThreadHandle is gettid(2).
 */
typedef struct _WSATHREADID {
	HANDLE ThreadHandle;
	DWORD_PTR Reserved;
} WSATHREADID, *LPWSATHREADID;

typedef void(CALLBACK *LPWSAUSERAPC)(DWORD_PTR dwContext);

PORTKEEP_BEGIN_DECLS

/* ---- start, end, errors ---- */

/* Returns the error itself. All but the functions for the last error need it first. */
int WSAAPI WSAStartup(WORD wVersionRequested, LPWSADATA lpWSAData);
/* The last one also closes the sockets that were made here. */
int WSAAPI WSACleanup(void);
int WSAAPI WSAGetLastError(void);
void WSAAPI WSASetLastError(int iError);

/* ---- sockets ---- */

SOCKET WSAAPI WSASocketA(int af, int type, int protocol, LPWSAPROTOCOL_INFOA lpProtocolInfo,
			 GROUP g, DWORD dwFlags);
SOCKET WSAAPI WSASocketW(int af, int type, int protocol, LPWSAPROTOCOL_INFOW lpProtocolInfo,
			 GROUP g, DWORD dwFlags);
#ifdef UNICODE
#define WSASocket WSASocketW
#else
#define WSASocket WSASocketA
#endif

/*
 * Calls that wait at the socket in other threads fail with WSAEINTR (select with
 * WSAENOTSOCK; WSAPoll tells POLLNVAL). Copies of a socket at which one waits are shut
 * down.
 */
int WSAAPI closesocket(SOCKET s);
/* FIONBIO and FIONREAD; another command is WSAEOPNOTSUPP. */
int WSAAPI ioctlsocket(SOCKET s, LONG cmd, u_long *argp);

/*
 * The C library's functions, with Winsock's errors. bind fails with WSAEACCES for a
 * port in a reserved block that is not the caller's, and with WSAEADDRINUSE for one
 * that is merely in use (WSAEACCES if the socket has SO_REUSEADDR, as on Windows).
 *
 * What Windows has otherwise than Linux:
 *
 * - Sockets of IPv6 that are made here are of IPv6 only (IPV6_V6ONLY).
 * - SO_RCVTIMEO and SO_SNDTIMEO take a DWORD of milliseconds; a struct timeval, which
 *   is longer, is taken as on Linux. After the time a call fails with WSAETIMEDOUT.
 * - SO_ERROR gives codes of Winsock.
 * - A datagram that is longer than the buffer fails with WSAEMSGSIZE, and the buffer
 *   has its beginning.
 * - getsockname of a socket that is not bound fails with WSAEINVAL, a second bind too.
 *
 * socket takes 23 for AF_INET6, as it is on Windows, too: a program may get the
 * number from its user.
 */
#ifdef PORTKEEP_SOCKET_IS_OWN
SOCKET socket(int af, int type, int protocol) __asm__("portkeep_winsock_socket");
SOCKET accept(int s, struct sockaddr *addr, socklen_t *addrlen) __asm__("portkeep_winsock_accept");
#else
PORTKEEP_REDIRECT(socket);
PORTKEEP_REDIRECT(accept);
#endif
PORTKEEP_REDIRECT(bind);
PORTKEEP_REDIRECT(listen);
PORTKEEP_REDIRECT(connect);
PORTKEEP_REDIRECT(shutdown);
PORTKEEP_REDIRECT(getsockname);
PORTKEEP_REDIRECT(getpeername);
PORTKEEP_REDIRECT(getsockopt);
PORTKEEP_REDIRECT(setsockopt);
PORTKEEP_REDIRECT(send);
PORTKEEP_REDIRECT(sendto);
#ifdef PORTKEEP_RECV_IS_INLINE
ssize_t portkeep_winsock_recv(int socket, void *buffer, size_t length, int flags);
ssize_t portkeep_winsock_recvfrom(int socket, void *buffer, size_t length, int flags,
				  struct sockaddr *from, socklen_t *from_length);
#define recv portkeep_winsock_recv
#define recvfrom portkeep_winsock_recvfrom
#else
PORTKEEP_REDIRECT(recv);
PORTKEEP_REDIRECT(recvfrom);
#endif

/* ---- waiting for sockets ---- */

/*
 * Windows' sets: what is beyond their room is left out, and the number of sockets,
 * select's first argument, is passed over. Of a connect that failed select tells in
 * the third set.
 */
typedef struct portkeep_winsock_fd_set {
	u_int fd_count;
	SOCKET fd_array[FD_SETSIZE];
} portkeep_winsock_fd_set, FD_SET, *PFD_SET, *LPFD_SET;
#define fd_set portkeep_winsock_fd_set

#define select portkeep_winsock_select
int WSAAPI select(int nfds, fd_set *readfds, fd_set *writefds, fd_set *exceptfds,
		  const struct timeval *timeout);

__extension__ static __inline__ int __WSAFDIsSet(SOCKET s, const fd_set *set)
{
	u_int i;

	for (i = 0; i < set->fd_count; i++)
		if (set->fd_array[i] == s)
			return 1;
	return 0;
}

__extension__ static __inline__ void portkeep_winsock_fd_add(SOCKET s, fd_set *set)
{
	if (set->fd_count < FD_SETSIZE && !__WSAFDIsSet(s, set))
		set->fd_array[set->fd_count++] = s;
}

__extension__ static __inline__ void portkeep_winsock_fd_remove(SOCKET s, fd_set *set)
{
	u_int i, kept = 0;

	for (i = 0; i < set->fd_count; i++)
		if (set->fd_array[i] != s)
			set->fd_array[kept++] = set->fd_array[i];
	set->fd_count = kept;
}

#undef FD_SET
#undef FD_CLR
#undef FD_ISSET
#undef FD_ZERO
#define FD_SET(s, set) portkeep_winsock_fd_add((SOCKET)(s), (set))
#define FD_CLR(s, set) portkeep_winsock_fd_remove((SOCKET)(s), (set))
#define FD_ISSET(s, set) __WSAFDIsSet((SOCKET)(s), (set))
#define FD_ZERO(set) ((void)((set)->fd_count = 0))

/* As poll(2), whose constants these are. A negative socket is passed over, with POLLNVAL. */
typedef struct pollfd WSAPOLLFD, *PWSAPOLLFD, *LPWSAPOLLFD;
#ifndef POLLRDNORM
#define POLLRDNORM 0x040
#define POLLRDBAND 0x080
#define POLLWRNORM 0x100
#define POLLWRBAND 0x200
#endif
int WSAAPI WSAPoll(LPWSAPOLLFD fdArray, ULONG fds, INT timeout);

/* ---- control calls ---- */

int WSAAPI WSAIoctl(SOCKET s, DWORD dwIoControlCode, LPVOID lpvInBuffer, DWORD cbInBuffer,
		    LPVOID lpvOutBuffer, DWORD cbOutBuffer, LPDWORD lpcbBytesReturned,
		    LPWSAOVERLAPPED lpOverlapped,
		    LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine);
/* The routine is called by the thread of *lpThreadId; NULL is the calling thread. */
int WSAAPI WSPIoctl(SOCKET s, DWORD dwIoControlCode, LPVOID lpvInBuffer, DWORD cbInBuffer,
		    LPVOID lpvOutBuffer, DWORD cbOutBuffer, LPDWORD lpcbBytesReturned,
		    LPWSAOVERLAPPED lpOverlapped,
		    LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine,
		    LPWSATHREADID lpThreadId, LPINT lpErrno);

BOOL WSAAPI WSAGetOverlappedResult(SOCKET s, LPWSAOVERLAPPED lpOverlapped, LPDWORD lpcbTransfer,
				   BOOL fWait, LPDWORD lpdwFlags);

/* ---- sending and receiving from several buffers, overlapped or not ---- */

typedef struct _WSABUF {
	ULONG len;
	CHAR *buf;
} WSABUF, *LPWSABUF;

PORTKEEP_STATIC_ASSERT(sizeof(WSABUF) == 2 * sizeof(void *));

/* The rest of a datagram did not fit. */
#ifndef MSG_PARTIAL
#define MSG_PARTIAL MSG_TRUNC
#endif

/*
 * Overlapped with a WSAOVERLAPPED on an overlapped socket: what cannot be done at
 * once goes on after the call, which returns SOCKET_ERROR and WSA_IO_PENDING. The end
 * is told to the event, the routine or the completion port of the socket, also if all
 * was done at once; not if the call failed. The buffers and the WSAOVERLAPPED stay the
 * library's until then; the array of WSABUF does not. Operations of a socket are made
 * in their order, those of receiving apart from those of sending.
 *
 * A stream is sent whole before the operation ends. A datagram that is longer than the
 * buffers is WSAEMSGSIZE, with the part that fits and MSG_PARTIAL; one that is sent has
 * at most 1024 buffers. A thread's end
 * cancels its operations (WSA_OPERATION_ABORTED), unless the socket has a port;
 * closesocket, CancelIo and CancelIoEx cancel them, too, and SIO_FLUSH those of sending.
 */
int WSAAPI WSASend(SOCKET s, LPWSABUF lpBuffers, DWORD dwBufferCount, LPDWORD lpNumberOfBytesSent,
		   DWORD dwFlags, LPWSAOVERLAPPED lpOverlapped,
		   LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine);
int WSAAPI WSASendTo(SOCKET s, LPWSABUF lpBuffers, DWORD dwBufferCount, LPDWORD lpNumberOfBytesSent,
		     DWORD dwFlags, const struct sockaddr *lpTo, int iToLen,
		     LPWSAOVERLAPPED lpOverlapped,
		     LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine);
int WSAAPI WSARecv(SOCKET s, LPWSABUF lpBuffers, DWORD dwBufferCount, LPDWORD lpNumberOfBytesRecvd,
		   LPDWORD lpFlags, LPWSAOVERLAPPED lpOverlapped,
		   LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine);
int WSAAPI WSARecvFrom(SOCKET s, LPWSABUF lpBuffers, DWORD dwBufferCount,
		       LPDWORD lpNumberOfBytesRecvd, LPDWORD lpFlags, struct sockaddr *lpFrom,
		       LPINT lpFromlen, LPWSAOVERLAPPED lpOverlapped,
		       LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine);

int WSAAPI WPUOpenCurrentThread(LPWSATHREADID lpThreadId, LPINT lpErrno);
int WSAAPI WPUCloseThread(LPWSATHREADID lpThreadId, LPINT lpErrno);
int WSAAPI WPUQueueApc(LPWSATHREADID lpThreadId, LPWSAUSERAPC lpfnUserApc, DWORD_PTR dwContext,
		       LPINT lpErrno);

/* ---- events ---- */

WSAEVENT WSAAPI WSACreateEvent(void);
BOOL WSAAPI WSASetEvent(WSAEVENT hEvent);
BOOL WSAAPI WSAResetEvent(WSAEVENT hEvent);
BOOL WSAAPI WSACloseEvent(WSAEVENT hEvent);
DWORD WSAAPI WSAWaitForMultipleEvents(DWORD cEvents, const WSAEVENT *lphEvents, BOOL fWaitAll,
				      DWORD dwTimeout, BOOL fAlertable);

/* ---- blocking hooks ---- */

/*
 * The hook of this thread is called by its blocking control calls, at least once
 * and before anything is done, as long as it returns TRUE. WSACancelBlockingCall in
 * it makes the control call fail with WSAEINTR. Other calls that block do so in the
 * kernel, and call no hook.
 */
FARPROC WSAAPI WSASetBlockingHook(FARPROC lpBlockFunc);
int WSAAPI WSAUnhookBlockingHook(void);
BOOL WSAAPI WSAIsBlocking(void);
int WSAAPI WSACancelBlockingCall(void);

PORTKEEP_END_DECLS

/*
 * On Windows the length of an address or an option is an int, on Linux a socklen_t.
 * Here it may be either.
 */
#ifdef __cplusplus
inline SOCKET accept(SOCKET s, struct sockaddr *addr, int *addrlen)
{
	return (SOCKET)accept((int)s, addr, (socklen_t *)addrlen);
}
inline int getsockname(SOCKET s, struct sockaddr *name, int *namelen)
{
	return getsockname((int)s, name, (socklen_t *)namelen);
}
inline int getpeername(SOCKET s, struct sockaddr *name, int *namelen)
{
	return getpeername((int)s, name, (socklen_t *)namelen);
}
inline int getsockopt(SOCKET s, int level, int optname, void *optval, int *optlen)
{
	return getsockopt((int)s, level, optname, optval, (socklen_t *)optlen);
}
inline ssize_t recvfrom(SOCKET s, void *buf, size_t len, int flags, struct sockaddr *from,
			int *fromlen)
{
	return recvfrom((int)s, buf, len, flags, from, (socklen_t *)fromlen);
}
#else
#define PORTKEEP_LENGTH(pointer)                                                                   \
	__builtin_choose_expr(__builtin_types_compatible_p(__typeof__(pointer), int *),            \
			      (socklen_t *)(void *)(pointer), (pointer))
/* A pointer to a long of 64 bits would be taken by many a C compiler, with a warning only. */
#define PORTKEEP_POINTS_TO_LONG(pointer)                                                           \
	(__builtin_types_compatible_p(__typeof__(pointer), unsigned long *) ||                     \
	 __builtin_types_compatible_p(__typeof__(pointer), long *))
#define ioctlsocket(s, cmd, argp)                                                                  \
	ioctlsocket(                                                                               \
		s, (LONG)(cmd),                                                                    \
		((void)sizeof(char[sizeof(long) == 8 && PORTKEEP_POINTS_TO_LONG(argp) ? -1 : 1]),  \
		 __builtin_choose_expr(PORTKEEP_POINTS_TO_LONG(argp), (ULONG *)(void *)(argp),     \
				       (argp))))
#define accept(s, addr, addrlen) accept(s, addr, PORTKEEP_LENGTH(addrlen))
#define getsockname(s, name, namelen) getsockname(s, name, PORTKEEP_LENGTH(namelen))
#define getpeername(s, name, namelen) getpeername(s, name, PORTKEEP_LENGTH(namelen))
#define getsockopt(s, level, optname, optval, optlen)                                              \
	getsockopt(s, level, optname, optval, PORTKEEP_LENGTH(optlen))
#ifndef PORTKEEP_RECV_IS_INLINE
#define recvfrom(s, buf, len, flags, from, fromlen)                                                \
	recvfrom(s, buf, len, flags, from, PORTKEEP_LENGTH(fromlen))
#endif
#endif

#endif /* PORTKEEP_WINSOCK2_H */

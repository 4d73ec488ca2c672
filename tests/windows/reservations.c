/*
 * Plays Windows' port reservations for programs that Wine runs, as Microsoft's pages have them: the three
 * control codes, the six functions of the IP Helper API, and what bind does about them. scripts/wine-reserving
 * has programs import from it what they import from ws2_32.dll and iphlpapi.dll; everything else is Wine's.
 *
 * What it keeps is of one process.
 */
#define WIN32_LEAN_AND_MEAN
#include <winsock2.h>
#include <ws2tcpip.h>
#include <windows.h>

#define ACQUIRE 0x98000064u
#define RELEASE 0x98000065u
#define ASSOCIATE 0x98000066u

/* Not Wine's automatic ports, which are Linux': 32768 to 60999. */
#define POOL_START 61000
#define POOL_END 65535

enum {
	BLOCKS = 4096,
	SOCKETS = 4096
};

struct block {
	unsigned long long token;
	int type; /* SOCK_STREAM or SOCK_DGRAM */
	unsigned short start, count;
	SOCKET holder; /* INVALID_SOCKET: persistent */
};

static struct block blocks[BLOCKS];
static struct {
	SOCKET s;
	unsigned long long token;
} associated[SOCKETS];
static unsigned long long last_token = 0x100000000ull;
static SRWLOCK lock = SRWLOCK_INIT;

static int type_of(SOCKET s)
{
	int type = 0, length = sizeof(type);

	if (getsockopt(s, SOL_SOCKET, SO_TYPE, (char *)&type, &length))
		return -1;
	return type == SOCK_STREAM || type == SOCK_DGRAM ? type : 0;
}

static struct block *by_token(unsigned long long token)
{
	int i;

	for (i = 0; token && i < BLOCKS; i++)
		if (blocks[i].token == token)
			return &blocks[i];
	return NULL;
}

static struct block *overlapping(int type, unsigned int start, unsigned int count)
{
	int i;

	for (i = 0; i < BLOCKS; i++)
		if (blocks[i].token && blocks[i].type == type && blocks[i].start < start + count &&
		    start < blocks[i].start + blocks[i].count)
			return &blocks[i];
	return NULL;
}

static unsigned long long token_of(SOCKET s)
{
	int i;

	for (i = 0; i < SOCKETS; i++)
		if (associated[i].token && associated[i].s == s)
			return associated[i].token;
	return 0;
}

static void set_token(SOCKET s, unsigned long long token)
{
	int i, free_slot = -1;

	for (i = 0; i < SOCKETS; i++) {
		if (associated[i].token && associated[i].s == s)
			associated[i].token = 0;
		if (!associated[i].token)
			free_slot = i;
	}
	if (token && free_slot >= 0) {
		associated[free_slot].s = s;
		associated[free_slot].token = token;
	}
}

/* Whether sockets leave a port alone: a bind that is undone. */
static int is_free(int type, unsigned short port)
{
	struct sockaddr_in name = { 0 };
	BOOL exclusive = TRUE;
	SOCKET s = socket(AF_INET, type, 0);
	int bound;

	setsockopt(s, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (char *)&exclusive, sizeof(exclusive));
	name.sin_family = AF_INET;
	name.sin_port = htons(port);
	bound = bind(s, (struct sockaddr *)&name, sizeof(name)) == 0;
	closesocket(s);
	return bound;
}

static int are_free(int type, unsigned int start, unsigned int count)
{
	unsigned int i;

	if (overlapping(type, start, count))
		return 0;
	for (i = 0; i < count; i++)
		if (!is_free(type, (unsigned short)(start + i)))
			return 0;
	return 1;
}

/* NULL where something is in the way. */
static struct block *reserve(int type, unsigned int start, unsigned int count, SOCKET holder)
{
	int i;

	if (start == 0) {
		for (start = POOL_START; start + count <= POOL_END + 1; start++)
			if (are_free(type, start, count))
				break;
		if (start + count > POOL_END + 1)
			return NULL;
	} else if (!are_free(type, start, count)) {
		return NULL;
	}
	for (i = 0; i < BLOCKS; i++) {
		if (blocks[i].token)
			continue;
		blocks[i].token = ++last_token;
		blocks[i].type = type;
		blocks[i].start = (unsigned short)start;
		blocks[i].count = (unsigned short)count;
		blocks[i].holder = holder;
		return &blocks[i];
	}
	return NULL;
}

static int acquire(SOCKET s, int type, const void *in, DWORD in_length, void *out, DWORD out_length)
{
	unsigned short range[2];
	struct block *block;

	if (in_length < sizeof(range) || !in)
		return WSAEFAULT;
	if (out_length < 16)
		return WSAEINVAL;
	if (!out)
		return WSAEFAULT;
	memcpy(range, in, sizeof(range));
	range[0] = ntohs(range[0]);
	if (range[1] == 0 || (range[0] && range[0] + range[1] > 65536))
		return WSAEINVAL;
	block = reserve(type, range[0], range[1], s);
	if (!block)
		return WSAEADDRINUSE;
	memset(out, 0, 16);
	range[0] = htons(block->start);
	memcpy(out, range, sizeof(range));
	memcpy((char *)out + 8, &block->token, 8);
	return 0;
}

static int with_token(SOCKET s, int type, DWORD code, const void *in, DWORD in_length)
{
	unsigned long long token;
	struct sockaddr_storage name;
	int length = sizeof(name);
	struct block *block;

	if (in_length < sizeof(token) || !in)
		return WSAEFAULT;
	memcpy(&token, in, sizeof(token));
	block = by_token(token);
	if (!block)
		return WSAEINVAL;
	if (code == RELEASE) {
		if (block->holder == INVALID_SOCKET)
			return WSAEINVAL;
		memset(block, 0, sizeof(*block));
		return 0;
	}
	/* Before it is bound, of which the name tells. */
	if (block->type != type || getsockname(s, (struct sockaddr *)&name, &length) == 0)
		return WSAEINVAL;
	set_token(s, token);
	return 0;
}

int WSAAPI play_WSAIoctl(SOCKET s, DWORD code, void *in, DWORD in_length, void *out,
			 DWORD out_length, DWORD *returned, LPWSAOVERLAPPED overlapped,
			 LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
	int type, error;

	if (code != ACQUIRE && code != RELEASE && code != ASSOCIATE)
		return WSAIoctl(s, code, in, in_length, out, out_length, returned, overlapped,
				routine);
	type = type_of(s);
	AcquireSRWLockExclusive(&lock);
	if (!returned)
		error = WSAEFAULT;
	else if (type < 0)
		error = WSAENOTSOCK;
	else if (type == 0)
		error = WSAEOPNOTSUPP;
	else if (code == ACQUIRE)
		error = acquire(s, type, in, in_length, out, out_length);
	else
		error = with_token(s, type, code, in, in_length);
	ReleaseSRWLockExclusive(&lock);
	if (returned)
		*returned = error == 0 && code == ACQUIRE ? 16 : 0;
	WSASetLastError(error);
	return error ? SOCKET_ERROR : 0;
}

static int fail(int error)
{
	WSASetLastError(error);
	return SOCKET_ERROR;
}

int WSAAPI play_bind(SOCKET s, const struct sockaddr *name, int length)
{
	int type = type_of(s), result = SOCKET_ERROR;
	/* IPv4 and IPv6 have it at the same place. */
	unsigned short port = length >= 4 ? ntohs(((const struct sockaddr_in *)name)->sin_port) : 0;
	struct sockaddr_storage chosen;
	struct block *own, *other;
	unsigned int i;

	if (type <= 0 || length < (int)sizeof(struct sockaddr_in) || length > (int)sizeof(chosen))
		return bind(s, name, length);
	AcquireSRWLockExclusive(&lock);
	own = by_token(token_of(s));
	other = overlapping(type, port, 1);
	if (!own && token_of(s)) {
		fail(WSAEADDRNOTAVAIL);
	} else if (own && port == 0) {
		memcpy(&chosen, name, (size_t)length);
		for (i = 0; result && i < own->count; i++) {
			((struct sockaddr_in *)&chosen)->sin_port =
				htons((unsigned short)(own->start + i));
			result = bind(s, (struct sockaddr *)&chosen, length);
		}
	} else if (own && other != own) {
		fail(WSAEADDRNOTAVAIL);
	} else if (!own && port && other) {
		fail(WSAEACCES);
	} else {
		result = bind(s, name, length);
	}
	ReleaseSRWLockExclusive(&lock);
	return result;
}

/* "If and when the socket is bound": also by the way. */
static void bind_associated(SOCKET s, int family, int length)
{
	struct sockaddr_storage name = { 0 };
	int room = sizeof(name);

	if (token_of(s) && getsockname(s, (struct sockaddr *)&name, &room)) {
		memset(&name, 0, sizeof(name));
		name.ss_family = (ADDRESS_FAMILY)family;
		play_bind(s, (struct sockaddr *)&name, length);
	}
}

int WSAAPI play_connect(SOCKET s, const struct sockaddr *name, int length)
{
	if (length >= (int)sizeof(struct sockaddr_in))
		bind_associated(s, name->sa_family, length);
	return connect(s, name, length);
}

int WSAAPI play_closesocket(SOCKET s)
{
	int i;

	AcquireSRWLockExclusive(&lock);
	set_token(s, 0);
	for (i = 0; i < BLOCKS; i++)
		if (blocks[i].token && blocks[i].holder == s)
			memset(&blocks[i], 0, sizeof(blocks[i]));
	ReleaseSRWLockExclusive(&lock);
	return closesocket(s);
}

/* ---- the IP Helper API ---- */

static struct block *persistent(int type, unsigned short start, unsigned short count)
{
	struct block *block = overlapping(type, start, 1);

	return block && block->holder == INVALID_SOCKET && block->start == start &&
			       block->count == count ?
		       block :
		       NULL;
}

static ULONG create(int type, USHORT start, USHORT count, unsigned long long *token)
{
	ULONG error = ERROR_SHARING_VIOLATION;
	struct block *block;

	start = ntohs(start);
	if (start == 0 || count == 0 || start + count > 65536 || !token)
		return ERROR_INVALID_PARAMETER;
	AcquireSRWLockExclusive(&lock);
	block = reserve(type, start, count, INVALID_SOCKET);
	if (block) {
		*token = block->token;
		error = NO_ERROR;
	}
	ReleaseSRWLockExclusive(&lock);
	return error;
}

static ULONG find(int type, USHORT start, USHORT count, unsigned long long *token, int remove)
{
	ULONG error = ERROR_NOT_FOUND;
	struct block *block;

	start = ntohs(start);
	if (start == 0 || count == 0 || (!token && !remove))
		return ERROR_INVALID_PARAMETER;
	AcquireSRWLockExclusive(&lock);
	block = persistent(type, start, count);
	if (block) {
		if (token)
			*token = block->token;
		if (remove)
			memset(block, 0, sizeof(*block));
		error = NO_ERROR;
	}
	ReleaseSRWLockExclusive(&lock);
	return error;
}

#define IP_HELPER(protocol, type)                                                                  \
	ULONG WINAPI CreatePersistent##protocol##PortReservation(USHORT start, USHORT count,       \
								 unsigned long long *token)        \
	{                                                                                          \
		return create(type, start, count, token);                                          \
	}                                                                                          \
	ULONG WINAPI DeletePersistent##protocol##PortReservation(USHORT start, USHORT count)       \
	{                                                                                          \
		return find(type, start, count, NULL, 1);                                          \
	}                                                                                          \
	ULONG WINAPI LookupPersistent##protocol##PortReservation(USHORT start, USHORT count,       \
								 unsigned long long *token)        \
	{                                                                                          \
		return find(type, start, count, token, 0);                                         \
	}

IP_HELPER(Tcp, SOCK_STREAM)
IP_HELPER(Udp, SOCK_DGRAM)

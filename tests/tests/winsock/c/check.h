/* What the test programs share: checks, sockets, and control calls whose every effect is looked at. */
#ifndef CHECK_H
#define CHECK_H

#include <Windows.h>
#include <winsock2.h>
#include <mstcpip.h>
#include <ws2ipdef.h>
#include <iphlpapi.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a buffer holds that must stay untouched. */
#define UNTOUCHED 0xAA
#define UNTOUCHED_DWORD 0xAAAAAAAAu
/* A last error that no call sets. */
#define NO_LAST_ERROR 0x5EED

static int failures __attribute__((unused));
/* Which row of a table the checks are about. */
static const char *row __attribute__((unused));

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
/* Over a table whose rows have their name in `what`. */
#define FOR_EACH_ROW(i, rows)                                                                      \
	for ((i) = 0; (row = (i) < COUNT(rows) ? (rows)[i].what : NULL); (i)++)

#define CHECK(condition) check_equal(__FILE__, __LINE__, #condition, !!(condition), 1)
#define CHECK_EQUAL(actual, expected)                                                              \
	check_equal(__FILE__, __LINE__, #actual, (long long)(actual), (long long)(expected))
/* Stops if continuing is pointless. */
#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!CHECK(condition))                                                             \
			exit(1);                                                                   \
	} while (0)

static inline int check_equal(const char *file, int line, const char *what, long long actual,
			      long long expected)
{
	if (actual == expected)
		return 1;
	fprintf(stderr, "%s:%d: %s is %lld, not %lld%s%s\n", file, line, what, actual, expected,
		row ? ": " : "", row ? row : "");
	__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
	return 0;
}

static inline int finish(void)
{
	return failures ? 1 : 0;
}

static inline void start(void)
{
	WSADATA data;

	REQUIRE(WSAStartup(MAKEWORD(2, 2), &data) == 0);
}

static inline SOCKET open_socket(int type)
{
	SOCKET s = socket(AF_INET, type, 0);

	REQUIRE(s != INVALID_SOCKET);
	return s;
}

static inline SOCKET tcp(void)
{
	return open_socket(SOCK_STREAM);
}

static inline SOCKET udp(void)
{
	return open_socket(SOCK_DGRAM);
}

/* bind to a port of the loopback address: 0, or the last error. */
static inline int bind_port(SOCKET s, USHORT port)
{
	SOCKADDR_IN address;

	memset(&address, 0, sizeof(address));
	address.sin_family = AF_INET;
	address.sin_port = htons(port);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	WSASetLastError(NO_LAST_ERROR);
	return bind(s, (SOCKADDR *)&address, sizeof(address)) ? WSAGetLastError() : 0;
}

static inline USHORT local_port(SOCKET s)
{
	SOCKADDR_STORAGE address;
	int length = sizeof(address);

	REQUIRE(getsockname(s, (SOCKADDR *)&address, &length) == 0);
	/* Both families have it at the same place. */
	return ntohs(((SOCKADDR_IN *)&address)->sin_port);
}

/* A blocking control call: its error, 0 if it succeeded. */
static inline int control(SOCKET s, DWORD code, const void *in, DWORD in_length, void *out,
			  DWORD out_length, DWORD *returned)
{
	int result;

	WSASetLastError(NO_LAST_ERROR);
	result = WSAIoctl(s, code, (LPVOID)in, in_length, out, out_length, returned, NULL, NULL);
	CHECK(result == 0 || result == SOCKET_ERROR);
	/* Success resets the last error. */
	CHECK_EQUAL(WSAGetLastError() == 0, result == 0);
	return WSAGetLastError();
}

static inline INET_PORT_RANGE range(USHORT start, USHORT count)
{
	INET_PORT_RANGE range = { htons(start), count };

	return range;
}

static inline int acquire(SOCKET s, USHORT start, USHORT count, INET_PORT_RESERVATION_INSTANCE *out)
{
	INET_PORT_RANGE wanted = range(start, count);
	DWORD returned = UNTOUCHED_DWORD;
	int error = control(s, SIO_ACQUIRE_PORT_RESERVATION, &wanted, sizeof(wanted), out,
			    sizeof(*out), &returned);

	CHECK_EQUAL(returned, error ? 0 : sizeof(*out));
	return error;
}

static inline int with_token(SOCKET s, DWORD code, ULONG64 token)
{
	DWORD returned = UNTOUCHED_DWORD;
	int error = control(s, code, &token, sizeof(token), NULL, 0, &returned);

	CHECK_EQUAL(returned, 0);
	return error;
}

static inline int release(SOCKET s, ULONG64 token)
{
	return with_token(s, SIO_RELEASE_PORT_RESERVATION, token);
}

static inline int associate(SOCKET s, ULONG64 token)
{
	return with_token(s, SIO_ASSOCIATE_PORT_RESERVATION, token);
}

static inline INET_PORT_RESERVATION_INSTANCE acquired(SOCKET s, USHORT start, USHORT count)
{
	INET_PORT_RESERVATION_INSTANCE instance;

	memset(&instance, 0, sizeof(instance));
	REQUIRE(acquire(s, start, count, &instance) == 0);
	return instance;
}

/* Whether nothing holds the port: a bind that is undone again. */
static inline int can_bind(int type, USHORT port)
{
	SOCKET s = open_socket(type);
	int error = bind_port(s, port);

	CHECK(closesocket(s) == 0);
	return error == 0;
}

static inline int all_are(const void *bytes, int byte, size_t size)
{
	const unsigned char *at = (const unsigned char *)bytes;

	while (size--)
		if (*at++ != byte)
			return 0;
	return 1;
}

static inline int is_open(int descriptor)
{
	return fcntl(descriptor, F_GETFD) >= 0;
}

/* The system call that a thread of this process sleeps in; -1 for none. */
static inline long sleeps_in(pid_t tid)
{
	char path[64], line[64] = "";
	int file, length;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", (int)tid);
	file = open(path, O_RDONLY | O_CLOEXEC);
	REQUIRE(file >= 0);
	length = (int)read(file, line, sizeof(line) - 1);
	close(file);
	REQUIRE(length >= 0);
	return line[0] < '0' || line[0] > '9' ? -1 : atol(line);
}

/* Another process, which does as it is told through its input and tells through its output. */
struct process {
	pid_t pid;
	int to, from;
};

static inline struct process start_process(void (*body)(int from, int to))
{
	int down[2], up[2];
	struct process process;

	REQUIRE(pipe(down) == 0 && pipe(up) == 0);
	process.pid = fork();
	REQUIRE(process.pid >= 0);
	if (process.pid == 0) {
		close(down[1]);
		close(up[0]);
		body(down[0], up[1]);
		exit(finish());
	}
	close(down[0]);
	close(up[1]);
	process.to = down[1];
	process.from = up[0];
	return process;
}

/* Closes its input, which ends it, and waits. */
static inline void end_process(struct process *process)
{
	int status = -1;

	close(process->to);
	CHECK_EQUAL(waitpid(process->pid, &status, 0), process->pid);
	CHECK_EQUAL(status, 0);
	close(process->from);
}

#endif /* CHECK_H */

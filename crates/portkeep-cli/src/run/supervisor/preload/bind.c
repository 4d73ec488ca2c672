// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * What `portkeep run --preload` loads into programs: their bind(2) and listen(2) on sockets of IPv4 and
 * IPv6 are made by the holder, to which a copy of the socket goes.
 *
 * It needs no C library and makes system calls only, so it may be called wherever bind(2) may: after
 * fork(2), in a signal handler. `cargo xtask preload` builds it.
 */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

/* Of glibc and musl. */
extern int *__errno_location(void);

enum {
	AF_UNSPEC = 0,
	AF_INET = 2,
	AF_INET6 = 10
};
enum {
	SOL_SOCKET = 1,
	SCM_RIGHTS = 1,
	MSG_NOSIGNAL = 0x4000
};
enum {
	EINTR = 4
};

/* The backlog that asks for a channel to the holder, see mod.rs. */
#define KNOCK 0x504b0001

#define ADDRESS_MIN 16
#define ADDRESS_MAX 128

#if defined(__x86_64__)
enum {
	CLOSE = 3,
	SENDMSG = 46,
	RECVFROM = 45,
	BIND = 49,
	LISTEN = 50,
	GETSOCKNAME = 51
};

static long call(long number, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = 0;
	register long r9 __asm__("r9") = 0;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
enum {
	CLOSE = 57,
	SENDMSG = 211,
	RECVFROM = 207,
	BIND = 200,
	LISTEN = 201,
	GETSOCKNAME = 204
};

static long call(long number, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = 0;
	register long x5 __asm__("x5") = 0;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}
#else
#error "which system calls does this architecture have?"
#endif

/* A request, as sent.rs reads it, and what it is sent with (struct msghdr and so on). */
struct request {
	/* -1: bind to the address; else listen with this backlog, and no address. */
	int backlog;
	u32 length;
	u8 address[ADDRESS_MAX];
};

struct vector {
	const void *base;
	u64 length;
};

struct control {
	u64 length;
	int level;
	int type;
	int descriptor;
	int padding;
};

struct message {
	const void *name;
	u32 name_length;
	u32 padding;
	const struct vector *vectors;
	u64 vector_count;
	const void *control;
	u64 control_length;
	int flags;
	int padding2;
};

_Static_assert(sizeof(struct control) == 24 && sizeof(struct message) == 56,
	       "as the kernel has them");

/* memcpy(3) would be the C library's. */
static void copy(u8 *to, const u8 *from, u32 length)
{
	for (u32 i = 0; i < length; i++)
		((volatile u8 *)to)[i] = from[i];
}

static long send_request(int channel, int socket, const struct request *request)
{
	struct vector vector = { request, sizeof(*request) };
	/* The length of one descriptor, without the padding. */
	struct control control = { 20, SOL_SOCKET, SCM_RIGHTS, socket, 0 };
	struct message message = { 0, 0, 0, &vector, 1, &control, sizeof(control), 0, 0 };
	long sent;

	do
		sent = call(SENDMSG, channel, (long)&message, MSG_NOSIGNAL, 0);
	while (sent == -EINTR);
	return sent;
}

/*
 * Has the holder make a call. Returns 1 and gives its result, 0 or an errno, if it did. If it did not, for
 * the call is not about ports of the run or nobody supervises this process, the kernel is to have it.
 */
static int ask(int socket, const struct request *request, int *result)
{
	long channel = call(LISTEN, -1, KNOCK, 0, 0);
	int answer = -1;
	long received = -1;

	if (channel < 0)
		return 0;
	if (send_request(channel, socket, request) == sizeof(*request))
		do
			received = call(RECVFROM, channel, (long)&answer, sizeof(answer), 0);
		while (received == -EINTR);
	call(CLOSE, channel, 0, 0, 0);
	*result = answer;
	return received == sizeof(answer) && answer >= 0;
}

/* What a system call gave: an inner run's knock is a listen(2) that gives a descriptor. */
static int finish(long result)
{
	if (result >= 0)
		return result;
	*__errno_location() = -result;
	return -1;
}

static int is_ip(u16 family)
{
	return family == AF_INET || family == AF_INET6 || family == AF_UNSPEC;
}

__attribute__((visibility("default"))) int bind(int socket, const void *address, u32 length)
{
	struct request request = { -1, length, { 0 } };
	int result;
	u16 family, port;

	if (length < ADDRESS_MIN || length > ADDRESS_MAX)
		return finish(call(BIND, socket, (long)address, length, 0));
	/*
	 * A copy by the kernel would turn a bad pointer into EFAULT; here it is a signal, as in any other
	 * function.
	 */
	copy(request.address, address, length);
	family = request.address[0] | request.address[1] << 8;
	port = request.address[2] << 8 | request.address[3];
	if (is_ip(family) && port && ask(socket, &request, &result))
		return finish(-result);
	return finish(call(BIND, socket, (long)address, length, 0));
}

__attribute__((visibility("default"))) int listen(int socket, int backlog)
{
	/* A negative one is a long one to the kernel; in a request it would say that it is a bind. */
	struct request request = { backlog < 0 ? 0x7fffffff : backlog, 0, { 0 } };
	u8 name[ADDRESS_MAX];
	u32 length = sizeof(name);
	int result;

	if (call(GETSOCKNAME, socket, (long)name, (long)&length, 0) == 0 &&
	    is_ip(name[0] | name[1] << 8) && ask(socket, &request, &result))
		return finish(-result);
	return finish(call(LISTEN, socket, backlog, 0, 0));
}

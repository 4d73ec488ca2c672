/*
 * Binds with addresses that are in memory which does not come until it is let (userfaultfd(2)), and on
 * sockets that a call of its own has locked meanwhile; and with others beside them. Prints what came of
 * the latter, then of the former.
 *
 *	stuck PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ADDRESSES 6
#define PAGES (ADDRESSES + 2)
#define PAGE 4096

static char *pages;
static int port, locked, results[ADDRESSES + 2];

static struct sockaddr_in at(int to)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(to),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

static int attempt(const void *address)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);
	int result = bind(s, address, sizeof(struct sockaddr_in)) ? errno : 0;

	close(s);
	return result;
}

static void *bind_stuck(void *number)
{
	results[(long)number] = attempt(pages + (long)number * PAGE);
	return NULL;
}

/* The kernel reads the option, which goes on in a page that does not come, with the socket locked. */
static void *lock_socket(void *number)
{
	setsockopt(locked, IPPROTO_IPV6, IPV6_RTHDR, pages + (ADDRESSES + 1) * PAGE - 8, 24);
	return number;
}

static void *bind_locked(void *number)
{
	struct sockaddr_in6 to = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(port + 1),
		.sin6_addr = in6addr_loopback,
	};

	results[(long)number] = bind(locked, (struct sockaddr *)&to, sizeof(to)) ? errno : 0;
	return NULL;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

int main(int argc, char **argv)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	pthread_t threads[ADDRESSES + 2];
	struct sockaddr_in own, other;
	char page[PAGE] = { 0 };
	int uffd;

	if (argc != 2)
		return 2;
	port = atoi(argv[1]);
	own = at(port);
	other = at(port + 1000);
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0) {
		puts("no userfaultfd");
		return 0;
	}
	pages = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* The page before the last is there. */
	memset(pages + ADDRESSES * PAGE, 0, PAGE);
	range.range.start = (unsigned long)pages;
	range.range.len = PAGES * PAGE;
	if (ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &range))
		fail("userfaultfd");
	locked = socket(AF_INET6, SOCK_STREAM, 0);
	for (long i = 0; i < ADDRESSES; i++)
		pthread_create(&threads[i], NULL, bind_stuck, (void *)i);
	pthread_create(&threads[ADDRESSES], NULL, lock_socket, NULL);
	/* Until all wait for their pages. */
	for (int i = 0; i < ADDRESSES + 1; i++) {
		struct uffd_msg message;

		if (read(uffd, &message, sizeof(message)) != sizeof(message))
			fail("read");
	}
	pthread_create(&threads[ADDRESSES + 1], NULL, bind_locked, (void *)(long)ADDRESSES);
	for (int i = 0; i < 100; i++) {
		if (attempt(&own) || attempt(&other))
			fail("bind");
	}
	puts("others bound");
	fflush(stdout);
	memcpy(page, &own, sizeof(own));
	for (int i = 0; i < PAGES; i++) {
		struct uffdio_copy copy = {
			.dst = (unsigned long)pages + i * PAGE,
			.src = (unsigned long)page,
			.len = PAGE,
		};

		if (i != ADDRESSES && ioctl(uffd, UFFDIO_COPY, &copy))
			fail("copy");
		/* One at a time: they bind to the same port. */
		if (i < ADDRESSES)
			pthread_join(threads[i], NULL);
	}
	pthread_join(threads[ADDRESSES], NULL);
	pthread_join(threads[ADDRESSES + 1], NULL);
	for (int i = 0; i < ADDRESSES + 1; i++)
		printf("%d ", results[i]);
	puts("");
	return 0;
}

/* Binds in ways that go wrong, each in a process of its own; says what came of it. argv[1] is the port. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sockaddr_in own;

static const char *attempt(int socket, const void *address, socklen_t length)
{
	return bind(socket, address, length) ? strerrorname_np(errno) : "bound";
}

static const char *plainly(void)
{
	int opened = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const char *said = attempt(opened, &own, sizeof(own));

	close(opened);
	return said;
}

static void bad_pointers(void)
{
	long page = sysconf(_SC_PAGESIZE);
	char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int opened = socket(AF_INET, SOCK_STREAM, 0);

	munmap(pages + page, page);
	memcpy(pages + page - 8, &own, 8);
	printf("%s %s %s ", attempt(opened, NULL, 16), attempt(opened, (void *)-1L, 16),
	       attempt(opened, pages + page - 8, 16));
	printf("%s\n", attempt(-1, &own, sizeof(own)));
}

static void no_more_descriptors(void)
{
	int opened = socket(AF_INET, SOCK_STREAM, 0);
	struct rlimit limit = { opened + 1, opened + 1 };

	setrlimit(RLIMIT_NOFILE, &limit);
	printf("%s ", attempt(opened, &own, sizeof(own)));
	printf("%d\n", listen(opened, 1));
}

static void undumpable(void)
{
	prctl(PR_SET_DUMPABLE, 0);
	printf("%s\n", plainly());
}

static void *change(void *port)
{
	for (;;)
		*(volatile in_port_t *)port ^= htons(1);
	return NULL;
}

/* Whatever port is read, the one that is bound to is either the command's or nobody's. */
static void changing_address(void)
{
	static struct sockaddr_in changing;
	struct sockaddr_in name;
	socklen_t length = sizeof(name);
	pthread_t thread;
	int wrong = 0;

	changing = own;
	pthread_create(&thread, NULL, change, &changing.sin_port);
	for (int i = 0; i < 300; i++) {
		int opened = socket(AF_INET, SOCK_STREAM, 0);

		if (!bind(opened, (void *)&changing, sizeof(changing)) &&
		    !getsockname(opened, (void *)&name, &length) &&
		    (ntohs(name.sin_port) | 1) != (ntohs(own.sin_port) | 1))
			wrong++;
		close(opened);
	}
	printf("%d\n", wrong);
}

static void *binds(void *unused)
{
	for (;;)
		plainly();
	return unused;
}

/* Threads die of exec and of exit in the midst of binds; the next program binds. */
static void exec_meanwhile(const char *name, const char *port)
{
	pthread_t thread;

	for (int i = 0; i < 4; i++)
		pthread_create(&thread, NULL, binds, NULL);
	usleep(20000);
	execl(name, name, port, "plain", NULL);
}

static void exit_meanwhile(void)
{
	for (int i = 0; i < 20; i++) {
		pid_t child = fork();

		if (!child) {
			pthread_t thread;

			for (int j = 0; j < 4; j++)
				pthread_create(&thread, NULL, binds, NULL);
			usleep(i * 500);
			if (i % 2)
				kill(getpid(), SIGKILL);
			_exit(0);
		}
		waitpid(child, NULL, 0);
	}
	printf("%s\n", plainly());
}

#ifdef __x86_64__
/* bind(2) of the 32-bit calls: it passes the filter, and meets the holder. */
static void of_32_bits(void)
{
	struct sockaddr_in *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	int opened = socket(AF_INET, SOCK_STREAM, 0);
	long result = 361;

	*low = own;
	__asm__ volatile("int $0x80"
			 : "+a"(result)
			 : "b"((long)opened), "c"((long)low), "d"(16L)
			 : "memory", "r8", "r9", "r10", "r11");
	printf("%s\n", result ? strerrorname_np(-(int)result) : "bound");
}
#endif

static void in_child(const char *what, void (*act)(void))
{
	pid_t child;

	printf("%s: ", what);
	fflush(stdout);
	child = fork();
	if (!child) {
		act();
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

int main(int argc, char **argv)
{
	pid_t child;

	own.sin_family = AF_INET;
	own.sin_port = htons(atoi(argv[1]));
	if (argc > 2) {
		printf("%s\n", plainly());
		return 0;
	}
	in_child("bad pointers", bad_pointers);
	in_child("no descriptors", no_more_descriptors);
	in_child("undumpable", undumpable);
	in_child("changing address", changing_address);
#ifdef __x86_64__
	in_child("32 bits", of_32_bits);
#endif
	in_child("exit", exit_meanwhile);
	printf("exec: ");
	fflush(stdout);
	child = fork();
	if (!child)
		exec_meanwhile(argv[0], argv[1]);
	waitpid(child, NULL, 0);
	return 0;
}

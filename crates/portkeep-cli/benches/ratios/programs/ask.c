// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Clients of a port server: each asks for ports for itself, over a new connection each time, as
 * portpicker does. Prints how many nanoseconds all of them took, and how many ports they got.
 *
 * usage: ask @NAME CLIENTS PORTS-EACH
 */
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_un address = { .sun_family = AF_UNIX };
static socklen_t address_length;

static int ask(const char *request, size_t length)
{
	int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), got = 0;
	char answer[64];

	if (!connect(connection, (struct sockaddr *)&address, address_length) &&
	    write(connection, request, length) == (ssize_t)length)
		got = read(connection, answer, sizeof(answer)) > 1;
	close(connection);
	return got;
}

static long long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int argc, char **argv)
{
	int clients, each, start[2], done[2], got, all = 0;
	long long begin;
	char go;

	if (argc != 4 || argv[1][0] != '@' || strlen(argv[1]) >= sizeof(address.sun_path))
		return 2;
	memcpy(address.sun_path + 1, argv[1] + 1, strlen(argv[1]) - 1);
	address_length = offsetof(struct sockaddr_un, sun_path) + strlen(argv[1]);
	clients = atoi(argv[2]);
	each = atoi(argv[3]);
	if (pipe(start) || pipe(done))
		return 1;
	for (int i = 0; i < clients; i++) {
		if (!fork()) {
			char request[32];
			int length = snprintf(request, sizeof(request), "%d\n", getpid());

			close(start[1]);
			/* All begin at once. */
			got = read(start[0], &go, 1);
			for (int asked = got = 0; asked < each; asked++)
				got += ask(request, length);
			if (write(done[1], &got, sizeof(got)) != sizeof(got))
				_exit(1);
			/* The ports are theirs until all have been timed. */
			for (;;)
				pause();
		}
	}
	begin = now();
	close(start[0]);
	close(start[1]);
	for (int i = 0; i < clients; i++) {
		if (read(done[0], &got, sizeof(got)) != sizeof(got))
			return 1;
		all += got;
	}
	printf("%lld %d\n", now() - begin, all);
	fflush(stdout);
	kill(0, 9);
	return 0;
}

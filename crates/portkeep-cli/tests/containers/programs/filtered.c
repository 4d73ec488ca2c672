/* Takes a seccomp filter of its own that kills for sendmsg(2), as of a sandboxed server, and binds. */
#include <arpa/inet.h>
#include <err.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendmsg, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(*filter), filter };
	struct sockaddr_in6 address = { .sin6_family = AF_INET6 };
	int on = 1, size = 30000, opened, is_on = 0, got = 0, only = 0;
	socklen_t length = sizeof(int);

	address.sin6_port = htons(atoi(argv[argc - 1]));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		err(1, "seccomp");
	opened = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(opened, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(opened, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(opened, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(opened, (struct sockaddr *)&address, sizeof(address)))
		err(1, "bind");
	if (listen(opened, 1))
		err(1, "listen");
	getsockopt(opened, SOL_SOCKET, SO_REUSEADDR, &is_on, &length);
	getsockopt(opened, SOL_SOCKET, SO_RCVBUF, &got, &length);
	getsockopt(opened, IPPROTO_IPV6, IPV6_V6ONLY, &only, &length);
	printf("%d %d %d\n", is_on, got, only);
	return 0;
}

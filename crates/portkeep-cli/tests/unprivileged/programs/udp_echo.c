/* Sends every datagram back, from a socket without options: udp_echo PORT */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	struct sockaddr_in here = { .sin_family = AF_INET }, peer;
	socklen_t length;
	char data[2048];
	ssize_t got;
	int s;

	if (argc != 2)
		return 2;
	here.sin_port = htons(atoi(argv[1]));
	s = socket(AF_INET, SOCK_DGRAM, 0);
	if (bind(s, (struct sockaddr *)&here, sizeof(here)) != 0) {
		perror("udp_echo: bind");
		return 1;
	}
	for (;;) {
		length = sizeof(peer);
		got = recvfrom(s, data, sizeof(data), 0, (struct sockaddr *)&peer, &length);
		if (got >= 0)
			sendto(s, data, got, 0, (struct sockaddr *)&peer, length);
	}
}

/*
 * What Winsock's calls come to, a line for each: compiled for Windows and run by Wine, and compiled with
 * this library and run here, it prints the same but for what differences.txt has.
 */
#define WIN32_LEAN_AND_MEAN
#include <winsock2.h>
#include <ws2tcpip.h>
#include <mstcpip.h>
#include <windows.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const char *about = "";

static void show(const char *what, long long value)
{
	printf("%s, %s: %lld\n", about, what, value);
}

static void show_hex(const char *what, unsigned int value)
{
	printf("%s, %s: 0x%x\n", about, what, value);
}

/* The result of a call of Winsock: 0, or its error. */
static void show_call(const char *what, int result)
{
	show(what, result ? WSAGetLastError() : 0);
}

/* Of one that tells TRUE or FALSE. */
static void show_bool(const char *what, BOOL result)
{
	show(what, result ? 0 : (long long)WSAGetLastError());
}

static struct sockaddr_in loopback(unsigned short port)
{
	struct sockaddr_in name;

	memset(&name, 0, sizeof(name));
	name.sin_family = AF_INET;
	name.sin_port = htons(port);
	name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return name;
}

static struct sockaddr_in name_of(SOCKET s)
{
	struct sockaddr_in name;
	int length = sizeof(name);

	memset(&name, 0, sizeof(name));
	getsockname(s, (struct sockaddr *)&name, &length);
	return name;
}

static SOCKET bound(int type)
{
	SOCKET s = socket(AF_INET, type, 0);
	struct sockaddr_in name = loopback(0);

	if (bind(s, (struct sockaddr *)&name, sizeof(name)))
		show_call("bind", SOCKET_ERROR);
	return s;
}

static SOCKET a, b;

static void datagrams(void)
{
	struct sockaddr_in name;

	a = bound(SOCK_DGRAM);
	b = bound(SOCK_DGRAM);
	name = name_of(b);
	show_call("connect", connect(a, (struct sockaddr *)&name, sizeof(name)));
	name = name_of(a);
	show_call("connect back", connect(b, (struct sockaddr *)&name, sizeof(name)));
}

static void streams(void)
{
	SOCKET listener = bound(SOCK_STREAM);
	struct sockaddr_in name = name_of(listener);

	show_call("listen", listen(listener, 1));
	a = socket(AF_INET, SOCK_STREAM, 0);
	show_call("connect", connect(a, (struct sockaddr *)&name, sizeof(name)));
	b = accept(listener, NULL, NULL);
	closesocket(listener);
}

static void close_both(void)
{
	show_call("close", closesocket(a));
	show_call("close the other", closesocket(b));
}

/* ---- an overlapped receive ---- */

static WSAOVERLAPPED overlapped;
static char room[64];
static DWORD bytes, flags;

static int receive(SOCKET s, HANDLE event, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
	WSABUF buffers[2];

	buffers[0].len = 4;
	buffers[0].buf = room;
	buffers[1].len = 60;
	buffers[1].buf = room + 4;
	memset(&overlapped, 0, sizeof(overlapped));
	memset(room, 0, sizeof(room));
	overlapped.hEvent = event;
	bytes = 0xdeadbeef;
	flags = 0;
	return WSARecv(s, buffers, 2, &bytes, &flags, &overlapped, routine);
}

static void send_count(SOCKET s, unsigned int count)
{
	static char text[200] = "text that is sent";
	WSABUF buffer;
	DWORD sent = 0;

	buffer.len = count;
	buffer.buf = text;
	show_call("send", WSASend(s, &buffer, 1, &sent, 0, NULL, NULL));
	show("bytes sent", sent);
}

static void show_end(SOCKET s)
{
	bytes = 0xdeadbeef;
	flags = 0;
	show_bool("result", WSAGetOverlappedResult(s, &overlapped, &bytes, TRUE, &flags));
	show("bytes", bytes);
	show("partial", !!(flags & MSG_PARTIAL));
	show_hex("status", (unsigned int)overlapped.Internal);
	show("bytes in the structure", (long long)overlapped.InternalHigh);
	show_bool("result of a file", GetOverlappedResult((HANDLE)s, &overlapped, &bytes, FALSE));
	show("first byte", room[0]);
}

static int calls;
static DWORD routine_error, routine_bytes, routine_flags;

static void CALLBACK routine(DWORD error, DWORD count, LPWSAOVERLAPPED it, DWORD told)
{
	calls++;
	routine_error = error;
	routine_bytes = count;
	routine_flags = told & ~(DWORD)MSG_PARTIAL;
	show("the routine's structure", it == &overlapped);
}

static void show_routine(void)
{
	calls = 0;
	show("alertable sleep", SleepEx(2000, TRUE));
	show("calls", calls);
	show("its error", routine_error);
	show("its bytes", routine_bytes);
	show("its flags", routine_flags);
	show("alertable sleep again", SleepEx(0, TRUE));
}

static void receiving(const char *kind)
{
	WSAEVENT event = WSACreateEvent();
	char text[80];

	about = kind;
	show("pending", receive(b, event, NULL));
	show("last error", WSAGetLastError());
	show_hex("bytes untouched", bytes);
	show_hex("status while pending", (unsigned int)overlapped.Internal);
	show("event", WSAWaitForMultipleEvents(1, &event, TRUE, 0, FALSE));
	show_bool("result while pending",
		  WSAGetOverlappedResult(b, &overlapped, &bytes, FALSE, &flags));
	show_bool("result of a file while pending",
		  GetOverlappedResult((HANDLE)b, &overlapped, &bytes, FALSE));
	send_count(a, 10);
	show("event after", WSAWaitForMultipleEvents(1, &event, TRUE, 2000, FALSE));
	show_end(b);

	snprintf(text, sizeof(text), "%s at once", kind);
	about = text;
	send_count(a, 7);
	show_call("receive", receive(b, event, NULL));
	show("bytes of the call", bytes);
	show("event", WSAWaitForMultipleEvents(1, &event, TRUE, 0, FALSE));
	show_end(b);
	send_count(a, 3);
	show_call("receive with a routine", receive(b, event, routine));
	show_routine();

	snprintf(text, sizeof(text), "%s with a routine", kind);
	show("pending", receive(b, NULL, routine));
	send_count(a, 5);
	show_routine();

	snprintf(text, sizeof(text), "%s cancelled", kind);
	show_bool("nothing, by thread", CancelIo((HANDLE)b));
	show_bool("nothing", CancelIoEx((HANDLE)b, NULL));
	show("pending", receive(b, event, NULL));
	show_bool("another's", CancelIoEx((HANDLE)b, (LPOVERLAPPED)text));
	show_bool("its own", CancelIoEx((HANDLE)b, &overlapped));
	show("event", WSAWaitForMultipleEvents(1, &event, TRUE, 2000, FALSE));
	show_end(b);
	show("pending", receive(b, NULL, routine));
	show_bool("by thread", CancelIo((HANDLE)b));
	show_routine();
	show("pending", receive(b, event, NULL));
	show_call("close", closesocket(b));
	show("event", WSAWaitForMultipleEvents(1, &event, TRUE, 2000, FALSE));
	show_hex("status", (unsigned int)overlapped.Internal);
	show_bool("cancelling on a closed socket", CancelIoEx((HANDLE)b, NULL));
	show_call("close the other", closesocket(a));
	WSACloseEvent(event);
}

static void mistakes(void)
{
	SOCKET s = socket(AF_INET, SOCK_STREAM, 0), d = socket(AF_INET, SOCK_DGRAM, 0);
	WSABUF buffer;
	DWORD moved = 0, none = 0;

	about = "mistakes";
	buffer.len = sizeof(room);
	buffer.buf = room;
	show_call("receive on an unconnected stream", receive(s, NULL, NULL));
	show_call("send on an unconnected stream", WSASend(s, &buffer, 1, &moved, 0, NULL, NULL));
	show_call("receive on an unbound datagram socket", receive(d, NULL, NULL));
	/* Wine waits for it, for ever. */
	CancelIo((HANDLE)d);
	show_call("send to nobody", WSASend(d, &buffer, 1, &moved, 0, NULL, NULL));
	show_call("no socket", WSARecv(INVALID_SOCKET, &buffer, 1, &moved, &none, NULL, NULL));
	show_call("no number", WSASend(s, &buffer, 1, NULL, 0, NULL, NULL));
	show_call("close", closesocket(s));
	show_call("close again", closesocket(s));
	closesocket(d);

	about = "a long datagram";
	datagrams();
	send_count(a, 100);
	show_call("receive", receive(b, NULL, NULL));
	show("bytes of the call", bytes);
	show_end(b);
	show("pending", receive(b, NULL, NULL));
	send_count(a, 100);
	show_end(b);
	close_both();

	about = "the end of a stream";
	streams();
	show("pending", receive(b, NULL, NULL));
	show_call("shutdown", shutdown(a, SD_SEND));
	show_end(b);
	close_both();

	about = "a reset stream";
	streams();
	show("pending", receive(b, NULL, NULL));
	{
		struct linger linger;

		linger.l_onoff = 1;
		linger.l_linger = 0;
		show_call("linger",
			  setsockopt(a, SOL_SOCKET, SO_LINGER, (char *)&linger, sizeof(linger)));
	}
	show_call("close", closesocket(a));
	show_end(b);
	show_call("close the other", closesocket(b));

	about = "a sender";
	{
		SOCKET from = bound(SOCK_DGRAM), to = bound(SOCK_DGRAM);
		struct sockaddr_in name = name_of(to), sender;
		int length = sizeof(sender);

		buffer.len = 2;
		buffer.buf = (char *)"hi";
		show_call("send to", WSASendTo(from, &buffer, 1, &moved, 0,
					       (struct sockaddr *)&name, sizeof(name), NULL, NULL));
		show("bytes", moved);
		buffer.len = sizeof(room);
		buffer.buf = room;
		show_call("receive from",
			  WSARecvFrom(to, &buffer, 1, &moved, &none, (struct sockaddr *)&sender,
				      &length, NULL, NULL));
		show("bytes", moved);
		show("length", length);
		show("is the sender", sender.sin_port == name_of(from).sin_port);
		closesocket(from);
		closesocket(to);
	}
}

/* ---- completion ports ---- */

static void show_packet(HANDLE port, const char *what, DWORD milliseconds)
{
	DWORD count = 0xdeadbeef;
	ULONG_PTR key = 0xdeadbeef;
	LPOVERLAPPED it = (LPOVERLAPPED)(ULONG_PTR)8;

	show_bool(what, GetQueuedCompletionStatus(port, &count, &key, &it, milliseconds));
	show("packet's bytes", count);
	show("packet's key", (long long)key);
	show("packet's structure", it == &overlapped ? 1 : it == NULL ? 0 : 2);
}

static void ports(void)
{
	HANDLE port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);
	WSAEVENT event = WSACreateEvent();
	OVERLAPPED_ENTRY entries[3];
	ULONG removed = 77;

	about = "a port";
	show("new", port != NULL);
	show_packet(port, "empty", 0);
	show_bool("post", PostQueuedCompletionStatus(port, 5, 6, &overlapped));
	show_packet(port, "posted", 0);
	show_bool("post", PostQueuedCompletionStatus(port, 7, 8, NULL));
	show_packet(port, "posted without a structure", 0);
	show_bool("post", PostQueuedCompletionStatus(port, 1, 2, &overlapped));
	show_bool("post", PostQueuedCompletionStatus(port, 3, 4, NULL));
	show_bool("several", GetQueuedCompletionStatusEx(port, entries, 3, &removed, 0, FALSE));
	show("removed", removed);
	show("second key", (long long)entries[1].lpCompletionKey);
	show("second bytes", entries[1].dwNumberOfBytesTransferred);
	show_bool("several of none",
		  GetQueuedCompletionStatusEx(port, entries, 3, &removed, 0, FALSE));
	show_bool("without a file", !!CreateIoCompletionPort(INVALID_HANDLE_VALUE, port, 0, 0));
	show_packet(event, "not a port", 0);
	show_bool("post to no port", PostQueuedCompletionStatus(event, 0, 0, NULL));

	about = "a socket's port";
	datagrams();
	show("associate", CreateIoCompletionPort((HANDLE)b, port, 9, 0) == port);
	show_bool("associate again", !!CreateIoCompletionPort((HANDLE)b, port, 9, 0));
	show("pending", receive(b, NULL, NULL));
	show_packet(port, "while pending", 0);
	send_count(a, 10);
	show_packet(port, "after", 2000);
	send_count(a, 11);
	show_call("at once", receive(b, NULL, NULL));
	show_packet(port, "told all the same", 2000);
	show("pending", receive(b, (HANDLE)((ULONG_PTR)event | 1), NULL));
	send_count(a, 12);
	show("event", WSAWaitForMultipleEvents(1, &event, TRUE, 2000, FALSE));
	show_packet(port, "an event alone", 0);
	show("pending", receive(b, event, NULL));
	send_count(a, 13);
	show_packet(port, "besides an event", 2000);
	show("event", WSAWaitForMultipleEvents(1, &event, TRUE, 0, FALSE));
	show("pending", receive(b, NULL, NULL));
	send_count(a, 100);
	show_packet(port, "too long", 2000);
	show_call("with a routine", receive(b, NULL, routine));
	show("pending", receive(b, NULL, NULL));
	show_bool("cancel", CancelIoEx((HANDLE)b, &overlapped));
	show_packet(port, "cancelled", 2000);
	show("pending", receive(b, NULL, NULL));
	show_call("close", closesocket(b));
	show_packet(port, "closed", 2000);
	show_call("close the other", closesocket(a));

	about = "modes";
	datagrams();
	show("associate", CreateIoCompletionPort((HANDLE)b, port, 9, 0) == port);
	show_bool("set", SetFileCompletionNotificationModes((HANDLE)b,
							    FILE_SKIP_COMPLETION_PORT_ON_SUCCESS));
	send_count(a, 11);
	show_call("at once", receive(b, NULL, NULL));
	show_packet(port, "not told", 0);
	show("pending", receive(b, NULL, NULL));
	send_count(a, 12);
	show_packet(port, "told later", 2000);
	close_both();
	show_bool("close the port", CloseHandle(port));
	show_bool("close the port again", CloseHandle(port));
	show_bool("post to a closed port", PostQueuedCompletionStatus(port, 0, 0, NULL));
	WSACloseEvent(event);
}

/* ---- control calls ---- */

static void control_calls(void)
{
	SOCKET s = bound(SOCK_DGRAM);
	u_long on = 1, waiting = 77;
	DWORD returned;
	char in[16] = { 0 };
	WSAOVERLAPPED it;

	about = "control calls";
	returned = 77;
	WSASetLastError(12345);
	show_call("FIONBIO", WSAIoctl(s, FIONBIO, &on, sizeof(on), NULL, 0, &returned, NULL, NULL));
	show("last error", WSAGetLastError());
	show("returned", returned);
	returned = 77;
	show_call("FIONBIO, short",
		  WSAIoctl(s, FIONBIO, &on, sizeof(on) - 1, NULL, 0, &returned, NULL, NULL));
	show("returned", returned);
	show_call("FIONBIO, no input",
		  WSAIoctl(s, FIONBIO, NULL, 0, NULL, 0, &returned, NULL, NULL));
	show_call("FIONBIO, no number",
		  WSAIoctl(s, FIONBIO, &on, sizeof(on), NULL, 0, NULL, NULL, NULL));
	returned = 77;
	show_call("FIONREAD",
		  WSAIoctl(s, FIONREAD, NULL, 0, &waiting, sizeof(waiting), &returned, NULL, NULL));
	show("returned", returned);
	show("waiting", waiting);
	returned = 77;
	show_call("unknown",
		  WSAIoctl(s, 0xD8000064, in, sizeof(in), in, sizeof(in), &returned, NULL, NULL));
	show("returned", returned);
	memset(&it, 0, sizeof(it));
	returned = 77;
	show_call("unknown, overlapped",
		  WSAIoctl(s, 0xD8000064, in, sizeof(in), in, sizeof(in), &returned, &it, NULL));
	show("returned", returned);
	show_hex("its status", (unsigned int)it.Internal);
	show_bool("its result", WSAGetOverlappedResult(s, &it, &returned, FALSE, &flags));
	show_call("no socket", WSAIoctl(INVALID_SOCKET, FIONBIO, &on, sizeof(on), NULL, 0,
					&returned, NULL, NULL));
	closesocket(s);
}

int main(void)
{
	WSADATA data;

	show("start", WSAStartup(MAKEWORD(2, 2), &data));
	about = "datagrams";
	datagrams();
	receiving("datagrams");
	about = "streams";
	streams();
	receiving("streams");
	mistakes();
	ports();
	control_calls();
	about = "end";
	show_call("cleanup", WSACleanup());
	show_call("cleanup again", WSACleanup());
	return 0;
}

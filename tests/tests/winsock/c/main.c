/* A program that is wide or narrow: its arguments, and the last error of a call that is too early. */
#include <windows.h>
#include <winsock2.h>
#include <tchar.h>

#include <locale.h>

int _tmain(int argc, TCHAR *argv[])
{
	SOCKET s = socket(AF_INET, SOCK_STREAM, 0);
	int i;

	setlocale(LC_CTYPE, "");
	_tprintf(_T("%d"), argc);
	for (i = 1; i < argc; i++)
		_tprintf(_T(" %s"), argv[i]);
	_tprintf(_T(" %u\n"), (unsigned int)GetLastError());
	return s == INVALID_SOCKET ? 0 : 1;
}

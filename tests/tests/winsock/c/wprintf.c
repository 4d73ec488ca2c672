/* Microsoft's conversions; printed between brackets, with the arguments at the end. */
#include <windows.h>
#include <stdlib.h>

int wmain(int argc, WCHAR **argv, WCHAR **envp)
{
	unsigned long long big = 0xFEDCBA9876543210ull;
	DWORD dword = 0xFFFFFFFF;
	int i, count = 5;

	(void)envp;
	wprintf(L"[%s] [%S] [%hs] [%ls] [%ws] [%hS] [%lS]\n", L"wide", "narrow", "narrow", L"wide",
		L"wide", "narrow", L"wide");
	wprintf(L"[%c%C%hc%lc%wc]\n", L'a', 'b', 'c', L'd', L'e');
	wprintf(L"[%d] [%i] [%u] [%x] [%X] [%o] [%#x]\n", -1, 2, 3u, 0xabu, 0xabu, 8u, 16u);
	wprintf(L"[%I64d] [%I64u] [%I64x] [%I64X] [%lld]\n", -5ll, big, big, big, -6ll);
	wprintf(L"[%I32d] [%I32u] [%Id] [%Iu] [%zu]\n", -7, 8u, (intptr_t)-9, sizeof(int),
		sizeof(int));
	wprintf(L"[%ld] [%lu] [%lx]\n", (LONG)-1, dword, dword);
	wprintf(L"[%hd] [%hhd]\n", 65537, 257);
	wprintf(L"[%8s] [%-8ws] [%.2S] [%*.*s] [%05d] [%+d] [% d]\n", L"wide", L"wide", "narrow", 6,
		3, L"wide", 42, 42, 42);
	wprintf(L"[%.2f] [%e] [%g] [%Lf]\n", 1.5, 1.5, 1.5, 1.5L);
	wprintf(L"[%p] [%20p]\n", (void *)0x12ab, (void *)0x12ab);
	wprintf(L"[%%] [%y] [%n]\n", &count);
	wprintf(L"%d\n", count);
	/* Both kinds of output may go to one stream. */
	printf("[%s]\n", "printf");
	fwprintf(stdout, L"[\u00e9\u20ac]\n");
	wprintf(L"%d\n", wprintf(L"four"));
	wprintf(L"%d %d %d %d\n", _wtoi(L" -12x"), _wtoi(L"99999999999"), _wtoi(L"-99999999999"),
		_wtoi(L"none"));
	for (i = 1; i < argc; i++)
		wprintf(L"[%s]", argv[i]);
	/* The C library's own would find a stream of bytes. */
	fputws(L"\n[fputws]", stdout);
	fputwc(L'\u00e9', stdout);
	putwc(L'p', stdout);
	putwchar(L'q');
	_putws(L"_putws");
	/* A percent sign at the end. */
	wprintf(L"\n%");
	return argc;
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Names that mean the wide or the narrow function, by _UNICODE. */
#ifndef PORTKEEP_TCHAR_H
#define PORTKEEP_TCHAR_H
#pragma GCC system_header

#include "windows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#ifdef _UNICODE
#define __T(text) L##text
typedef wchar_t _TCHAR;
#define _TEOF WEOF
#define _tmain wmain
#define _tprintf wprintf
#define _ftprintf fwprintf
#define _vtprintf vwprintf
#define _vftprintf vfwprintf
#define _fputts fputws
#define _fputtc fputwc
#define _puttchar putwchar
#define _putts _putws
#define _ttoi _wtoi
#define _tcslen wcslen
#define _tcscpy wcscpy
#define _tcsncpy wcsncpy
#define _tcscat wcscat
#define _tcsncat wcsncat
#define _tcscmp wcscmp
#define _tcsncmp wcsncmp
#define _tcsicmp _wcsicmp
#define _tcsnicmp _wcsnicmp
#define _tcschr wcschr
#define _tcsrchr wcsrchr
#define _tcsstr wcsstr
#define _tcsspn wcsspn
#define _tcscspn wcscspn
#define _tcstol wcstol
#define _tcstoul wcstoul
#define _tcstod wcstod
#else
#define __T(text) text
typedef char _TCHAR;
#define _TEOF EOF
#define _tmain main
#define _tprintf printf
#define _ftprintf fprintf
#define _vtprintf vprintf
#define _vftprintf vfprintf
#define _fputts fputs
#define _fputtc fputc
#define _puttchar putchar
#define _putts puts
#define _ttoi atoi
#define _tcslen strlen
#define _tcscpy strcpy
#define _tcsncpy strncpy
#define _tcscat strcat
#define _tcsncat strncat
#define _tcscmp strcmp
#define _tcsncmp strncmp
#define _tcsicmp _stricmp
#define _tcsnicmp _strnicmp
#define _tcschr strchr
#define _tcsrchr strrchr
#define _tcsstr strstr
#define _tcsspn strspn
#define _tcscspn strcspn
#define _tcstol strtol
#define _tcstoul strtoul
#define _tcstod strtod
#endif

#define _T(text) __T(text)
#define _TEXT(text) __T(text)

#endif /* PORTKEEP_TCHAR_H */

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The types of Windows' programs, and what they use of its C library, on Linux.
 *
 * Widths are Windows': DWORD, ULONG and LONG have 32 bits. The exception is
 * WCHAR, which is the C library's wchar_t of 32 bits, so that L"..." is a string
 * of it; what is written to disk or sent as UTF-16 needs a conversion.
 */
#ifndef PORTKEEP_WINDOWS_H
#define PORTKEEP_WINDOWS_H
#pragma GCC system_header

#include "portkeep_redirect.h"

#include <stddef.h>
#include <stdint.h>

#if defined(_WCHAR_H) && defined(__USE_FORTIFY_LEVEL) && __USE_FORTIFY_LEVEL > 0
#define PORTKEEP_WCHAR_IS_INLINE
#endif
#include <features.h>
#pragma push_macro("__USE_FORTIFY_LEVEL")
#undef __USE_FORTIFY_LEVEL
#define __USE_FORTIFY_LEVEL 0
#include <stdio.h>
#include <wchar.h>
#pragma pop_macro("__USE_FORTIFY_LEVEL")

#define WINAPI
#define WSAAPI
#define CALLBACK
#define APIENTRY
#define PASCAL
#define FAR
#define CONST const

#ifndef VOID
#define VOID void
#endif
#ifndef TRUE
#define TRUE 1
#endif
#ifndef FALSE
#define FALSE 0
#endif

typedef int BOOL, *PBOOL, *LPBOOL;
typedef char CHAR, *PCHAR, *LPSTR;
typedef const char *LPCSTR, *PCSTR;
typedef unsigned char UCHAR, *PUCHAR, BYTE, *PBYTE, *LPBYTE;
typedef wchar_t WCHAR, *PWCHAR, *LPWSTR, *PWSTR;
typedef const wchar_t *LPCWSTR, *PCWSTR;
typedef int16_t SHORT, *PSHORT;
typedef uint16_t USHORT, *PUSHORT, WORD, *PWORD, *LPWORD;
typedef int INT, *PINT, *LPINT;
typedef unsigned int UINT, *PUINT;
typedef int32_t LONG, *PLONG, *LPLONG, INT32;
typedef uint32_t ULONG, *PULONG, DWORD, *PDWORD, *LPDWORD, UINT32, DWORD32;
typedef long long LONGLONG, LONG64, INT64, *PLONG64;
typedef unsigned long long ULONGLONG, ULONG64, DWORD64, UINT64, *PULONG64, *PDWORD64, *PULONGLONG;
typedef intptr_t INT_PTR, LONG_PTR;
typedef uintptr_t UINT_PTR, ULONG_PTR, *PULONG_PTR, DWORD_PTR, *PDWORD_PTR;
typedef size_t SIZE_T;
typedef void *PVOID, *LPVOID, *HANDLE, **PHANDLE, **LPHANDLE;
typedef const void *LPCVOID;
typedef int (*FARPROC)(void);

PORTKEEP_STATIC_ASSERT(sizeof(DWORD) == 4 && sizeof(ULONG) == 4 && sizeof(LONG) == 4);
PORTKEEP_STATIC_ASSERT(sizeof(USHORT) == 2 && sizeof(ULONG64) == 8);
PORTKEEP_STATIC_ASSERT(sizeof(ULONG_PTR) == sizeof(void *));

#define MAKEWORD(low, high) ((WORD)(((BYTE)(low)) | (WORD)((WORD)((BYTE)(high)) << 8)))
#define LOBYTE(word) ((BYTE)((DWORD_PTR)(word) & 0xff))
#define HIBYTE(word) ((BYTE)(((DWORD_PTR)(word) >> 8) & 0xff))

/* What functions return that tell a Windows error themselves. */
#define NO_ERROR 0
#define ERROR_SUCCESS 0
#define ERROR_ACCESS_DENIED 5
#define ERROR_INVALID_HANDLE 6
#define ERROR_NOT_ENOUGH_MEMORY 8
#define ERROR_SHARING_VIOLATION 32
#define ERROR_NOT_SUPPORTED 50
#define ERROR_INVALID_PARAMETER 87
#define ERROR_OPERATION_ABORTED 995
#define ERROR_IO_INCOMPLETE 996
#define ERROR_IO_PENDING 997
#define ERROR_NOT_FOUND 1168
#define ERROR_NO_SYSTEM_RESOURCES 1450

/* NTSTATUS, as OVERLAPPED has it. */
#define STATUS_PENDING 0x103

#define INFINITE 0xFFFFFFFF
#define INVALID_HANDLE_VALUE ((HANDLE)(LONG_PTR) - 1)
#define WAIT_OBJECT_0 0
#define WAIT_ABANDONED_0 0x80
#define WAIT_ABANDONED WAIT_ABANDONED_0
#define WAIT_IO_COMPLETION 0xC0
#define WAIT_TIMEOUT 258
#define WAIT_FAILED 0xFFFFFFFF
#define MAXIMUM_WAIT_OBJECTS 64

/* Internal is STATUS_PENDING while the operation goes on; InternalHigh the bytes transferred. */
typedef struct _OVERLAPPED {
	ULONG_PTR Internal;
	ULONG_PTR InternalHigh;
	__extension__ union {
		__extension__ struct {
			DWORD Offset;
			DWORD OffsetHigh;
		};
		PVOID Pointer;
	};
	HANDLE hEvent;
} OVERLAPPED, *LPOVERLAPPED;

PORTKEEP_STATIC_ASSERT(sizeof(OVERLAPPED) == (sizeof(void *) == 8 ? 32 : 20));
PORTKEEP_STATIC_ASSERT(offsetof(OVERLAPPED, InternalHigh) == sizeof(void *));
PORTKEEP_STATIC_ASSERT(offsetof(OVERLAPPED, Offset) == 2 * sizeof(void *));
PORTKEEP_STATIC_ASSERT(offsetof(OVERLAPPED, hEvent) == 2 * sizeof(void *) + 8);

#define HasOverlappedIoCompleted(overlapped) ((DWORD)(overlapped)->Internal != STATUS_PENDING)

PORTKEEP_BEGIN_DECLS

/* The last error of the thread: the same as WSAGetLastError's. */
DWORD WINAPI GetLastError(void);
void WINAPI SetLastError(DWORD dwErrCode);

/* The number at the start of a string; past the limits of int the nearest limit. */
int _wtoi(const wchar_t *text);

/*
 * These take Microsoft's conversions: %s and %c are wide here, %S, %C, %hs and %hc
 * narrow, %ls and %ws wide; %I64d, %I32d and %Id say their width; %ld has 32 bits,
 * as a long of Windows; %p is 16 digits (8 on 32-bit). %n writes nothing.
 *
 * They write bytes in the locale's encoding, so that a stream may also be printed
 * to with printf. printf itself and swprintf are the C library's.
 */
#ifdef PORTKEEP_WCHAR_IS_INLINE
int portkeep_winsock_wprintf(const wchar_t *format, ...);
int portkeep_winsock_fwprintf(FILE *stream, const wchar_t *format, ...);
int portkeep_winsock_vwprintf(const wchar_t *format, __builtin_va_list arguments);
int portkeep_winsock_vfwprintf(FILE *stream, const wchar_t *format, __builtin_va_list arguments);
#define wprintf portkeep_winsock_wprintf
#define fwprintf portkeep_winsock_fwprintf
#define vwprintf portkeep_winsock_vwprintf
#define vfwprintf portkeep_winsock_vfwprintf
#else
PORTKEEP_REDIRECT(wprintf);
PORTKEEP_REDIRECT(fwprintf);
PORTKEEP_REDIRECT(vwprintf);
PORTKEEP_REDIRECT(vfwprintf);
#endif

PORTKEEP_END_DECLS

/*
 * A program may have a wmain instead of a main. It gets its arguments as wide
 * strings by the locale of the environment, which is also made the program's for
 * characters (LC_CTYPE); bytes that mean nothing there become 0xDC80 to 0xDCFF,
 * and these bytes again when printed. In C++ it is one function of these.
 */
#ifdef __cplusplus
int wmain() __asm__("wmain");
int wmain(int argc, wchar_t **argv) __asm__("wmain");
int wmain(int argc, wchar_t **argv, wchar_t **envp) __asm__("wmain");
#endif

#include "synchapi.h"
#include "ioapiset.h"

#endif /* PORTKEEP_WINDOWS_H */

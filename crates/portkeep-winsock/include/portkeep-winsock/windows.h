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
#include <string.h>
#include <strings.h>

#include "sal.h"
#include "winerror.h"

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
#define WINAPIV
#define WSAAPI
#define NTAPI
#define CALLBACK
#define APIENTRY
#define PASCAL
#define FAR
#define NEAR
#define CONST const
#define IN
#define OUT
#define OPTIONAL

/* There is one calling convention here. */
#define __cdecl
#define __stdcall
#define __fastcall
#define __vectorcall
#define _cdecl
#define _stdcall

#define __int8 char
#define __int16 short
#define __int32 int
#define __int64 long long
#undef __forceinline
#define __forceinline static __inline__ __attribute__((__always_inline__))
#define FORCEINLINE __forceinline

/* What a program says in __declspec; another word does not compile. */
#undef __declspec
#define __declspec(attribute) PORTKEEP_DECLSPEC_##attribute
#define PORTKEEP_DECLSPEC_dllexport
#define PORTKEEP_DECLSPEC_dllimport
#define PORTKEEP_DECLSPEC_noreturn __attribute__((__noreturn__))
#define PORTKEEP_DECLSPEC_noinline __attribute__((__noinline__))
#define PORTKEEP_DECLSPEC_selectany __attribute__((__weak__))
#define PORTKEEP_DECLSPEC_thread __thread
#define PORTKEEP_DECLSPEC_align(bytes) __attribute__((__aligned__(bytes)))
#define DECLSPEC_ALIGN(bytes) __declspec(align(bytes))
#define DECLSPEC_NORETURN __declspec(noreturn)

#ifdef __cplusplus
#define EXTERN_C extern "C"
#else
#define EXTERN_C extern
#endif

#ifndef VOID
#define VOID void
#endif
#ifndef TRUE
#define TRUE 1
#endif
#ifndef FALSE
#define FALSE 0
#endif

PORTKEEP_WIDE_CHARACTERS;

typedef int BOOL, *PBOOL, *LPBOOL;
typedef unsigned char BOOLEAN, *PBOOLEAN;
typedef signed char INT8, *PINT8;
typedef unsigned char UINT8, *PUINT8;
typedef int16_t INT16, *PINT16;
typedef uint16_t UINT16, *PUINT16;
typedef char CHAR, *PCHAR, *LPSTR, *PSTR;
typedef const char *LPCSTR, *PCSTR;
typedef unsigned char UCHAR, *PUCHAR, BYTE, *PBYTE, *LPBYTE;
typedef wchar_t WCHAR, *PWCHAR, *LPWSTR, *PWSTR, *LPWCH;
typedef const wchar_t *LPCWSTR, *PCWSTR;
typedef int16_t SHORT, *PSHORT;
typedef uint16_t USHORT, *PUSHORT, WORD, *PWORD, *LPWORD;
typedef int INT, *PINT, *LPINT;
typedef unsigned int UINT, *PUINT;
typedef int32_t LONG, *PLONG, *LPLONG, INT32, *PINT32, LONG32, NTSTATUS;
typedef uint32_t ULONG, *PULONG, DWORD, *PDWORD, *LPDWORD, UINT32, *PUINT32, DWORD32, ULONG32;
typedef float FLOAT;
typedef long long LONGLONG, *PLONGLONG, LONG64, INT64, *PINT64, *PLONG64;
typedef unsigned long long ULONGLONG, ULONG64, DWORD64, UINT64, *PUINT64, *PULONG64, *PDWORD64,
	*PULONGLONG, DWORDLONG;
typedef intptr_t INT_PTR, LONG_PTR;
typedef uintptr_t UINT_PTR, ULONG_PTR, *PULONG_PTR, DWORD_PTR, *PDWORD_PTR;
typedef size_t SIZE_T, *PSIZE_T;
typedef intptr_t SSIZE_T;
typedef void *PVOID, *LPVOID, *HANDLE, **PHANDLE, **LPHANDLE;
typedef const void *LPCVOID;
typedef HANDLE HLOCAL, HGLOBAL, HINSTANCE, HMODULE;
typedef int (*FARPROC)(void);

#ifdef UNICODE
typedef WCHAR TCHAR, *PTCHAR, *LPTSTR, *PTSTR;
typedef const WCHAR *LPCTSTR, *PCTSTR;
#define __TEXT(text) L##text
#else
typedef char TCHAR, *PTCHAR, *LPTSTR, *PTSTR;
typedef const char *LPCTSTR, *PCTSTR;
#define __TEXT(text) text
#endif
#define TEXT(text) __TEXT(text)

typedef struct _GUID {
	DWORD Data1;
	WORD Data2;
	WORD Data3;
	BYTE Data4[8];
} GUID, *LPGUID;

typedef union _LARGE_INTEGER {
	__extension__ struct {
		DWORD LowPart;
		LONG HighPart;
	};
	struct {
		DWORD LowPart;
		LONG HighPart;
	} u;
	LONGLONG QuadPart;
} LARGE_INTEGER, *PLARGE_INTEGER;

typedef union _ULARGE_INTEGER {
	__extension__ struct {
		DWORD LowPart;
		DWORD HighPart;
	};
	struct {
		DWORD LowPart;
		DWORD HighPart;
	} u;
	ULONGLONG QuadPart;
} ULARGE_INTEGER, *PULARGE_INTEGER;

PORTKEEP_STATIC_ASSERT(sizeof(DWORD) == 4 && sizeof(ULONG) == 4 && sizeof(LONG) == 4);
PORTKEEP_STATIC_ASSERT(sizeof(USHORT) == 2 && sizeof(ULONG64) == 8);
PORTKEEP_STATIC_ASSERT(sizeof(ULONG_PTR) == sizeof(void *));

#define MAKEWORD(low, high) ((WORD)(((BYTE)(low)) | (WORD)((WORD)((BYTE)(high)) << 8)))
#define LOBYTE(word) ((BYTE)((DWORD_PTR)(word) & 0xff))
#define HIBYTE(word) ((BYTE)(((DWORD_PTR)(word) >> 8) & 0xff))

#define MAKELONG(low, high) ((LONG)(((WORD)(low)) | ((DWORD)((WORD)(high))) << 16))
#define LOWORD(number) ((WORD)((DWORD_PTR)(number) & 0xffff))
#define HIWORD(number) ((WORD)(((DWORD_PTR)(number) >> 16) & 0xffff))

#define ARRAYSIZE(array) (sizeof(array) / sizeof((array)[0]))
#define _countof(array) ARRAYSIZE(array)
#define UNREFERENCED_PARAMETER(parameter) ((void)(parameter))
#define DBG_UNREFERENCED_PARAMETER(parameter) ((void)(parameter))
#define UNREFERENCED_LOCAL_VARIABLE(variable) ((void)(variable))
#define FIELD_OFFSET(type, field) ((LONG)offsetof(type, field))
#define CONTAINING_RECORD(address, type, field) ((type *)((PCHAR)(address) - offsetof(type, field)))
#define C_ASSERT(condition) PORTKEEP_STATIC_ASSERT(condition)

#define CopyMemory(to, from, length) memcpy((to), (from), (length))
#define MoveMemory(to, from, length) memmove((to), (from), (length))
#define FillMemory(to, length, fill) memset((to), (fill), (length))
#define ZeroMemory(to, length) memset((to), 0, (length))
#define EqualMemory(one, other, length) (!memcmp((one), (other), (length)))
#define RtlCopyMemory CopyMemory
#define RtlMoveMemory MoveMemory
#define RtlFillMemory FillMemory
#define RtlZeroMemory ZeroMemory
#define RtlEqualMemory EqualMemory
#define RtlSecureZeroMemory SecureZeroMemory

/* Not left out by the compiler, although nobody may read what it writes. */
__extension__ static __inline__ PVOID SecureZeroMemory(PVOID to, SIZE_T length)
{
	memset(to, 0, length);
	__asm__ __volatile__("" : : "r"(to) : "memory");
	return to;
}

#define _stricmp strcasecmp
#define _strnicmp strncasecmp
#define _wcsicmp wcscasecmp
#define _wcsnicmp wcsncasecmp

/* NTSTATUS, as OVERLAPPED has it. */
#define STATUS_SUCCESS 0
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

/* The number at the start of a string; past the limits of int the nearest limit. */
int _wtoi(const wchar_t *text);

/*
 * These take Microsoft's conversions: %s and %c are wide here, %S, %C, %hs and %hc
 * narrow, %ls and %ws wide; %I64d, %I32d and %Id say their width; %ld has 32 bits,
 * as a long of Windows; %p is 16 digits (8 on 32-bit). %n writes nothing.
 *
 * They write bytes in the locale's encoding, so that a stream may also be printed
 * to with printf, as may those that put characters and strings. printf itself and
 * swprintf are the C library's; so is std::wcout, which prints nothing to a stream
 * that one of these has printed to.
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
#if !defined(__USE_ISOC99) && !defined(__USE_UNIX98)
/* A strict mode leaves them out. */
int wprintf(const wchar_t *format, ...);
int fwprintf(FILE *stream, const wchar_t *format, ...);
int vwprintf(const wchar_t *format, __builtin_va_list arguments);
int vfwprintf(FILE *stream, const wchar_t *format, __builtin_va_list arguments);
#endif
PORTKEEP_REDIRECT(wprintf);
PORTKEEP_REDIRECT(fwprintf);
PORTKEEP_REDIRECT(vwprintf);
PORTKEEP_REDIRECT(vfwprintf);
#endif

/* The C library's would fail after them, for the stream is one of bytes then. */
#undef putwc
#undef putwchar
PORTKEEP_REDIRECT(fputws);
PORTKEEP_REDIRECT(fputwc);
PORTKEEP_REDIRECT(putwc);
PORTKEEP_REDIRECT(putwchar);
/* With a line break behind it. */
int _putws(const wchar_t *text);

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
#include "winbase.h"
#include "ioapiset.h"

#endif /* PORTKEEP_WINDOWS_H */

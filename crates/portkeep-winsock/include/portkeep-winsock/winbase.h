/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The last error, its text, and the memory that the text is in. */
#ifndef PORTKEEP_WINBASE_H
#define PORTKEEP_WINBASE_H
#pragma GCC system_header

#include "windows.h"

#define FORMAT_MESSAGE_MAX_WIDTH_MASK 0x000000FF
#define FORMAT_MESSAGE_ALLOCATE_BUFFER 0x00000100
#define FORMAT_MESSAGE_IGNORE_INSERTS 0x00000200
#define FORMAT_MESSAGE_FROM_STRING 0x00000400
#define FORMAT_MESSAGE_FROM_HMODULE 0x00000800
#define FORMAT_MESSAGE_FROM_SYSTEM 0x00001000
#define FORMAT_MESSAGE_ARGUMENT_ARRAY 0x00002000

#define LANG_NEUTRAL 0x00
#define LANG_ENGLISH 0x09
#define SUBLANG_NEUTRAL 0x00
#define SUBLANG_DEFAULT 0x01
#define SUBLANG_ENGLISH_US 0x01
#define MAKELANGID(language, sub) ((((WORD)(sub)) << 10) | (WORD)(language))

PORTKEEP_BEGIN_DECLS

/* The last error of the thread: the same as WSAGetLastError's. */
DWORD WINAPI GetLastError(void);
void WINAPI SetLastError(DWORD dwErrCode);

/*
 * The text of an error code that these headers name, in English; the other codes
 * are ERROR_MR_MID_NOT_FOUND. It takes FORMAT_MESSAGE_FROM_SYSTEM, with
 * ALLOCATE_BUFFER, IGNORE_INSERTS and MAX_WIDTH_MASK (no line breaks); texts of
 * the program's own (FROM_STRING, FROM_HMODULE) are ERROR_INVALID_PARAMETER.
 */
DWORD WINAPI FormatMessageA(DWORD dwFlags, LPCVOID lpSource, DWORD dwMessageId, DWORD dwLanguageId,
			    LPSTR lpBuffer, DWORD nSize, __builtin_va_list *Arguments);
DWORD WINAPI FormatMessageW(DWORD dwFlags, LPCVOID lpSource, DWORD dwMessageId, DWORD dwLanguageId,
			    LPWSTR lpBuffer, DWORD nSize, __builtin_va_list *Arguments);
#ifdef UNICODE
#define FormatMessage FormatMessageW
#else
#define FormatMessage FormatMessageA
#endif
/* Frees what FormatMessage allocated. */
HLOCAL WINAPI LocalFree(HLOCAL hMem);

PORTKEEP_END_DECLS

#endif /* PORTKEEP_WINBASE_H */

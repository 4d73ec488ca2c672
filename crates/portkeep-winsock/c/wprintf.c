/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Wide output with Microsoft's conversions, in bytes of the locale. */
#define _GNU_SOURCE
#include "format.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Which character an undecodable byte of an argument was made by wmain.c. */
#define IS_RAW_BYTE(c) ((unsigned int)(c) >= 0xDC80 && (unsigned int)(c) <= 0xDCFF)

static void put_character(FILE *stream, wchar_t character, mbstate_t *state)
{
	char bytes[MB_LEN_MAX];
	size_t length;

	if (IS_RAW_BYTE(character)) {
		putc_unlocked(character & 0xFF, stream);
		return;
	}
	length = wcrtomb(bytes, character, state);
	if (length == (size_t)-1) {
		/* As Windows where the code page lacks the character. */
		memset(state, 0, sizeof(*state));
		putc_unlocked('?', stream);
		return;
	}
	fwrite_unlocked(bytes, 1, length, stream);
}

/* A stream that is a wide one already stays so. */
static int put_text(FILE *stream, const wchar_t *text, size_t length)
{
	mbstate_t state;
	size_t i;
	int wide, failed;

	if (length > INT_MAX) {
		errno = EOVERFLOW;
		return -1;
	}
	memset(&state, 0, sizeof(state));
	flockfile(stream);
	wide = fwide(stream, 0) > 0;
	for (i = 0; i < length; i++) {
		if (wide)
			fputwc_unlocked(text[i], stream);
		else
			put_character(stream, text[i], &state);
	}
	failed = ferror_unlocked(stream);
	funlockfile(stream);
	return failed ? -1 : (int)length;
}

int portkeep_winsock_fputws(const wchar_t *text, FILE *stream)
{
	return put_text(stream, text, wcslen(text)) < 0 ? EOF : 0;
}

wint_t portkeep_winsock_fputwc(wchar_t character, FILE *stream)
{
	return put_text(stream, &character, 1) < 0 ? WEOF : (wint_t)character;
}

wint_t portkeep_winsock_putwc(wchar_t character, FILE *stream)
{
	return portkeep_winsock_fputwc(character, stream);
}

wint_t portkeep_winsock_putwchar(wchar_t character)
{
	return portkeep_winsock_fputwc(character, stdout);
}

int _putws(const wchar_t *text)
{
	if (portkeep_winsock_fputws(text, stdout) < 0)
		return WEOF;
	return portkeep_winsock_fputwc(L'\n', stdout) == WEOF ? WEOF : 0;
}

int portkeep_winsock_vfwprintf(FILE *stream, const wchar_t *format, va_list arguments)
{
	wchar_t *converted = portkeep_winsock_format(format), *text = NULL;
	size_t length = 0;
	FILE *memory;
	int result = -1;

	if (!converted)
		return -1;
	memory = open_wmemstream(&text, &length);
	if (memory) {
		result = vfwprintf(memory, converted, arguments);
		if (fclose(memory))
			result = -1;
	}
	if (result >= 0)
		result = put_text(stream, text, length);
	free(text);
	free(converted);
	return result;
}

int portkeep_winsock_vwprintf(const wchar_t *format, va_list arguments)
{
	return portkeep_winsock_vfwprintf(stdout, format, arguments);
}

int portkeep_winsock_wprintf(const wchar_t *format, ...)
{
	va_list arguments;
	int result;

	va_start(arguments, format);
	result = portkeep_winsock_vfwprintf(stdout, format, arguments);
	va_end(arguments);
	return result;
}

int portkeep_winsock_fwprintf(FILE *stream, const wchar_t *format, ...)
{
	va_list arguments;
	int result;

	va_start(arguments, format);
	result = portkeep_winsock_vfwprintf(stream, format, arguments);
	va_end(arguments);
	return result;
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * From Microsoft's conversions to the C library's.
 * https://learn.microsoft.com/cpp/c-runtime-library/format-specification-syntax-printf-and-wprintf-functions
 */
#include "format.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* "%p" becomes "%.16llX". */
enum {
	LONGEST = sizeof("%.16llX") - 1
};

enum size {
	PLAIN,
	CHAR,
	SHORT,
	LONG,
	LONG_LONG,
	LONG_DOUBLE,
	POINTER,
	WIDE
};

static const struct {
	const wchar_t *prefix;
	enum size size;
} sizes[] = {
	/* The longer one first where one begins with the other. */
	{ L"I64", LONG_LONG }, { L"I32", PLAIN },    { L"I", POINTER }, { L"hh", CHAR },
	{ L"h", SHORT },       { L"ll", LONG_LONG }, { L"l", LONG },	{ L"L", LONG_DOUBLE },
	{ L"j", LONG_LONG },   { L"z", POINTER },    { L"t", POINTER }, { L"w", WIDE },
};

static enum size take_size(const wchar_t **format)
{
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		size_t length = wcslen(sizes[i].prefix);

		if (!wcsncmp(*format, sizes[i].prefix, length)) {
			*format += length;
			return sizes[i].size;
		}
	}
	return PLAIN;
}

static wchar_t *put(wchar_t *to, const wchar_t *text)
{
	wcscpy(to, text);
	return to + wcslen(text);
}

/* A number of Windows: its long has 32 bits, whatever this machine's has. */
static wchar_t *put_integer_size(wchar_t *to, enum size size)
{
	switch (size) {
	case CHAR:
		return put(to, L"hh");
	case SHORT:
		return put(to, L"h");
	case LONG_LONG:
		return put(to, L"ll");
	case POINTER:
		return put(to, L"z");
	default:
		return to;
	}
}

/* All digits in capitals, and no 0x. */
static wchar_t *put_pointer(wchar_t *to, bool has_precision)
{
	if (!has_precision)
		to = put(to, sizeof(void *) == 8 ? L".16" : L".8");
	return put(to, sizeof(void *) == 8 ? L"llX" : L"X");
}

/* One conversion, `*format` behind the percent sign and `to` behind its copy. */
static wchar_t *convert(wchar_t *to, const wchar_t **format)
{
	wchar_t *percent = to - 1;
	bool has_precision = false;
	enum size size;
	wchar_t type;

	for (; **format && wcschr(L"-+ #0123456789.*", **format); (*format)++) {
		has_precision |= **format == L'.';
		*to++ = **format;
	}
	size = take_size(format);
	type = **format;
	if (!type)
		return percent;
	(*format)++;
	switch (type) {
	case L'd':
	case L'i':
	case L'o':
	case L'u':
	case L'x':
	case L'X':
		to = put_integer_size(to, size);
		break;
	case L's':
	case L'c':
		to = put(to, size == SHORT ? L"" : L"l");
		break;
	case L'S':
	case L'C':
		to = put(to, size == LONG || size == WIDE ? L"l" : L"");
		type += L'a' - L'A';
		break;
	case L'a':
	case L'A':
	case L'e':
	case L'E':
	case L'f':
	case L'F':
	case L'g':
	case L'G':
		to = put(to, size == LONG_DOUBLE ? L"L" : L"");
		break;
	case L'p':
		return put_pointer(to, has_precision);
	case L'n':
		/* Takes its argument, and writes nothing there, as Windows does by default. */
		return put(percent, L"%.0ls");
	case L'%':
		return put(percent, L"%%");
	default:
		/* No conversion: the character stands for itself. */
		to = percent;
	}
	*to++ = type;
	return to;
}

wchar_t *portkeep_winsock_format(const wchar_t *format)
{
	size_t length = wcslen(format);
	wchar_t *converted, *to;

	if (length > SIZE_MAX / (LONGEST * sizeof(wchar_t)) - 1)
		return NULL;
	converted = malloc((length * LONGEST + 1) * sizeof(wchar_t));
	if (!converted)
		return NULL;
	to = converted;
	while (*format) {
		*to++ = *format++;
		if (to[-1] == L'%')
			to = convert(to, &format);
	}
	*to = L'\0';
	return converted;
}

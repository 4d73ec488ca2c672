/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The main of programs that have a wmain. It is linked from an archive only into
 * programs that lack a main of their own.
 */
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

/* A program whose wmain takes less ignores the rest. */
int wmain(int argc, wchar_t **argv, wchar_t **envp);

static wchar_t *widen(const char *text)
{
	size_t left = strlen(text);
	wchar_t *wide = malloc((left + 1) * sizeof(wchar_t)), *to = wide;
	mbstate_t state;

	if (!wide)
		abort();
	memset(&state, 0, sizeof(state));
	while (left) {
		size_t length = mbrtowc(to, text, left, &state);

		if (length == (size_t)-1 || length == (size_t)-2) {
			/* No character here: a code that wprintf turns back into the byte. */
			memset(&state, 0, sizeof(state));
			*to = 0xDC00 + (unsigned char)*text;
			length = 1;
		}
		to++;
		text += length;
		left -= length;
	}
	*to = L'\0';
	return wide;
}

static wchar_t **widen_all(char **texts)
{
	size_t count = 0, i;
	wchar_t **wide;

	while (texts[count])
		count++;
	wide = malloc((count + 1) * sizeof(*wide));
	if (!wide)
		abort();
	for (i = 0; i < count; i++)
		wide[i] = widen(texts[i]);
	wide[count] = NULL;
	return wide;
}

int main(int argc, char **argv, char **envp)
{
	setlocale(LC_CTYPE, "");
	return wmain(argc, widen_all(argv), widen_all(envp));
}

/* SPDX-License-Identifier: GPL-2.0 */
/* The fuzzer's bytes, which say what happens, and the end if something is not so. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdint.h>
#include <stdio.h>

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static const uint8_t *input, *input_end;

static __u32 byte(void)
{
	return input < input_end ? *input++ : 0;
}

#endif /* FUZZ_INPUT_H */

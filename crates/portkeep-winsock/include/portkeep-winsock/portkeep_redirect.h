/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * How functions of the C library that Windows has too become this library's.
 *
 * PORTKEEP_REDIRECT(f) keeps the declaration of f and gives it the symbol
 * portkeep_winsock_f, so that what includes these headers calls that one, and
 * everything else of the process the C library's. Before it come the headers
 * that declare f, between PORTKEEP_PLAIN_BEGIN and PORTKEEP_PLAIN_END:
 * _FORTIFY_SOURCE would make some of them inline functions, which have no
 * symbol to change.
 */
#ifndef PORTKEEP_REDIRECT_H
#define PORTKEEP_REDIRECT_H
#pragma GCC system_header

#include <stddef.h>

#if !defined(__linux__)
#error "portkeep-winsock is for Linux: Windows has these headers itself"
#endif

#ifdef __cplusplus
#define PORTKEEP_BEGIN_DECLS extern "C" {
#define PORTKEEP_END_DECLS }
#define PORTKEEP_STATIC_ASSERT(condition) static_assert(condition, #condition)
#else
#define PORTKEEP_BEGIN_DECLS
#define PORTKEEP_END_DECLS
#define PORTKEEP_STATIC_ASSERT(condition) __extension__ _Static_assert(condition, #condition)
#endif

/* With -fshort-wchar the C library's wide functions take the program's strings for others. */
#define PORTKEEP_WIDE_CHARACTERS PORTKEEP_STATIC_ASSERT(sizeof(wchar_t) == 4)

#define PORTKEEP_REDIRECT(function)                                                                \
	extern __typeof__(function) function __asm__("portkeep_winsock_" #function)

#endif /* PORTKEEP_REDIRECT_H */

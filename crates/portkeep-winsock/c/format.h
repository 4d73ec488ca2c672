/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Microsoft's formats for wide output, in the C library's words. */
#ifndef FORMAT_H
#define FORMAT_H

#include <wchar.h>

/* A format that means to glibc what `format` means to Microsoft's; to be freed, or NULL. */
wchar_t *portkeep_winsock_format(const wchar_t *format);

#endif /* FORMAT_H */

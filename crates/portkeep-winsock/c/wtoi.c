/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <limits.h>
#include <wchar.h>

int _wtoi(const wchar_t *text)
{
	long long number = text ? wcstoll(text, NULL, 10) : 0;

	return number < INT_MIN ? INT_MIN : number > INT_MAX ? INT_MAX : (int)number;
}

/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/*
 * Narrows an expression of query_build(), "a" OR "b" OR "c", to the rows that have one of the terms
 * with a bit in `telling`: ("a" OR "c") AND ("a" OR "b" OR "c"). FTS5 numbers the terms as they
 * come here: *ret_first is the number of the first one of the second part, which has all of them.
 * NULL: out of memory. For free().
 */
char *narrow(const char *expression, uint64_t telling, int *ret_first);

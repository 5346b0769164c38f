/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "schema.h"

/* The end of the term at the beginning of an expression of query_build(), and the next term, or
 * NULL after the last. */
const char *term_end(const char *term);
const char *term_next(const char *end);

/*
 * Narrows an expression of query_build(), "a" OR "b" OR "c", to the rows that have one of the terms
 * with a bit in `telling`, and to the terms with a bit in `counting`, which has those, too:
 * ("a") AND ("a" OR "b"). FTS5 numbers the terms as they come here: ret_numbers[i] is the number by
 * which a row that has the i-th term is known, or -1. NULL: out of memory. For free().
 */
char *narrow(const char *expression, uint64_t telling, uint64_t counting,
             int8_t ret_numbers[static SCHEMA_TERMS_MAX]);

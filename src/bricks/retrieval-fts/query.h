/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/*
 * Converts any text to an FTS5 expression that matches a passage with at least one of its terms. A
 * term is a word, or a pair of adjacent characters of a script without spaces. Only the first
 * SCHEMA_TERMS_MAX distinct terms count. 0; QUERY_E_EMPTY: there is no term; -ENOMEM.
 */
enum { QUERY_E_EMPTY = 1 };

int query_build(const char *text, size_t n, char **ret);

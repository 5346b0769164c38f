/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/*
 * Turns plain text, whatever is in it, into an FTS5 expression that matches a passage with any of
 * its terms. A term is a word, or a pair of neighbouring characters of a script without spaces. The
 * first SCHEMA_TERMS_MAX distinct terms count. 0, QUERY_E_EMPTY if there is no term, or -ENOMEM.
 */
enum { QUERY_E_EMPTY = 1 };

int query_build(const char *text, size_t n, char **ret);

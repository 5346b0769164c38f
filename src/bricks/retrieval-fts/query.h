/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/*
 * Converts any text to an FTS5 expression that matches a passage with at least one of its terms. A
 * term is a token of the index, or several that stand together in the text, as the parts of a path
 * do: these count in addition, as a phrase. The parts of a word that the index has as a whole, like
 * getUserName, do not count. Of a question's function words ("how", "is", "the")
 * none counts if there are other words. Only SCHEMA_TERMS_MAX distinct terms count: of more, the
 * rarest in the index; without a vocabulary, the first. 0; QUERY_E_EMPTY: there is no term;
 * -ENOMEM.
 */
enum { QUERY_E_EMPTY = 1 };

struct vocabulary;

int query_build(const char *text, size_t n, struct vocabulary *vocabulary, char **ret);

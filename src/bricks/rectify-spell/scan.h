/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The parts of a text that may be corrected: words, and runs of Chinese characters. Left out is
 * what is not prose of the text's own: code (Markdown's fences, spans and indented lines, lines
 * that end like code), tags, quotations, URLs, addresses, paths, identifiers, and anything with a
 * digit or a letter of another script.
 */

#include <stdbool.h>
#include <stddef.h>

struct scan {
        const char *text; /* UTF-8 */
        size_t length;
        size_t at;
        size_t chunk;    /* the end of a chunk in which words are looked for */
        size_t unclosed; /* marks of quotations and tags so far that nothing closes */
};

struct token {
        size_t start, length;
        bool han; /* else a word of Latin letters, with apostrophes in it */
};

struct scan scan_of(const char *text, size_t length);

/* false: there are no more. */
bool scan_next(struct scan *scan, struct token *ret);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A text that grows, decoded from strings of JSON. It is always UTF-8 without NUL: what is no
 * character becomes U+FFFD.
 */

#include "scan.h"

/* Zero-initialize it. */
struct text {
        char *p; /* NUL-terminated; NULL: nothing has been added yet */
        size_t n, size;

        /* The beginning of a character whose rest may come with the next string: bytes of UTF-8, or
         * the first half of a surrogate pair. */
        char cut[8];
        size_t n_cut;
};

/* Adds a string; ignores any other value. 0 or -ENOMEM. */
int text_add(struct text *text, struct scan string);

/* Adds bytes that are not JSON. */
int text_add_bytes(struct text *text, const char *bytes, size_t n);

/* No string follows: the beginning of a character becomes U+FFFD. */
int text_end(struct text *text);

/* Empties the text, but keeps the beginning of a character. */
void text_clear(struct text *text);

void text_done(struct text *text);

/* Copies a string, cut between two characters. False: it is not a string, and `to` is empty. */
bool text_copy(char *to, size_t size, struct scan string);

/* Copies what is UTF-8 already, cut between two characters. */
void text_cut(char *to, size_t size, const char *from);

/* SPDX-License-Identifier: MIT */
#pragma once

/* Reads text of any character set as UTF-8. */

#include <stddef.h>

enum { CHARSET_E_BINARY = 1 };

struct charset_text {
        char *text; /* valid UTF-8, without byte order mark and NUL */
        size_t n;
        char note[128]; /* what the user should know, for example that the set was guessed; or "" */
};

void charset_text_done(struct charset_text *t);

/*
 * The character set is told by a byte order mark, by the text itself if it is UTF-8, or by a
 * declaration at its beginning (HTML, XML, coding: of editors). Otherwise it is guessed. What
 * cannot be converted becomes U+FFFD. 0, CHARSET_E_BINARY, or -ENOMEM.
 */
int charset_decode(const char *data, size_t n, struct charset_text *ret);

/* The likely set of text that is not UTF-8, as a name for iconv_open(). */
const char *charset_guess(const char *data, size_t n);

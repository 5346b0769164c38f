/* SPDX-License-Identifier: MIT */
#pragma once

/* Addresses of web pages in a text, which bricks leave as they are. */

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* Whether a character of two bytes or more ends an address: punctuation of U+2000 to U+206F and
 * U+3000 to U+303F, and full-width forms. */
static inline bool web_address_ends(const unsigned char *s)
{
        return (s[0] == 0xe2 && s[1] < 0x82) || (s[0] == 0xe3 && s[1] == 0x80) ||
               (s[0] == 0xef && s[1] >= 0xbc);
}

/* Bytes of what a web address begins with; 0: none does. */
static inline size_t web_address_start(const char *text, size_t length)
{
        static const char *const starts[] = { "https://", "http://", "ftp://", "www." };

        for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
                size_t n = strlen(starts[i]);

                if (n <= length && strncasecmp(text, starts[i], n) == 0)
                        return n;
        }
        return 0;
}

/*
 * The bytes of the web address that a text in UTF-8 begins with; 0: none. Chinese, Japanese or
 * Korean may follow an address without a space: directly behind a letter or digit of ASCII it is
 * not part of the address, behind a mark such as / or = it is.
 */
static inline size_t web_address(const char *text, size_t length)
{
        const unsigned char *s = (const unsigned char *)text;
        size_t n = web_address_start(text, length);
        bool mark = true; /* the byte before is no letter or digit of ASCII */

        for (; n > 0 && n < length && !strchr(" \t\r\n\"<>`|", text[n]); n++) {
                if (s[n] >= 0xe2 && n + 1 < length &&
                    (web_address_ends(s + n) || (s[n] >= 0xe3 && !mark)))
                        break;
                mark = !((s[n] | 0x20) >= 'a' && (s[n] | 0x20) <= 'z') &&
                       !(s[n] >= '0' && s[n] <= '9');
        }
        return n;
}

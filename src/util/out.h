/* SPDX-License-Identifier: MIT */
#pragma once

/* Builds a text in a buffer of the caller, for code in which printf() would be too slow. A piece
 * that does not fit is omitted as a whole. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct out {
        char *next;
        char *end;
};

static inline void out_put(struct out *out, const char *s, size_t n)
{
        if (n > (size_t)(out->end - out->next))
                return;
        memcpy(out->next, s, n);
        out->next += n;
}

static inline void out_string(struct out *out, const char *s)
{
        out_put(out, s, strlen(s));
}

/* Append a number in decimal. */
void out_number(struct out *out, uint64_t number);
void out_signed(struct out *out, int64_t number);

/* Appends a JSON string with its quotes. Control characters (utf8_is_control()) are escaped, and
 * \\ufffd replaces each byte that is not UTF-8. A byte takes at most six bytes. */
void out_json(struct out *out, const char *s, size_t n);

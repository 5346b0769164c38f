/* SPDX-License-Identifier: MIT */
#pragma once

/* Builds text in a buffer of the caller, where printf() would be too slow. A piece that does not
 * fit is left out as a whole. */

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

/* In decimal. */
void out_number(struct out *out, uint64_t number);
void out_signed(struct out *out, int64_t number);

/* A JSON string with its quotes. What is not UTF-8 becomes U+FFFD, which takes most of all: six
 * bytes for one. */
void out_json(struct out *out, const char *s, size_t n);

/* SPDX-License-Identifier: MIT */
#include "util/json-write.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/arena.h"

#define FIRST_SIZE 256

/* False: the arena is full. */
static bool grow(struct json_text *text, size_t need)
{
        size_t size = text->size > 0 ? 2 * text->size : FIRST_SIZE;
        char *bytes;

        /* Behind a long piece, what usually follows is short. */
        if (size - text->length < need)
                size = text->length + need + need / 16 + FIRST_SIZE;
        bytes = arena_alloc(text->arena, size, 1);
        if (!bytes) {
                text->failed = true;
                text->length = text->size = 0;
                return false;
        }
        if (text->length > 0)
                memcpy(bytes, text->bytes, text->length);
        text->bytes = bytes;
        text->size = size;
        return true;
}

void json_reserve(struct json_text *text, size_t size)
{
        if (!text->failed && text->size - text->length < size)
                (void)grow(text, size);
}

void json_put(struct json_text *text, const char *s, size_t length)
{
        json_reserve(text, length);
        if (text->failed)
                return;
        if (length > 0)
                memcpy(text->bytes + text->length, s, length);
        text->length += length;
}

void json_puts(struct json_text *text, const char *s)
{
        json_put(text, s, strlen(s));
}

static void put_escape(struct json_text *text, unsigned char c)
{
        static const char names[] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
                                      ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\' };
        static const char hex[] = "0123456789abcdef";
        char escape[6] = "\\u00";

        if (c < sizeof names && names[c]) {
                escape[0] = '\\';
                escape[1] = names[c];
                json_put(text, escape, 2);
        } else {
                escape[4] = hex[c >> 4];
                escape[5] = hex[c & 15];
                json_put(text, escape, 6);
        }
}

void json_put_string(struct json_text *text, const char *s, size_t length)
{
        size_t begin = 0;

        if (!s) {
                json_puts(text, "null");
                return;
        }
        json_put(text, "\"", 1);
        for (size_t i = 0; i < length; i++) {
                unsigned char c = (unsigned char)s[i];

                if (c >= 0x20 && c != '"' && c != '\\')
                        continue;
                json_put(text, s + begin, i - begin);
                put_escape(text, c);
                begin = i + 1;
        }
        json_put(text, s + begin, length - begin);
        json_put(text, "\"", 1);
}

void json_puts_string(struct json_text *text, const char *s)
{
        json_put_string(text, s, s ? strlen(s) : 0);
}

void json_put_integer(struct json_text *text, int64_t number)
{
        char digits[24];

        json_put(text, digits, (size_t)snprintf(digits, sizeof digits, "%" PRId64, number));
}

void json_put_double(struct json_text *text, double number)
{
        char digits[40];
        int n = 0;

        if (!isfinite(number)) {
                json_puts(text, "null");
                return;
        }
        for (int precision = 15; precision <= 17; precision++) {
                n = snprintf(digits, sizeof digits, "%.*g", precision, number);
                if (strtod(digits, NULL) == number)
                        break;
        }
        json_put(text, digits, (size_t)n);
}

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A text in an arena that grows as it is written, with the escapes of JSON. When the arena is full,
 * the text is empty from then on, and `failed` says so: the caller checks once, at the end.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

struct json_text {
        struct arena *arena;
        char *bytes;
        size_t length;
        size_t size;
        bool failed;
};

static inline struct json_text json_text(struct arena *arena)
{
        return (struct json_text){ .arena = arena };
}

/* Makes room for so many more bytes. */
void json_reserve(struct json_text *text, size_t size);

void json_put(struct json_text *text, const char *s, size_t length);
void json_puts(struct json_text *text, const char *s);

/* A string with its quotes; NULL: null. s is valid UTF-8. */
void json_put_string(struct json_text *text, const char *s, size_t length);
void json_puts_string(struct json_text *text, const char *s);

void json_put_integer(struct json_text *text, int64_t number);

/* The shortest form that reads as the same number; null for what JSON has no number for. */
void json_put_double(struct json_text *text, double number);

/* SPDX-License-Identifier: MIT */
#pragma once

/* Writes JSON. Only the end has to be checked: `failed` stays set. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialize it; `p` is for free(). */
struct writer {
        char *p; /* not NUL-terminated */
        size_t n, size;
        bool failed; /* out of memory */
};

void writer_add(struct writer *writer, const char *json, size_t n);
void writer_puts(struct writer *writer, const char *json);
void writer_string(struct writer *writer, const char *text);
void writer_int(struct writer *writer, int64_t number);
/* A finite number, with as many digits as it needs. */
void writer_number(struct writer *writer, double number);

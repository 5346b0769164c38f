/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The text of a file: what a reader of the rendered page would see, near enough to be searched and
 * quoted. Text and title are valid UTF-8.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scope.h"

enum { EXTRACT_E_BINARY = 1 };

struct extract {
        char *text;
        size_t n;
        char title[256];   /* empty: the file says none */
        char language[16]; /* likewise */
};

void extract_done(struct extract *e);

/* name is the file's, without a .gz at its end. 0, EXTRACT_E_BINARY, or -ENOMEM. */
int extract(const char *name, const char *data, size_t n, struct extract *ret);

/*
 * For the formats. Text without markup is shorter than with it, so there is room for twice the size
 * of the file, and what exceeds even that is dropped. The input is valid UTF-8 without NUL.
 */
struct extract_out {
        char *text;
        size_t n;
        size_t size;
};

void extract_put(struct extract_out *out, const char *s, size_t n);
void extract_put_char(struct extract_out *out, uint32_t c);

/* Ends what is there with one newline, or with an empty line; does nothing at the start. */
void extract_break(struct extract_out *out, bool paragraph);

/* Sets the title to the beginning of s, white space collapsed. */
void extract_title(struct extract *e, const char *s, size_t n);

bool man_is(const char *data, size_t n);
void man_extract(const char *name, const char *data, size_t n, struct extract *e,
                 struct extract_out *out);
void html_extract(const char *data, size_t n, struct extract *e, struct extract_out *out);

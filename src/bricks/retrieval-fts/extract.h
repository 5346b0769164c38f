/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Extracts the text of a file: approximately what a reader sees on the rendered page, for searching
 * and quoting. Text and title are valid UTF-8.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scope.h"

enum { EXTRACT_E_BINARY = 1 };

struct extract {
        char *text;
        size_t n;
        char title[256];   /* "": the file has none */
        char language[16]; /* "": the file has none */
};

void extract_done(struct extract *e);

/* name: the name of the file without .gz. 0, EXTRACT_E_BINARY, or -ENOMEM. */
int extract(const char *name, const char *data, size_t n, struct extract *ret);

/*
 * The output of the extractors. There is room for twice the size of the file, because text is
 * usually shorter than its markup; more text is dropped. The input is valid UTF-8 without NUL.
 */
struct extract_out {
        char *text;
        size_t n;
        size_t size;
};

void extract_put(struct extract_out *out, const char *s, size_t n);
void extract_put_char(struct extract_out *out, uint32_t c);

/* Ends the output with a newline, or with an empty line. Does nothing at the start. */
void extract_break(struct extract_out *out, bool paragraph);

/* Sets the title to the beginning of s, white space collapsed. */
void extract_title(struct extract *e, const char *s, size_t n);

bool man_is(const char *data, size_t n);
void man_extract(const char *name, const char *data, size_t n, struct extract *e,
                 struct extract_out *out);
void html_extract(const char *data, size_t n, struct extract *e, struct extract_out *out);

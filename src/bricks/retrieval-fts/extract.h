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

/* The largest file of a format that is unpacked, like PDF, in bytes. */
#define EXTRACT_PACKED_MAX (64 << 20)

enum {
        EXTRACT_E_SKIPPED = 1, /* note has the reason */
        EXTRACT_E_AGAIN,       /* the same, but it may be read with other options or programs */
};

struct extract {
        char *text;
        size_t n;
        char title[256];   /* "": the file has none */
        char language[16]; /* "": the file has none */
        char note[160];    /* what the user should know about the file; or "" */
};

void extract_done(struct extract *e);

/* True: a file that starts with this is of a format that is unpacked. */
bool extract_is_packed(const char *data, size_t n);

/*
 * name: the name of the file without .gz. max: the most text, in bytes; a file with more is
 * skipped. 0, EXTRACT_E_*, or a negative errno.
 */
int extract(const char *name, const char *data, size_t n, size_t max, struct extract *ret);

/*
 * The output of the extractors. There is room for twice the size of the text, because text is
 * usually shorter than its markup; more is dropped. The input is valid UTF-8 without NUL.
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

/* Sets the note, and returns the code. */
__attribute__((format(printf, 3, 4))) int extract_skipped(struct extract *e, int code,
                                                          const char *format, ...);

bool man_is(const char *data, size_t n);
void man_extract(const char *name, const char *data, size_t n, struct extract *e,
                 struct extract_out *out);
void html_extract(const char *data, size_t n, struct extract *e, struct extract_out *out);

/* The text of PDF, through the program pdftotext, and of archives that are documents: DOCX, ODT and
 * EPUB. They set e->text. Return the same as extract(). */
int pdf_extract(const char *data, size_t n, size_t max, struct extract *e);
int archive_extract(const char *data, size_t n, size_t max, struct extract *e);

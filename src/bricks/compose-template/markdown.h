/* SPDX-License-Identifier: MIT */
#pragma once

/* Markdown as HTML or plain text, by cmark-gfm. Any number of threads may call; one converts at a
 * time. */

#include <stdbool.h>
#include <stddef.h>

enum { MARKDOWN_TABLE, MARKDOWN_STRIKETHROUGH, MARKDOWN_AUTOLINK, MARKDOWN_EXTENSIONS };
extern const char *const markdown_extensions[MARKDOWN_EXTENSIONS]; /* their names */

/* Where these would make cmark-gfm take seconds, or write a thousand times what it reads, a text is
 * converted without autolinks or without tables. */
#define MARKDOWN_AUTOLINK_MAX 8192 /* bytes of a text */
#define MARKDOWN_COLUMNS_MAX 32    /* of a table */

/* Once, before the others, while there is one thread. */
void markdown_init(void);

/*
 * html: HTML without any tags, and without links to javascript: and the like, that the text has;
 * else plain text. extensions: bits 1 << MARKDOWN_*. *ret is for free(); NULL: out of memory, or
 * the library is not what it was built against.
 */
char *markdown_convert(const char *text, size_t length, bool html, unsigned extensions);

/* SPDX-License-Identifier: MIT */
#pragma once

/* The characters of a configuration file: encoding, ${NAME} and $$. */

#include <stdbool.h>
#include <stddef.h>

struct diag;
struct document;
struct node;

/* Skips a byte order mark. */
void text_skip_bom(const char **s, size_t *length);

/* True: UTF-8, only characters that YAML allows, and at most 16 MiB. Otherwise diag has the place.
 */
bool text_check(const char *s, size_t length, struct diag *diag);

/*
 * Replaces ${NAME} and ${NAME:-default} in the text of a scalar, and $$ by $. A variable that is
 * not set or not well-formed is a mistake: it goes to diag, and the result is still 0. -ENOMEM.
 */
int text_expand(struct document *doc, struct node *scalar, struct diag *diag);

/* The inverse of text_expand(): a text that it turns into s, for free(). NULL: out of memory. */
char *text_escape(const char *s);

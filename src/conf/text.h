/* SPDX-License-Identifier: MIT */
#pragma once

/* The characters of the file, and what stands for something else in its scalars. */

#include <stdbool.h>
#include <stddef.h>

struct diag;
struct document;
struct node;

/* A byte order mark is no part of the text. */
void text_skip_bom(const char **s, size_t *length);

/* Is it UTF-8, of characters that YAML allows, and not too much? Says where not. */
bool text_check(const char *s, size_t length, struct diag *diag);

/*
 * Replaces ${NAME} and ${NAME:-default} in the text of a scalar, and $$ by $. A variable that is
 * not set, and what looks like neither, is a mistake. 0 then, too; or -ENOMEM.
 */
int text_expand(struct document *doc, struct node *scalar, struct diag *diag);

/* The text that text_expand() turns into s; free() it. NULL: out of memory. */
char *text_escape(const char *s);

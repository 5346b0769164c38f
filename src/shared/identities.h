/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The text of the file of identities, in memory that the main process writes and the workers of one
 * generation can only read. The text may change while they serve: the main process then writes the
 * new one and wakes them. That needs no descriptor and no allocation, so a revocation cannot fail
 * for want of either.
 */

#include <stdbool.h>
#include <stddef.h>

#include "util/cleanup.h"

#define IDENTITY_TEXT_MAX ((size_t)16 << 20) /* bytes; the limit of conf_read_fd() */

struct identity_text;

/* [main process] Creates the memory, for texts of at most max bytes. */
int identity_text_new(struct identity_text **ret, size_t max);

/* The descriptor to pass to the workers; the object owns it. */
int identity_text_fd(const struct identity_text *text);

/* [main process] Replaces the text. -EFBIG: it is too long, and the old one stays. */
int identity_text_set(struct identity_text *text, const char *bytes, size_t length);

/* [worker] Maps the memory. The descriptor stays the caller's. */
int identity_text_open(struct identity_text **ret, int fd);
struct identity_text *identity_text_free(struct identity_text *text);
DEFINE_CLEANUP(struct identity_text *, identity_text_free);

/* [worker, one thread] The text is another than the one that was read last. */
bool identity_text_changed(const struct identity_text *text);

/* [worker, one thread] Copies the text; free() it. Waits while the main process writes, a second at
 * most: -EAGAIN after that. */
int identity_text_read(struct identity_text *text, char **ret, size_t *ret_length);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The text of the file of identities, which may change while workers serve, in memory that the
 * main process writes and the workers of one generation can only read. After a change the main
 * process wakes them; it needs no descriptor for that, nor anything else that could be missing.
 */

#include <stdbool.h>
#include <stddef.h>

#include "util/cleanup.h"

#define IDENTITY_TEXT_MAX ((size_t)16 << 20) /* as conf_read_fd() gives at most */

struct identity_text;

/* [main process] Makes the memory, for so many bytes at most; its descriptor is for the workers. */
int identity_text_new(struct identity_text **ret, size_t max);
int identity_text_fd(const struct identity_text *text);

/* [main process] The text from now on. -EFBIG: it is too long, and the one before stays. */
int identity_text_set(struct identity_text *text, const char *bytes, size_t length);

/* [worker] Maps it. */
int identity_text_open(struct identity_text **ret, int fd);
struct identity_text *identity_text_free(struct identity_text *text);
DEFINE_CLEANUP(struct identity_text *, identity_text_free);

/* [worker, one thread] There is one that has not been read yet. */
bool identity_text_changed(const struct identity_text *text);

/* [worker, one thread] Reads it; free() it. -EAGAIN: it changes without an end. */
int identity_text_read(struct identity_text *text, char **ret, size_t *ret_length);

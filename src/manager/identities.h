/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The file of identities of one generation: read with the configuration, and again when it changes.
 * A change that is wrong is logged, once, and what was read before stays in force; so a worker that
 * is started again never gets a file that is half written. A file that cannot be read is tried
 * again until it can be: a moment without descriptors does not lose a revocation.
 */

#include <stddef.h>
#include <systemd/sd-event.h>

#include "util/cleanup.h"

struct conf;
struct diag;
struct identities_source;

/*
 * Reads conf->identities. If that cannot be read, *ret_why is a line that says why, for free(). Its
 * mistakes are not an error here: see identities_mistakes(). `changed` is called when there is
 * something new for the workers, and again until it returns 0 instead of a negative errno. conf
 * must outlive the source, unless there were mistakes.
 */
int identities_source_new(struct identities_source **ret, const struct conf *conf, sd_event *event,
                          int (*changed)(struct identities_source *source, void *user), void *user,
                          char **ret_why);
struct identities_source *identities_source_free(struct identities_source *source);
DEFINE_CLEANUP(struct identities_source *, identities_source_free);

/* The mistakes of the first reading. */
const struct diag *identities_mistakes(const struct identities_source *source);

/* The file's text that is in force; NULL: none is. Until `changed` is called next. */
const char *identities_bytes(const struct identities_source *source, size_t *ret_length);

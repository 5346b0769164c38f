/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The file of identities of one generation. It is read with the configuration, and again when it
 * changes. If a changed file has mistakes, they are logged once, and the text read before stays in
 * force; so a restarted worker never gets a half-written file. If the file cannot be read, reading
 * is retried until it succeeds: a shortage of descriptors must not lose a revocation.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "conf/identities.h"
#include "shared/window.h"
#include "util/cleanup.h"

struct conf;
struct diag;
struct identities_source;

/* What the main process keeps of an identity in force. */
struct identity_limits {
        char name[IDENTITY_NAME_MAX + 1];
        int64_t expires; /* seconds since 1970; INT64_MAX: never */
        bool has_budget;
        uint64_t tokens[WINDOWS]; /* that it may use; 0: no limit */
};

/*
 * Reads the file conf->identities. If it cannot be read, *ret_why says why in a line; free() it.
 * Mistakes in it are no error here: see identities_mistakes(). `changed` is called when there is a
 * new text for the workers; if it returns a negative errno, it is called again later. conf must
 * outlive the source, unless there were mistakes.
 */
int identities_source_new(struct identities_source **ret, const struct conf *conf, sd_event *event,
                          int (*changed)(struct identities_source *source, void *user), void *user,
                          char **ret_why);
struct identities_source *identities_source_free(struct identities_source *source);
DEFINE_CLEANUP(struct identities_source *, identities_source_free);

/* The mistakes in the file as it was first read. The source owns them. */
const struct diag *identities_mistakes(const struct identities_source *source);

/* All identities in force, in the order of the file; valid as long as the text. NULL source: none.
 */
const struct identity_limits *identities_limits(const struct identities_source *source,
                                                size_t *ret_n);

/* The text in force, valid until `changed` is called next. NULL: there is none, because of mistakes
 * or because source is NULL. */
const char *identities_bytes(const struct identities_source *source, size_t *ret_length);

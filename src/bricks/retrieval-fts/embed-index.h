/* SPDX-License-Identifier: MIT */
#pragma once

/* Gives the passages of an index their vectors. */

#include <stdbool.h>
#include <stdint.h>

struct embed_settings;
struct index;

struct embed_index {
        struct index *index;
        const struct embed_settings *settings;
        const char *model;
        bool progress; /* show a bar on stderr */

        int64_t n_asked;  /* passages whose vectors the server has made */
        int64_t n_known;  /* those whose text had one already */
        int64_t n_failed; /* those that the server refuses; each has been printed */
};

/*
 * Commits after each batch, so that a run which ends early can be continued by another one. 0;
 * -EIO: the server gives no vectors, or wrong ones, which has been printed; another negative errno:
 * as functions of index.h return it.
 */
int embed_index(struct embed_index *e);

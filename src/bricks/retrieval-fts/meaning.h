/* SPDX-License-Identifier: MIT */
#pragma once

/* The vectors of queries, from a server. Any number of threads may ask. */

#include <stdbool.h>
#include <stddef.h>

#include "brick.h"

struct meaning;

/* The keys of the option `embeddings`. */
extern const struct brick_option meaning_options[];

/* A query. */
struct meaning_text {
        const char *text;
        bool (*cancelled)(void *user);
        void *user;
};

/* Reads the option: *ret is NULL if there is none. A mistake is reported at its place. [main] */
int meaning_new(struct brick_ctx *ctx, const struct brick_node *node, struct meaning **ret);
struct meaning *meaning_free(struct meaning *meaning);

/*
 * Asks for the vector of a text. A negative errno: there is none; the log says why once, until the
 * server gives vectors again. A server that has just failed is left alone for a second.
 */
int meaning_of(struct meaning *meaning, const struct meaning_text *text, const char *model,
               size_t dimension, float *ret);

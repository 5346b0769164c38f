/* SPDX-License-Identifier: MIT */
#pragma once

/* Asks an OpenAI-compatible server for the vectors of texts. One client is for one thread at a
 * time; it keeps its connection. */

#include <stdbool.h>
#include <stddef.h>

#include "embed-json.h"
#include "scope.h"

struct embed_settings {
        const char *base_url; /* "/embeddings" is added */
        const char *key;      /* NULL: none is sent */
        const char *prefix;   /* goes before each text */
        const char *input_type;
        long timeout_ms;
};

struct embed;

struct embed_request {
        const char *model;
        const char *const *texts;
        size_t n;

        /* True: give up. Called several times a second. May be NULL. */
        bool (*cancelled)(void *user);
        void *user;
};

/* The settings must outlive it. NULL: out of memory. Before the first one, on one thread, call
 * embed_init(). */
int embed_init(void);
struct embed *embed_new(const struct embed_settings *settings);
struct embed *embed_free(struct embed *embed);
DEFINE_CLEANUP(struct embed *, embed_free);

/* Why a URL cannot be a base_url, a constant; NULL: it can. */
const char *embed_check_url(const char *url);

/*
 * As embed_answer(): *dimension and *ret. Also -EAGAIN: a later attempt may succeed, the error says
 * why this one did not; *ret_wait_ms is how long the server asks to wait, 0 if it does not say.
 * -ECANCELED.
 */
int embed_run(struct embed *embed, const struct embed_request *request, size_t *dimension,
              float **ret, long *ret_wait_ms, char error[static EMBED_ERROR_SIZE]);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Who makes a call, and what they may do: the identities that are in force, ready to be asked.
 *
 * A table of them is immutable. When the file changes, the main thread makes a new one and leaves
 * it where each thread that asks finds it with its next call; that thread lets go of the old one.
 * So a call costs no lock, no count and no memory: what outlives its first event, it copies.
 */

#include <grpc/grpc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/quota.h"
#include "util/cleanup.h"

struct auth;
struct conf;
struct stats;

/* The threads that ask. */
enum auth_reader {
        AUTH_CALLS,   /* the polling thread */
        AUTH_BUILTIN, /* that of health checks and reflection */
        AUTH_READERS,
};

struct auth_identity {
        const char *name;
        size_t name_length;
        int64_t expires; /* seconds since 1970 */
        struct quota_limit limit;
        unsigned place;         /* among the stats' identities */
        const uint8_t *methods; /* per brick of the configuration, 1 << BRICK_METHOD_* each */
        uint8_t any;            /* the same of all bricks, there are or not */
};

/* conf, stats and quota must outlive it. Nobody is in force yet. [main] */
int auth_new(struct auth **ret, const struct conf *conf, struct stats *stats, struct quota *quota);
struct auth *auth_free(struct auth *auth);
DEFINE_CLEANUP(struct auth *, auth_free);

/* Puts the identities of a file's text in force. On a negative errno those before still are.
 * [main] */
int auth_set(struct auth *auth, const char *bytes, size_t length);

struct quota *auth_quota(const struct auth *auth);

/*
 * Whose call this is, by the bearer token in its metadata, which is taken out of it; without one,
 * by its client certificate. NULL, or why not, for the client: then *ret is who it would have been,
 * or NULL. What *ret points to is valid until the reader asks again. Only that reader's thread.
 */
const char *auth_identify(struct auth *auth, enum auth_reader reader, grpc_call *call,
                          grpc_metadata_array *metadata, const struct auth_identity **ret);

/* brick: an index in conf->bricks, or -1 for one that does not exist. [any] */
bool auth_allows(const struct auth_identity *identity, ssize_t brick, uint32_t method);

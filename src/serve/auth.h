/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Authentication and permissions: who makes a call, and which methods of which bricks they may
 * call.
 *
 * The identities in force are an immutable table. When their file changes, the main thread makes a
 * new table and leaves it for each thread that authenticates calls; that thread takes it with its
 * next call and releases the old one. So a call takes no lock and no memory here. Whatever must
 * outlive the call's first event has to be copied.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "brick.h"
#include "shared/quota.h"
#include "util/cleanup.h"

struct auth;
struct conf;
struct groups;
struct stats;

/* The threads that authenticate calls. */
enum auth_reader {
        AUTH_CALLS,   /* gRPC's polling thread */
        AUTH_BUILTIN, /* the thread of health checks and reflection */
        AUTH_HTTP,    /* the door, on gRPC's polling thread */
        AUTH_READERS,
};

struct auth_identity {
        const char *name;
        size_t name_length;
        int64_t expires; /* seconds since 1970 */
        struct quota_limit limit;
        bool has_budget;
        struct quota_budget budget; /* of tokens, if it has one */
        uint64_t reserve;           /* for the answer of a call that does not say max_tokens */
        unsigned place;             /* among the stats' identities */
        const uint8_t *methods;     /* per brick of the configuration, 1 << BRICK_METHOD_* each */
        struct groups *groups;      /* NULL: none */
        uint8_t any; /* methods that are allowed of every brick, even an unknown one */
};

/* A name in a client's certificate. */
struct auth_name {
        unsigned kind; /* one of IDENTITY_* */
        const char *name;
};

/* How a client proves who it is. All strings are the caller's. */
struct auth_proof {
        size_t n_authorizations;        /* headers (metadata) named `authorization` */
        struct brick_str authorization; /* the last of them */
        const struct auth_name
                *names; /* of its verified certificate; asked if there is no header */
        size_t n_names;
};

/* conf, stats and quota must outlive it. No identity is in force yet. [main] */
int auth_new(struct auth **ret, const struct conf *conf, struct stats *stats, struct quota *quota);
struct auth *auth_free(struct auth *auth);
DEFINE_CLEANUP(struct auth *, auth_free);

/* Puts the identities of a file's text in force. On a negative errno the old ones stay. [main] */
int auth_set(struct auth *auth, const char *bytes, size_t length);

/* The quota that auth_new() was given. [any] */
struct quota *auth_quota(const struct auth *auth);

/*
 * The identity that a proof belongs to: by the bearer token, or without an `authorization` by the
 * first name of the certificate that an identity has. Returns NULL, or the reason for a refusal, a
 * constant for the client; *ret is then the expired identity, or NULL. *ret is valid until the same
 * reader asks again. Only on that reader's thread.
 */
const char *auth_identify(struct auth *auth, enum auth_reader reader,
                          const struct auth_proof *proof, const struct auth_identity **ret);

/* brick: an index in conf->bricks, or -1 for one that does not exist. [any] */
bool auth_allows(const struct auth_identity *identity, ssize_t brick, uint32_t method);

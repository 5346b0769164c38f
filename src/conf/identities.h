/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The file of identities: who may call, how they prove who they are, and what they may. Read by the
 * main process, again whenever it changes; immutable once read.
 */

#include <stddef.h>
#include <stdint.h>

#include "conf/option.h"
#include "util/cleanup.h"

struct conf;
struct diag;
struct document;
struct node;

#define IDENTITIES_MAX 2000
#define IDENTITY_NAME_MAX 63
#define IDENTITY_DIGEST_SIZE 32

/* What `token:` begins with: the digest's name. */
#define IDENTITY_DIGEST_PREFIX "sha256:"

/* The kinds of names that a certificate has. */
enum {
        IDENTITY_URI = 1 << 0,
        IDENTITY_DNS = 1 << 1,
        IDENTITY_COMMON_NAME = 1 << 2,
};

struct identity_certificate {
        unsigned kinds; /* IDENTITY_*: a name of one of these is meant */
        const char *name;
};

struct identity {
        const struct node *node;
        const char *name;                               /* at most IDENTITY_NAME_MAX bytes */
        const uint8_t (*digests)[IDENTITY_DIGEST_SIZE]; /* of its tokens */
        size_t n_digests;
        struct identity_certificate *certificates; /* names in its client certificates */
        size_t n_certificates;
        int64_t expires;    /* seconds since 1970; INT64_MAX: never */
        const char **allow; /* "BRICK" or "BRICK/METHOD", each of the two may be "*" */
        size_t n_allow;
        double rate;          /* requests per second; 0: no limit */
        unsigned burst;       /* requests at once, if there is a rate */
        unsigned concurrency; /* calls at a time; 0: no limit */
};

struct identities {
        struct identity
                *list; /* no two share a name, a digest or a certificate's name of one kind */
        size_t n;
        struct document *document; /* holds all of it */
};

/* Mistakes go to diag, all of them; -EINVAL then. Another negative errno: out of memory. */
int identities_parse(struct identities **ret, const char *bytes, size_t length, struct diag *diag);
struct identities *identities_free(struct identities *identities);
DEFINE_CLEANUP(struct identities *, identities_free);

/*
 * The file's bytes. One that others than root and our own user can write, or replace, is not read:
 * -EPERM. On a negative errno but -ENOMEM, *ret_why is a line that begins with the path, for
 * free().
 */
int identities_read(const char *path, char **ret_bytes, size_t *ret_length, char **ret_why);

/* Blames every `allow` that names no brick of the configuration. */
void identities_check_bricks(const struct identities *identities, const struct conf *conf,
                             struct diag *diag);

/* Seconds since 1970 of "2027-01-31" (its first moment, in UTC) or of a time as RFC 3339 writes it.
 * -EINVAL. */
int identities_parse_time(const char *text, int64_t *ret);

/* The table of the file. */
extern const struct option_spec identities_options[];

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The file of identities: who may call, with which tokens and certificates, and what. The main
 * process reads it at the start and after every change. Immutable once read.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/option.h"
#include "util/cleanup.h"

struct conf;
struct diag;
struct document;
struct node;

#define IDENTITIES_MAX 2000
#define IDENTITY_TOKENS_MAX INT64_C(10000000000)
#define IDENTITY_NAME_MAX 63
#define IDENTITY_GROUPS_MAX 64
#define IDENTITY_DIGEST_SIZE 32

/* The prefix of every `token:`, which names the digest. */
#define IDENTITY_DIGEST_PREFIX "sha256:"

/* The kinds of names that a certificate has. */
enum {
        IDENTITY_URI = 1 << 0,
        IDENTITY_DNS = 1 << 1,
        IDENTITY_COMMON_NAME = 1 << 2,
};

struct identity_certificate {
        unsigned kinds; /* IDENTITY_*: the name may be of any of these kinds */
        const char *name;
};

/* How many tokens of language models its calls may use; 0: no limit. */
struct identity_tokens {
        uint64_t minute;
        uint64_t day;
        uint64_t month;
        uint64_t reserve; /* for the answer of a call that does not say max_tokens */
};

struct identity {
        const struct node *node;
        const char *name;                               /* at most IDENTITY_NAME_MAX bytes */
        const uint8_t (*digests)[IDENTITY_DIGEST_SIZE]; /* of its tokens */
        size_t n_digests;
        struct identity_certificate *certificates; /* names in its client certificates */
        size_t n_certificates;
        int64_t expires;    /* seconds since 1970; INT64_MAX: never */
        const char **allow; /* "BRICK" or "BRICK/METHOD"; either may be "*" */
        size_t n_allow;
        const char **groups; /* of which it is a member */
        size_t n_groups;
        double rate;          /* requests per second; 0: no limit */
        unsigned burst;       /* requests that may come at once */
        unsigned concurrency; /* concurrent calls; 0: no limit */
        struct identity_tokens tokens;
};

struct identities {
        struct identity
                *list; /* no two share a name, a digest or a certificate's name of one kind */
        size_t n;
        struct document *document; /* owns all nodes and strings */
};

/* Adds every mistake to diag and returns -EINVAL if there is one. 0; -ENOMEM. */
int identities_parse(struct identities **ret, const char *bytes, size_t length, struct diag *diag);
struct identities *identities_free(struct identities *identities);
DEFINE_CLEANUP(struct identities *, identities_free);

/*
 * Reads the file; the caller frees *ret_bytes. -EPERM: a user other than root and our own can write
 * or replace the file. On every error but -ENOMEM, *ret_why is a message that starts with the path,
 * for free().
 */
int identities_read(const char *path, char **ret_bytes, size_t *ret_length, char **ret_why);

/* Reports every `allow` that does not name a brick of the configuration. */
void identities_check_bricks(const struct identities *identities, const struct conf *conf,
                             struct diag *diag);

/* Parses a date such as "2027-01-31" (00:00 UTC) or a time of RFC 3339 into seconds since 1970.
 * -EINVAL. */
int identities_parse_time(const char *text, int64_t *ret);

/* The table of the file's keys. */
extern const struct option_spec identities_options[];

static inline bool identity_has_budget(const struct identity *identity)
{
        return identity->tokens.minute || identity->tokens.day || identity->tokens.month;
}

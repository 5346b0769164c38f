/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The sums of what all workers have counted, by the names of bricks and ports. When a worker has
 * exited, its counters are added once; counters of running workers are added to a copy whenever
 * somebody asks. So the sums outlive workers and reloads. Bricks and ports that the configuration
 * no longer has are kept, up to a limit.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/genai.h"
#include "shared/stats.h"
#include "util/cleanup.h"

struct conf;

/* The most backends that are kept of one brick: the present ones, and former ones. */
#define TALLY_BACKENDS (4 * STATS_BACKENDS)

struct tally_backend {
        char *name;
        struct stats_backend_counters counters;

        /* In a copy only: the present values. */
        bool live;
        unsigned state; /* enum backend_state: the worst of all serving workers */
        uint64_t in_flight;
};

struct tally_brick {
        char *name;
        unsigned type;
        uint32_t methods; /* 1 << BRICK_METHOD_*: all that it has ever had */
        uint64_t touched; /* tally->additions when a worker last had it */
        struct stats_brick_counters counters;
        stats_counter lost[STATS_METHODS]; /* calls that were in a worker when it died */
        struct tally_backend *backends;
        size_t n_backends;

        /* In a copy only: the present values. */
        bool live;
        uint64_t in_flight;
        uint64_t queued;
        unsigned healthy;                /* workers in which the brick is healthy */
        unsigned sick;                   /* workers in which it is not */
        char reason[STATS_TEXT_MAX + 1]; /* why not, in the first of those; may be "" */
};

struct tally_port {
        char *listen;
        uint64_t touched;
        struct stats_port_counters counters;

        /* In a copy only: the present values. */
        bool live;
        uint64_t connections;
        uint64_t certificate_ends; /* the earliest of all serving workers; 0: there is none */
};

struct tally_identity {
        char name[STATS_NAME_MAX + 1];
        uint64_t requests;
        uint64_t tokens;
};

struct tally_genai {
        struct genai_key key;
        struct stats_genai_counters counters;
};

struct tally {
        struct tally_brick **bricks;
        size_t n_bricks;
        struct tally_port **ports;
        size_t n_ports;
        struct tally_identity
                identities[STATS_IDENTITIES]; /* [0] is for those without a place of their own */
        size_t n_identities;
        struct tally_genai **genai;
        size_t n_genai;
        struct stats_builtin builtin;
        uint64_t log_dropped;
        uint64_t additions;                   /* calls of tally_add() */
        uint64_t open[STATS_BUILTIN_METHODS]; /* in a copy only */

        uint64_t restarts; /* of workers; workers.c counts them */
};

int tally_new(struct tally **ret);
int tally_copy(struct tally **ret, const struct tally *tally);
struct tally *tally_free(struct tally *tally);
DEFINE_CLEANUP(struct tally *, tally_free);

enum tally_kind {
        TALLY_DEAD,   /* the worker has exited: calls that had not ended are lost */
        TALLY_LIVE,   /* it runs: its present values count, too */
        TALLY_SERVES, /* it serves: the health of its bricks counts as well */
};

/* Adds what a worker of that configuration has counted. -ENOMEM: part of it was not added. */
int tally_add(struct tally *tally, const struct conf *conf, const struct stats *stats,
              enum tally_kind kind);

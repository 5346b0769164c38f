/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What all workers have counted, by the names of the configuration: those that are gone are added
 * once and for all, those that live are added to a copy whenever somebody asks. So the numbers
 * outlive workers and reloads. Bricks and ports that the configuration has no more stay, up to a
 * limit.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/stats.h"
#include "util/cleanup.h"

struct conf;

struct tally_brick {
        char *name;
        unsigned type;
        uint32_t methods; /* 1 << BRICK_METHOD_* that it has ever had */
        uint64_t touched;
        struct stats_brick_counters counters;
        stats_counter lost[STATS_METHODS]; /* calls that were in workers which died */

        /* Of a copy: what is now. */
        bool live;
        uint64_t in_flight;
        uint64_t queued;
        unsigned healthy; /* workers that say so, */
        unsigned sick;    /* and those that say otherwise: */
        char reason[STATS_TEXT_MAX + 1];
};

struct tally_port {
        char *listen;
        uint64_t touched;
        struct stats_port_counters counters;

        /* Of a copy: what is now. */
        bool live;
        uint64_t connections;
        uint64_t certificate_ends; /* the first of any worker that serves; 0: none has one */
};

struct tally_identity {
        char name[STATS_NAME_MAX + 1];
        uint64_t requests;
};

struct tally {
        struct tally_brick **bricks;
        size_t n_bricks;
        struct tally_port **ports;
        size_t n_ports;
        struct tally_identity
                identities[STATS_IDENTITIES]; /* the first is all that find no place */
        size_t n_identities;
        struct stats_builtin builtin;
        uint64_t log_dropped;
        uint64_t additions;
        uint64_t open[STATS_BUILTIN_METHODS]; /* of a copy */

        uint64_t restarts; /* of workers; the owner counts */
};

int tally_new(struct tally **ret);
int tally_copy(struct tally **ret, const struct tally *tally);
struct tally *tally_free(struct tally *tally);
DEFINE_CLEANUP(struct tally *, tally_free);

enum tally_kind {
        TALLY_DEAD,   /* it has been reaped: what had not ended is lost */
        TALLY_LIVE,   /* it runs: what is now counts, too */
        TALLY_SERVES, /* the same, and its health is the bricks' health */
};

/* Adds what a worker of that configuration has counted. -ENOMEM: some of it is missing. */
int tally_add(struct tally *tally, const struct conf *conf, const struct stats *stats,
              enum tally_kind kind);

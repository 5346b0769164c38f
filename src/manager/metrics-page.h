/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Writes the page of /metrics: one struct metric is one family, and its put() writes the lines of
 * it. A line is begun, labelled and ended.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "manager/proc.h"
#include "shared/stats.h"

struct manager;
struct slot;
struct tally;
struct tally_brick;

struct metrics_worker {
        const struct slot *slot; /* has a process */
        bool known;              /* proc is set: the process had not exited when it was read */
        struct proc proc;
};

struct page {
        FILE *f;
        const struct manager *m;
        const struct tally *tally;
        struct metrics_worker *workers;
        size_t n_workers;
        struct proc self;
        const char *name; /* of the metric that is being written */
        bool labelled;    /* the line has a label */
};

struct metric {
        const char *name;
        const char *type;
        const char *help;
        void (*put)(struct page *p);
};

/* Each ends with an entry without a name. */
extern const struct metric metrics_of_bricks[];
extern const struct metric metrics_of_identities[];
extern const struct metric metrics_of_ports[];
extern const struct metric metrics_of_processes[];
extern const struct metric metrics_of_programs[];

/* Begins a family: its help and type. */
void page_family(struct page *p, const char *name, const char *help, const char *type);

/* With `metrics: genai:`. */
void metrics_put_genai(struct page *p);

/* suffix: "" or what follows the name in a histogram's line, such as "_sum". */
void page_begin(struct page *p, const char *suffix);
void page_label(struct page *p, const char *key, const char *value);
void page_label_number(struct page *p, const char *key, unsigned number);
void page_label_brick(struct page *p, const struct tally_brick *brick);
void page_label_method(struct page *p, const struct tally_brick *brick, unsigned method);
void page_end(struct page *p, uint64_t value);
void page_end_seconds(struct page *p, uint64_t ns);
void page_end_double(struct page *p, double value);

/* A line without labels. */
void page_value(struct page *p, uint64_t number);

/* The lines of a histogram, or nothing while it is empty: a brick has many. method: NO_METHOD for
 * one of the brick as a whole. */
#define NO_METHOD STATS_METHODS
void page_histogram(struct page *p, const struct tally_brick *brick, unsigned method,
                    const struct stats_histogram *h);

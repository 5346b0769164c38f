/* SPDX-License-Identifier: MIT */
#pragma once

/* What bricks have done between two looks at brickd's counters. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct top_row {
        size_t place;     /* in brickd's list */
        const char *name; /* of the later look */
        const char *type;
        const char *state;
        double rate; /* calls per second */
        double errors;
        double mean; /* seconds; NAN: no call has ended */
        double p50;
        double p99;
        long long in_flight;
        long long queued;
};

enum top_sort {
        TOP_BY_NAME, /* as brickd lists them */
        TOP_BY_RATE,
        TOP_BY_ERRORS,
        TOP_BY_LATENCY, /* the slowest first */
        TOP_BY_FLIGHT,
        TOP_BY_QUEUE,
};

/* Both are answers to Stats(); before may be NULL: nothing is known of what has been. Rows are in
 * memory that the caller frees, and point into `now`. */
struct top_row *top_rows(const json_t *before, const json_t *now, size_t *ret_n);
void top_sort(struct top_row *rows, size_t n, enum top_sort by);

#define TOP_TIME_MAX 16

/* "850us", "1.2ms", "3.4s", "-" */
void top_format_time(double seconds, char text[static TOP_TIME_MAX]);

/*
 * Shows them on the terminal until the user has had enough, or `count` times. `look` gives a new
 * answer, or a negative errno, which is shown, too.
 */
int top_screen(int (*look)(void *user, json_t **ret), void *user, int64_t interval, unsigned count,
               bool colour);

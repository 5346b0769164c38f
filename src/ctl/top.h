/* SPDX-License-Identifier: MIT */
#pragma once

/* The activity of the bricks between two samples of brickd's counters. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct top_row {
        size_t place;     /* in brickd's list */
        const char *name; /* borrowed from the later sample, like type and state */
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

/* Computes the rows from two results of Stats(). before may be NULL: then there are no rates yet.
 * The caller frees the rows, which point into `now`. */
struct top_row *top_rows(const json_t *before, const json_t *now, size_t *ret_n);
void top_sort(struct top_row *rows, size_t n, enum top_sort by);

#define TOP_TIME_MAX 16

/* "850us", "1.2ms", "3.4s", "-" */
void top_format_time(double seconds, char text[static TOP_TIME_MAX]);

/*
 * Shows the rows on the terminal until the user quits, or for `count` intervals; count 0: no limit.
 * `look` takes a sample; if it fails, the screen shows the error.
 */
int top_screen(int (*look)(void *user, json_t **ret), void *user, int64_t interval, unsigned count,
               bool colour);

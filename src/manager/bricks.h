/* SPDX-License-Identifier: MIT */
#pragma once

/* The bricks and what they have done, as JSON for the control bus. */

#include <jansson.h>
#include <stdbool.h>

struct manager;
struct tally;

/* An array: the bricks of the configuration, then those that only retired workers still have.
 * durations: with the histogram of how long calls took. NULL: out of memory. */
json_t *bricks_to_json(const struct manager *m, const struct tally *tally, bool durations);

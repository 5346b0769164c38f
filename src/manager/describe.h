/* SPDX-License-Identifier: MIT */
#pragma once

/* Describes a generation that serves in a line of text; free() it. 0 or -ENOMEM. */

#include <stdint.h>

struct generation;

/* "2 bricks on 127.0.0.1:50051, metrics on unix:/run/x (generation 3, 1 worker, 35 ms)". since:
 * when it was started, of clock_now(). */
int describe_ready(const struct generation *g, uint64_t since, char **ret);

/* "serving 2 bricks on 1 port, generation 3, 1 worker" */
int describe_serving(const struct generation *g, char **ret);

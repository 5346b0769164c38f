/* SPDX-License-Identifier: MIT */
#pragma once

/* Calls that their brick's timeout ends: a heap by deadline, only for the thread that serves the
 * calls. */

#include <stddef.h>
#include <stdint.h>

struct served;

/* All zeros is empty. */
struct deadlines {
        struct served **heap; /* entries count from 1 */
        size_t n, size;
};

/* A call must be removed before it ends. */
void deadlines_add(struct deadlines *deadlines, struct served *call);
void deadlines_remove(struct deadlines *deadlines, struct served *call);

/* Ends the calls whose deadline is past, by serve->expire(). */
void deadlines_expire(struct deadlines *deadlines);

/* The next deadline, CLOCK_MONOTONIC ns; UINT64_MAX: there is none. */
uint64_t deadlines_next(const struct deadlines *deadlines);

void deadlines_done(struct deadlines *deadlines);

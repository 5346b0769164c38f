/* SPDX-License-Identifier: MIT */
#pragma once

/* Calls with a timeout of their brick's: a heap by deadline, for the polling thread only. */

#include <stddef.h>
#include <stdint.h>

struct rpc_call;

/* All zeros is empty. */
struct timeouts {
        struct rpc_call **heap; /* entries count from 1 */
        size_t n, size;
};

/* A call must be removed before it ends. */
void timeouts_add(struct timeouts *timeouts, struct rpc_call *call);
void timeouts_remove(struct timeouts *timeouts, struct rpc_call *call);

/* Expires those whose time is over. */
void timeouts_expire(struct timeouts *timeouts);

/* The next deadline, CLOCK_MONOTONIC ns; UINT64_MAX: there is none. */
uint64_t timeouts_next(const struct timeouts *timeouts);

void timeouts_done(struct timeouts *timeouts);

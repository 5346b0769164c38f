/* SPDX-License-Identifier: MIT */
#pragma once

/* Calls with a timeout of their brick's: a heap by deadline, for the polling thread only. */

#include <stddef.h>
#include <stdint.h>

struct rpc_call;

/* All zeros is empty. */
struct deadlines {
        struct rpc_call **heap; /* entries count from 1 */
        size_t n, size;
};

/* A call must be removed before it ends. */
void deadlines_add(struct deadlines *deadlines, struct rpc_call *call);
void deadlines_remove(struct deadlines *deadlines, struct rpc_call *call);

/* Expires those whose time is over. */
void deadlines_expire(struct deadlines *deadlines);

/* The next deadline, CLOCK_MONOTONIC ns; UINT64_MAX: there is none. */
uint64_t deadlines_next(const struct deadlines *deadlines);

void deadlines_done(struct deadlines *deadlines);

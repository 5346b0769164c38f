/* SPDX-License-Identifier: MIT */
#pragma once

/* The names of an identity's groups. Immutable and counted: a call may outlive the table of
 * identities that it is from. */

#include <stdatomic.h>
#include <stddef.h>

#include "brick.h"

struct groups {
        atomic_uint refs;
        size_t n;
        struct brick_str names[];
};

/* Copies the names. NULL: out of memory. */
struct groups *groups_new(const char *const *names, size_t n);

/* Both return and accept NULL: no groups. [any] */
struct groups *groups_ref(struct groups *groups);
struct groups *groups_unref(struct groups *groups);

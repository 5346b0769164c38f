/* SPDX-License-Identifier: MIT */
#pragma once

/* What goes with a child besides messages: what the caller gives it by child_start_with(), and the
 * trailers of the callee. */

#include <stdbool.h>

#include "brick.h"

struct call;

/* Whether a brick may give this metadata: what gRPC takes is all that any transport takes. */
bool child_metadata_is_legal(struct brick_str key, struct brick_str value);

/* One block of memory, for free(). */
struct child_extra {
        struct brick_str name; /* of the span; empty: the usual one */
        struct brick_pair
                *metadata; /* all that the callee sees: the caller's own, then those of the
                              parent that it does not hide, whose texts are the parent's */
        size_t n_metadata;
};

/*
 * *ret is NULL if the options have neither metadata nor a name. -EINVAL: metadata that is not legal
 * in gRPC; -E2BIG: too much of it; -ENOMEM.
 */
int child_extra_new(struct child_extra **ret, struct call *parent,
                    const struct brick_child_options *options);

/* Trailing metadata, in one block for free(). */
struct child_trailers {
        size_t n, bytes;
        struct brick_pair pairs[];
};

/* As call_trailer() of the ABI. *trailers is NULL before the first. */
int child_trailers_add(struct child_trailers **trailers, struct brick_str key,
                       struct brick_str value);

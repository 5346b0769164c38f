/* SPDX-License-Identifier: MIT */
#pragma once

/* One question to a brick, on behalf of a call: a request, its replies, the outcome. */

#include "run.h"

struct ask {
        struct run *run;
        const struct step *step;
        const char *name; /* of the span; NULL: the step's */
        struct brick_child *child;
        bool cancelled; /* by ask_cancel() */

        /* Neither comes once the call is over. */
        void (*message)(struct ask *ask, struct brick_bytes message);
        void (*done)(struct ask *ask, const struct brick_outcome *outcome);
        void *user;
        size_t index; /* for who asks several */
};

/*
 * Asks a target, with the step's timeout. Copies *what, but for child;
 * done() is called once for it, and it is freed afterwards. 0, *ret is set; or a negative errno.
 */
int ask_start(struct ask **ret, const struct ask *what, struct brick_target *target,
              uint32_t method, const ProtobufCMessage *request);

/* Asks for the first reply, or one more. */
void ask_next(struct ask *ask);

/* Tells the brick to give up; done() is not called any more. */
void ask_cancel(struct ask *ask);

/* CLOCK_MONOTONIC nanoseconds. */
uint64_t clock_ns(void);

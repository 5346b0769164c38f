/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How calls end that no brick has answered well: llmbrick's own codes and texts, to the letter,
 * because its clients compare them. Pure functions; all strings are static, but for the `message`
 * that is handed in. And what is checked of how a brick ends one.
 */

#include <stdbool.h>
#include <stdint.h>

#include "brick.h"
#include "util/arena.h"

/* The longest message or detail of an error that leaves, in bytes. */
#define OUTCOME_TEXT_MAX (256 * 1024)

/* What a peer is told in the end. */
struct outcome {
        bool in_band;    /* code, message and detail are llmbrick's error; the gRPC status is OK */
        uint32_t status; /* gRPC status, if not in_band */
        int32_t code;
        struct brick_str message; /* of either */
        struct brick_str detail;
};

/* gRPC statuses that brickd itself uses for calls of bricks. */
enum {
        STATUS_OK = 0,
        STATUS_CANCELLED = 1,
        STATUS_UNKNOWN = 2,
        STATUS_DEADLINE_EXCEEDED = 4,
        STATUS_RESOURCE_EXHAUSTED = 8,
        STATUS_UNAVAILABLE = 14,
        STATUS_MAX = 16,
};

static inline bool outcome_is_success(const struct outcome *outcome)
{
        return !outcome->in_band && outcome->status == STATUS_OK;
}

/* Nobody waits for the answer any more. */
struct outcome outcome_cancelled(void);

/* The brick's time for the call is over. */
struct outcome outcome_expired(void);

/* The brick has all the calls it may have, and its queue is full. */
struct outcome outcome_busy(void);

/* The brick takes no call in any more, as its server stops. */
struct outcome outcome_stopping(void);

/* The client has been sent more large replies than it reads. */
struct outcome outcome_unread(void);

/* The brick has no handler for this method. */
struct outcome outcome_no_handler(uint32_t method);

/* The handler says that it is not implemented. */
struct outcome outcome_not_implemented(const char *message);

/* The handler failed. */
struct outcome outcome_exception(uint32_t method, const char *message);

/* What start() has said with a number that is not 0: a negative errno, or else a mistake. */
struct outcome outcome_errno(uint32_t method, int r);

/* The reply is not of the method's type. */
struct outcome outcome_invalid_reply(uint32_t method, unsigned type);

/* What a brick has done wrong, if r is why a transport refuses its reply; NULL: it is none of
 * those.
 */
const char *outcome_reply_fault(int r);

/*
 * A copy in the arena of a text of a brick, as a client can read it: UTF-8, with U+FFFD for what is
 * not, and with an ellipsis for what is longer than OUTCOME_TEXT_MAX. Empty: out of memory.
 */
struct brick_str outcome_text(struct arena *arena, struct brick_str text);

/* The handler ended with success and without the one reply it owes. */
struct outcome outcome_no_reply(uint32_t method, unsigned type);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The outcomes of calls that brickd decides: llmbrick's codes and texts, to the letter, because its
 * clients compare them. And the checks of the texts that bricks give. Pure functions; all strings
 * are static, except a `message` that the caller passes.
 */

#include <stdbool.h>
#include <stdint.h>

#include "brick.h"
#include "util/arena.h"

/* The longest message or detail of an error that is sent, in bytes. */
#define OUTCOME_TEXT_MAX (256 * 1024)

/* The end of a call, as its peer is told. */
struct outcome {
        bool in_band;    /* code, message and detail are llmbrick's error; the gRPC status is OK */
        uint32_t status; /* gRPC status, if not in_band */
        int32_t code;
        struct brick_str message; /* of either */
        struct brick_str detail;
};

/* The statuses of gRPC, by which every transport names how a call has ended. */
enum {
        STATUS_OK = 0,
        STATUS_CANCELLED = 1,
        STATUS_UNKNOWN = 2,
        STATUS_INVALID_ARGUMENT = 3,
        STATUS_DEADLINE_EXCEEDED = 4,
        STATUS_NOT_FOUND = 5,
        STATUS_PERMISSION_DENIED = 7,
        STATUS_RESOURCE_EXHAUSTED = 8,
        STATUS_FAILED_PRECONDITION = 9,
        STATUS_ABORTED = 10,
        STATUS_OUT_OF_RANGE = 11,
        STATUS_UNIMPLEMENTED = 12,
        STATUS_INTERNAL = 13,
        STATUS_UNAVAILABLE = 14,
        STATUS_UNAUTHENTICATED = 16,
        STATUS_MAX = 16,
};

static inline bool outcome_is_success(const struct outcome *outcome)
{
        return !outcome->in_band && outcome->status == STATUS_OK;
}

/* The call was cancelled. */
struct outcome outcome_cancelled(void);

/* limits.timeout of the brick is over. */
struct outcome outcome_expired(void);

/* The brick has all the calls it may have, and its queue is full. */
struct outcome outcome_busy(void);

/* The brick accepts no call any more, because its server stops. */
struct outcome outcome_stopping(void);

/* The client has been sent more large replies than it reads. */
struct outcome outcome_unread(void);

/* Calls hold so much memory that this one got none. */
struct outcome outcome_no_memory(void);

/* The brick has no handler for this method. */
struct outcome outcome_no_handler(uint32_t method);

/* The handler failed. */
struct outcome outcome_exception(uint32_t method, const char *message);

/* start() has returned r: a negative errno, or a positive number, which counts as -EINVAL. */
struct outcome outcome_errno(uint32_t method, int r);

/* The reply is not of the method's type. */
struct outcome outcome_invalid_reply(uint32_t method, unsigned type);

/* The brick's mistake, for the log, if a transport has refused its reply with r; NULL: r is no
 * mistake of the brick. */
const char *outcome_reply_fault(int r);

/*
 * Copies a text of a brick into the arena, as valid UTF-8: U+FFFD replaces each byte that is not,
 * and a text longer than OUTCOME_TEXT_MAX is cut and ends in an ellipsis. Empty: out of memory.
 */
struct brick_str outcome_text(struct arena *arena, struct brick_str text);

/* The handler ended with success and without the one reply it owes. */
struct outcome outcome_no_reply(uint32_t method, unsigned type);

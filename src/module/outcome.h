/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How calls end that no brick has answered well: llmbrick's own codes and texts, to the letter,
 * because its clients compare them. Pure functions; all strings are static, but for the `message`
 * that is handed in.
 */

#include <stdbool.h>
#include <stdint.h>

#include "brick.h"

/* What a peer is told in the end. */
struct outcome {
        bool in_band;    /* code, message and detail are llmbrick's error; the gRPC status is OK */
        uint32_t status; /* gRPC status, if not in_band */
        int32_t code;
        struct brick_str message; /* of either */
        struct brick_str detail;
};

/* The brick has no handler for this method. */
struct outcome outcome_no_handler(uint32_t method);

/* The handler says that it is not implemented. */
struct outcome outcome_not_implemented(const char *message);

/* The handler failed. */
struct outcome outcome_exception(uint32_t method, const char *message);

/* The reply is not of the method's type. */
struct outcome outcome_invalid_reply(uint32_t method, unsigned type);

/* The handler ended with success and without the one reply it owes. */
struct outcome outcome_no_reply(uint32_t method, unsigned type);

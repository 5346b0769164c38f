/* SPDX-License-Identifier: MIT */
#pragma once

/* Reads protobuf's wire format, of messages that validate_message() has found right. */

#include <stdbool.h>
#include <stdint.h>

#include "brick.h"

struct wire_field {
        uint32_t number;
        unsigned wire_type;         /* WIRE_PUT_* of wire.h */
        uint64_t value;             /* of a number: its bits */
        struct brick_bytes content; /* of a string or a message */
};

/* Takes the next field off the front of a message. False: there is none. */
bool wire_next_field(struct brick_bytes *rest, struct wire_field *ret);

float wire_float(const struct wire_field *field);

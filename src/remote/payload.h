/* SPDX-License-Identifier: MIT */
#pragma once

/* The replies of other llmbrick servers: payload and error, which a brick gives to its host
 * separately. Pure functions. */

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "brick.h"

/* A reply. Everything points into its bytes, or into the copy. */
struct payload {
        struct brick_bytes bytes; /* without the error field */
        bool failed;              /* it has an error, which these are: */
        int32_t code;
        struct brick_str message;
        struct brick_str detail;
};

/*
 * Splits a reply of the type, whose error is the field `error_field`. If that is not the last
 * field, as llmbrick writes it, the payload is a copy in *ret_copy, for free(); else that is NULL.
 * -EBADMSG: it is no such reply; -ENOMEM.
 */
int payload_split(struct payload *ret, const ProtobufCMessageDescriptor *type, uint32_t error_field,
                  struct brick_bytes reply, char **ret_copy);

/* The llmbrick error in the value of `grpc-status-details-bin`, a google.rpc.Status. False: there
 * is none. */
bool payload_find_error(struct payload *ret, struct brick_str details);

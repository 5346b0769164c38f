/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Whether bytes are a message of a type, without unpacking them: so that a brick never sees a
 * request, and a client never a reply, that cannot be parsed.
 */

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "brick.h"

/* Messages may nest this deep, as in Google's own parsers. */
#define VALIDATE_DEPTH_MAX 100

/*
 * Well-formed fields, of known numbers with the wire type they must have, strings UTF-8, nested
 * messages the same. Unknown fields are fine. A message whose field `forbidden` is there is not
 * valid (0: none is forbidden).
 */
bool validate_message(const ProtobufCMessageDescriptor *type, const void *bytes, size_t length,
                      uint32_t forbidden);

/* The last value of a top-level string field; NULL and 0: none. The bytes are valid. */
const char *validate_find_string(const void *bytes, size_t length, uint32_t field,
                                 size_t *ret_length);

/* A top-level field of valid bytes, with its tag. */
struct validate_field {
        uint32_t number;
        const char *begin;
        const char *end;
};

/* The field that begins where this one ends: put the beginning of all bytes there first. False: it
 * was the last. */
bool validate_next_field(struct validate_field *field, const char *end);

/* The same of n fields at once. A field 0 is never there; what is not there is left alone. */
void validate_find_strings(const void *bytes, size_t length, const uint32_t *fields, size_t n,
                           struct brick_str *ret);

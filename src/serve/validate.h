/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Whether bytes are a message of a type, without unpacking them: so that a brick never sees a
 * request, and a client never a reply, that cannot be parsed.
 *
 * The promise:
 * - What is accepted is parsed by protobuf-c (bricks) and by Google's parser (clients), and neither
 *   passes over a field that it knows.
 * - What both parse like that is accepted, except for tags of more than 32 bits: no writer makes
 *   them, and protobuf-c takes them for other numbers than Google's parser.
 *
 * Types with a repeated number, bool or enum are not covered: their packed form is refused. No
 * service has one in a request or a reply. tests/fuzz/fuzz-request.c holds the validator to this.
 */

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "brick.h"

/* A message may hold messages down to this level below itself, as for Google's parser. */
#define VALIDATE_DEPTH_MAX 100

/*
 * Known fields must have the wire type of their type, strings must be UTF-8, and messages within
 * must be valid as well. Unknown fields only have to be well formed. A message that has the field
 * `forbidden` is not valid (0: none is forbidden). Takes time linear in length, and no memory.
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

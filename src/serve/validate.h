/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Checks whether bytes are a message of a type, without unpacking them, so that no brick gets a
 * request, and no client a reply, that cannot be parsed.
 *
 * The promise:
 * - Bytes that are accepted can be parsed by protobuf-c (bricks) and by Google's parser (clients),
 *   and neither skips a field that it knows.
 * - Bytes that both can parse like that are accepted, except for tags of more than 32 bits: no
 * writer makes them, and the two parsers take them for different field numbers.
 *
 * Types with a repeated number, bool or enum are not covered: their packed form is refused. No
 * service has one in a request or a reply. tests/fuzz/fuzz-request.c checks the promise.
 */

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "brick.h"

/* How deep messages may nest below the outermost one: the limit of Google's parser. */
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

/* Replaces the field by the one that begins where it ends. Before the first call, set field->end to
 * the beginning of the bytes. False: there is no other field. */
bool validate_next_field(struct validate_field *field, const char *end);

/* The last value of each of n top-level string fields. Of a field that is missing, ret[i] is not
 * changed. Number 0 is always missing. */
void validate_find_strings(const void *bytes, size_t length, const uint32_t *fields, size_t n,
                           struct brick_str *ret);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Protobuf messages as JSON and back, in protobuf's JSON mapping with the field names of the .proto
 * files; fields with default values are written as well. The same mapping as brickctl's
 * (ctl/json.h), with the same texts for mistakes, but from wire format to text and back without
 * objects in between: a hostile body costs no more memory than its bytes.
 *
 * Covered are the types of the eight services: strings, bool, int32, float, messages, Struct.
 */

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "brick.h"
#include "util/json-read.h"
#include "util/json-write.h"

struct arena;

/*
 * Reads a message from a value that json_check() has found right. The bytes are in the arena.
 * False: *ret_mistake, in the arena, has the mistake and its place ("context[0].rol: no such field;
 * did you mean 'role'?"); NULL: the arena is full.
 */
bool message_json_read(const ProtobufCMessageDescriptor *type, struct json_value json,
                       struct arena *arena, struct brick_bytes *ret, const char **ret_mistake);

/*
 * Writes a message that validate_message() has found right. `omitted` is the number of a field that
 * is left out; 0: none.
 */
void message_json_write(struct json_text *text, const ProtobufCMessageDescriptor *type,
                        struct brick_bytes message, uint32_t omitted);

/* The shortest decimal that reads back as the same float: 0.7, not 0.699999988079071. What JSON has
 * no number for is written as a string, "NaN". */
void message_json_put_float(struct json_text *text, float number);

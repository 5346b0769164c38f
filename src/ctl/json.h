/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Converts messages to JSON and back, in protobuf's JSON mapping with the field names of the .proto
 * files. Writes fields with default values as well, so that scripts can rely on them.
 */

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

#include "util/cleanup.h"

static inline ProtobufCMessage *message_free(ProtobufCMessage *message)
{
        if (message)
                protobuf_c_message_free_unpacked(message, NULL);
        return NULL;
}
DEFINE_CLEANUP(ProtobufCMessage *, message_free);

static inline void json_unref(json_t *json)
{
        json_decref(json);
}
DEFINE_CLEANUP(json_t *, json_unref);

/*
 * 0; -ENOMEM; -EINVAL: *ret_error, which the caller frees, has the mistake and its place
 * ("context[0].rol: no such field; did you mean 'role'?").
 */
int message_from_json(const ProtobufCMessageDescriptor *type, json_t *json, ProtobufCMessage **ret,
                      char **ret_error);

/*
 * The same, from text that a user has typed: a JSON object, or, as a short form, a JSON string or
 * plain text, which becomes the field `text_field`. NULL: the type has no short form.
 */
int message_from_text(const ProtobufCMessageDescriptor *type, const char *text_field,
                      const char *text, size_t length, ProtobufCMessage **ret, char **ret_error);

/* NULL: a string in it is not UTF-8, or out of memory. */
json_t *message_to_json(const ProtobufCMessage *message);

/*
 * Like protobuf_c_message_unpack(), with limits on nesting, because unpacking recurses, and on
 * memory, because a message of very many parts needs many times its size. NULL: not a valid
 * message, beyond these limits, or out of memory.
 */
ProtobufCMessage *message_unpack(const ProtobufCMessageDescriptor *type, const void *bytes,
                                 size_t length);

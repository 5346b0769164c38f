/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Messages as JSON and back: protobuf's JSON mapping with the field names of the .proto files.
 * Fields at their default are written too, so that a script always finds them.
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
 * -EINVAL: *ret_error, which the caller frees, says what is wrong and where
 * ("context[0].rol: no such field; did you mean 'role'?"). -ENOMEM.
 */
int message_from_json(const ProtobufCMessageDescriptor *type, json_t *json, ProtobufCMessage **ret,
                      char **ret_error);

/*
 * The same from what a user has typed: a JSON object; or, as a short form, a JSON string or any
 * other text, which becomes the field `text_field` (NULL: the type has no short form).
 */
int message_from_text(const ProtobufCMessageDescriptor *type, const char *text_field,
                      const char *text, size_t length, ProtobufCMessage **ret, char **ret_error);

/* NULL: a string in it is not UTF-8, or out of memory. */
json_t *message_to_json(const ProtobufCMessage *message);

/*
 * NULL: not such a message; or nested so deep that unpacking it, which recurses, would need more
 * than a small part of the stack; or of so many parts that it would need many times its size.
 */
ProtobufCMessage *message_unpack(const ProtobufCMessageDescriptor *type, const void *bytes,
                                 size_t length);

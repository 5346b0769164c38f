/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a brick of each type takes from a pipeline's values, and what it makes of them. A pipeline
 * of a type begins with what its type takes, and replies with what its type makes.
 */

#include <stdbool.h>
#include <stdint.h>

#include "brick-sdk.h"

enum flow {
        FLOW_TEXT,
        FLOW_DOCUMENTS,
        FLOW_DATA,    /* a google.protobuf.Struct */
        FLOW_VERDICT, /* of a guard */
        FLOW_INTENT,
};

struct type_map {
        const char *name;
        const ProtobufCMessageDescriptor *request, *reply;
        const char *input;  /* the field of the request that has what is taken */
        const char *output; /* the field of the reply that has what is made */
        enum flow takes, makes;
        bool streams; /* the type has OutputStreaming */
};

/* Of a BRICK_TYPE_*, other than BRICK_TYPE_ANY. */
const struct type_map *type_map(uint32_t type);

/* For messages: "a text", "documents". */
const char *flow_name(enum flow flow);

/* For messages: the types of steps that make it, "Rectify, Translate and LLM". */
const char *flow_makers(enum flow flow);

/* NULL: the message has no such field. */
const ProtobufCFieldDescriptor *field_named(const ProtobufCMessageDescriptor *type,
                                            const char *name);

/* Where the value of a field lies, and the number of a list's elements. */
void *field_place(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);
size_t *field_count(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);

/* The value of a field that is a string or a message; NULL: the message has no such field, or its
 * field no value. */
void *field_pointer(const ProtobufCMessage *message, const char *name);
void field_set_pointer(ProtobufCMessage *message, const char *name, const void *value);

/*
 * The request for a brick of another type than the pipeline's, or of the same: an empty one with
 * what passes always. The ids and source_language; between bricks of one type, every field. In the
 * memory of the call; NULL: out of memory.
 */
ProtobufCMessage *request_for(struct brick_call *call, const struct type_map *map,
                              const ProtobufCMessage *given);

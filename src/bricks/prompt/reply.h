/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a model may reply as which type of brick, and the check of what it has replied. It is the
 * text of a stranger: bounded in bytes and nesting, and refused unless it is exactly one JSON
 * object with the fields of the type.
 */

#include <jansson.h>
#include <stdbool.h>

#include "brick-sdk.h"

enum reply_kind {
        REPLY_TEXT,   /* not empty */
        REPLY_REMARK, /* a text that may be missing or empty */
        REPLY_BOOL,
        REPLY_SCORE,    /* 0 to 1 */
        REPLY_CATEGORY, /* one of the brick's */
        REPLY_OBJECT,   /* becomes a Struct */
};

struct reply_field {
        const char *name; /* in JSON and in the message */
        enum reply_kind kind;
        const char *meaning; /* as the model is told */
};

struct reply_shape {
        const struct reply_field *fields; /* ends with a NULL name */
        const char *list;                 /* the fields are those of an item of this list; NULL:
                                             of the response */
};

/* NULL: no model can answer as this type. */
const struct reply_shape *reply_shape(unsigned type);

/* Why a reply is refused, for the model and for logs: it has no part of the reply in it. */
struct reply_reason {
        char text[160];
};

struct reply_rules {
        const struct reply_shape *shape;
        char *const *categories; /* ends with NULL */
        size_t max;              /* bytes */
};

/* The object, for json_decref(). NULL: see *reason. */
json_t *reply_parse(const struct reply_rules *rules, const char *text, size_t length,
                    struct reply_reason *reason);

/* A reply that is plain text: without the white space around it. 0, or -EINVAL: see *reason. */
int reply_plain(const struct reply_rules *rules, const char **text, size_t *length,
                struct reply_reason *reason);

/* Writes a checked object into a response, in the memory of the call. 0 or -ENOMEM. */
int reply_fill(const struct reply_shape *shape, const json_t *object, struct brick_call *call,
               ProtobufCMessage *response);

/* The form of the reply, as the model is told; for free(). NULL: out of memory. */
char *reply_form(const struct reply_shape *shape, char *const *categories);

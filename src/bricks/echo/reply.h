/* SPDX-License-Identifier: MIT */
#pragma once

/* Makes the replies of echo for each type of brick, in the arena of the call. */

#include "brick-sdk.h"

struct reply {
        size_t count; /* messages */

        /* for a stream: sets `message` to the message with this index */
        void (*advance)(struct reply *reply, size_t index);
        ProtobufCMessage *message;

        char *text; /* of each message, with its padding */
        size_t text_size;
        const ComposeRequest *compose;
        Value *value;
};

struct reply_sizes {
        size_t tokens;  /* messages of a stream, unless the request sets their number */
        size_t padding; /* the shortest length of a text, in bytes */
};

/* Prepares the reply to a Unary or OutputStreaming call. 0 or -ENOMEM. */
int reply_prepare(struct reply *reply, struct brick_call *call, unsigned type, unsigned method,
                  const struct reply_sizes *sizes);

/* The reply to an InputStreaming call: the number of messages and the data of the last one. NULL:
 * out of memory. */
CommonResponse *reply_summary(struct brick_call *call, size_t count, Struct *last);

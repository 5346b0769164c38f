/* SPDX-License-Identifier: MIT */
#pragma once

/* What echo answers, for each type of brick. Everything is in the call's arena. */

#include "brick-sdk.h"

struct reply {
        size_t count; /* messages */

        /* of a stream: makes `message` the index-th one */
        void (*advance)(struct reply *reply, size_t index);
        ProtobufCMessage *message;

        char *text; /* of each message, its padding in place */
        size_t text_size;
        const ComposeRequest *compose;
        Value *value;
};

struct reply_sizes {
        size_t tokens;  /* messages of a stream whose request does not say how many */
        size_t padding; /* texts are at least so long */
};

/* Of a Unary or OutputStreaming call to a brick of this type. 0 or -ENOMEM. */
int reply_prepare(struct reply *reply, struct brick_call *call, unsigned type, unsigned method,
                  const struct reply_sizes *sizes);

/* Of an InputStreaming call: how many messages came, and the last one's data (NULL: none). */
CommonResponse *reply_summary(struct brick_call *call, size_t count, Struct *last);

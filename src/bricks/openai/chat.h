/* SPDX-License-Identifier: MIT */
#pragma once

/* The JSON of the answers of OpenAI's chat completions: whole answers, and chunks of a stream. */

#include "failure.h"
#include "text.h"

/* An answer so far. Zero-initialize it for a new answer. */
struct chat_answer {
        struct text text; /* what chat_take() has added; the caller empties it */

        bool has_choice; /* there has been a part of an answer */
        bool in_pieces;  /* there has been a chunk with text: a whole message would repeat it */
        bool is_whole;   /* there has been a message of a server that does not say why it ended */
        bool is_working; /* the model has sent something, though it need not be text */

        /* For the trailing metadata. */
        char model[128];
        char finish_reason[64];
        bool has_usage;
        int64_t prompt_tokens, completion_tokens, total_tokens;
};

/* Reads a document: one object, or a list of them. 0; -EINVAL: it is not JSON; -EBADMSG: it is an
 * error; -ENOMEM. */
int chat_take(struct chat_answer *answer, const char *json, size_t size, struct failure *failure);

void chat_answer_done(struct chat_answer *answer);

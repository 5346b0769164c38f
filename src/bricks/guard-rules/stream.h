/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Tries rules on a text that arrives in pieces, with the result that match_text() would have for
 * the whole text, however it is cut. Rules can be tried by any thread; one stream is for one thread
 * at a time.
 */

#include <stdbool.h>
#include <stddef.h>

#include "brick.h"
#include "judge.h"

/* A match is found if it is at most this long. Of a longer one, the part that is seen is judged. */
#define STREAM_SIGHT 2048

/* What all streams share: made once the rules and the categories that are off are final. The judge
 * must outlive it. */
struct stream_plan;

struct stream_limits {
        size_t max_text; /* bytes; the rest of a longer text is not judged */
        bool flag;       /* a text that was not judged completely counts as an attack */
};

int stream_plan_new(struct stream_plan **ret, const struct judge *judge,
                    const struct stream_limits *limits);
struct stream_plan *stream_plan_free(struct stream_plan *plan);

struct stream;

/* The plan must outlive it. NULL: out of memory. */
struct stream *stream_new(const struct stream_plan *plan);
struct stream *stream_free(struct stream *stream);

/* As filter_push() in brick.h. -EILSEQ: not UTF-8; -ENOMEM. */
int stream_push(struct stream *stream, const char *piece, size_t length, bool is_last,
                struct brick_judgement *ret);

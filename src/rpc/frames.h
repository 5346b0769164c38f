/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * HTTP/2 frames, seen while they pass. gRPC core buffers header blocks and messages of any number
 * and size before it tells anybody, lets calls be cancelled without end, and holds a client to its
 * settings only once the client has acknowledged them; here all of these are seen before the core
 * gets the bytes.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/unfinished.h"

#define FRAME_HEAD 9

/* Calls on a connection before its client has acknowledged the settings: what HTTP/2 clients take
 * for the limit until they know it. */
#define FRAMES_EARLY_MAX 100

/* What a client sends. All zeros is the beginning of a connection. */
struct frames {
        uint8_t preface; /* bytes of the client's first words that have passed */
        bool greeted;    /* the client has acknowledged the settings */
        bool opaque;     /* it does not begin as HTTP/2 does: nothing is seen */
        bool skipped;    /* the payload under way is of no message */
        uint8_t n_head;
        uint8_t head[FRAME_HEAD];
        uint32_t payload; /* bytes of the frame that are still to come */
        uint32_t early;   /* header blocks before the settings were acknowledged */
        uint64_t block;   /* bytes of the header block under way, heads included */
        uint64_t data;    /* bytes of messages so far: what DATA frames carry */
        uint64_t calls;   /* HEADERS frames so far */
        /* Streams at most that the client has begun and not ended: one that it has cancelled counts
         * on. Any thread may look. */
        _Atomic uint32_t open;

        struct unfinished_request request; /* of the stream under way; stream 0: none */
        struct unfinished unfinished;      /* of the others */
};

struct frames_limits {
        uint64_t block;    /* bytes of a header block */
        uint64_t bytes;    /* of unfinished messages, together */
        uint32_t requests; /* unfinished at a time */
};

enum frames_verdict {
        FRAMES_GOOD,
        FRAMES_BLOCK,      /* a header block is too large */
        FRAMES_EARLY,      /* more than FRAMES_EARLY_MAX calls */
        FRAMES_MESSAGE,    /* a request begins with what no message begins with */
        FRAMES_UNFINISHED, /* too much is unfinished, or memory is out */
};

/* The next bytes of the connection. Adds the calls that they cancel to *resets. One thread at a
 * time. */
enum frames_verdict frames_pass(struct frames *frames, const void *bytes, size_t length,
                                const struct frames_limits *limits, unsigned *resets);

/* What the core sends. All zeros is the beginning of a connection, or of any frame. */
struct frames_out {
        bool behind;      /* bytes have passed unseen */
        uint32_t payload; /* bytes of the frame that are still to come */
        uint8_t n_head;
        uint8_t head[FRAME_HEAD];
};

/* The next bytes that the core has written: streams that they reset are forgotten in
 * `unfinished`. One thread at a time. */
void frames_sent(struct frames_out *out, const void *bytes, size_t length,
                 struct unfinished *unfinished);

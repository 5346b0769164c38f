/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a client sends, seen as HTTP/2 frames while it passes: only their nine-byte heads are looked
 * at. gRPC core buffers header blocks of any size, lets calls be cancelled without end, and holds a
 * client to its settings only once the client has acknowledged them; here all three are seen before
 * the core gets the bytes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEAD 9

/* Calls on a connection before its client has acknowledged the settings: what HTTP/2 clients take
 * for the limit until they know it. */
#define FRAMES_EARLY_MAX 100

/* All zeros is the beginning of a connection. */
struct frames {
        uint8_t preface; /* bytes of the client's first words that have passed */
        bool greeted;    /* the client has acknowledged the settings */
        bool opaque;     /* it does not begin as HTTP/2 does: nothing is seen */
        uint8_t n_head;
        uint8_t head[FRAME_HEAD];
        uint32_t payload; /* bytes of the frame that are still to come */
        uint32_t early;   /* header blocks before the settings were acknowledged */
        uint64_t block;   /* bytes of the header block under way, heads included */
        uint64_t data;    /* bytes of messages so far: what DATA frames carry */
};

enum frames_verdict {
        FRAMES_GOOD,
        FRAMES_BLOCK, /* a header block has more than max_block bytes */
        FRAMES_EARLY, /* more than FRAMES_EARLY_MAX calls */
};

/* The next bytes of the connection. Adds the calls that they cancel to *resets. */
enum frames_verdict frames_pass(struct frames *frames, const void *bytes, size_t length,
                                uint64_t max_block, unsigned *resets);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a client sends, seen as HTTP/2 frames while it passes: only their nine-byte heads are looked
 * at. gRPC core buffers header blocks of any size and lets calls be cancelled without end; here
 * both are measured before it sees them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEAD 9

/* All zeros is the beginning of a connection. */
struct frames {
        uint8_t preface; /* bytes of the client's first words that have passed */
        bool greeted;    /* the client has acknowledged SETTINGS */
        bool opaque;     /* it does not begin as HTTP/2 in plain text does: nothing is seen */
        uint8_t n_head;
        uint8_t head[FRAME_HEAD];
        uint32_t payload; /* bytes of the frame that are still to come */
        uint64_t block;   /* of the last header block, heads included; 0: none since its end */
};

/*
 * The next bytes of the connection. False: they belong to a header block of more than max_block
 * bytes. Adds the calls that they cancel to *resets.
 */
bool frames_pass(struct frames *frames, const void *bytes, size_t length, uint64_t max_block,
                 unsigned *resets);

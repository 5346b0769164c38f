/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Follows the HTTP/2 frames of a connection (RFC 9113) before the core gets the bytes. The core
 * does not limit the size and number of header blocks and messages that it buffers before it
 * announces a call, nor how many calls a client cancels; and its SETTINGS bind a client only once
 * the client has acknowledged them. The limits here do.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/unfinished.h"

#define FRAME_HEAD 9

/* How many calls a client may begin before it acknowledges the SETTINGS: the limit that HTTP/2
 * clients assume until they know it. */
#define FRAMES_EARLY_MAX 100

/* What a client sends. All zeros: a connection begins. */
struct frames {
        uint8_t preface; /* bytes of the connection preface that have come */
        bool greeted;    /* the client has acknowledged the SETTINGS */
        bool opaque;     /* the preface is not HTTP/2's: nothing is checked */
        bool leaving;    /* the client has sent GOAWAY */
        bool skipped;    /* the current payload is no part of a message */
        uint8_t n_head;
        uint8_t head[FRAME_HEAD];
        uint32_t payload;  /* bytes of the frame that are still to come */
        uint32_t early;    /* header blocks before the SETTINGS were acknowledged */
        uint64_t block;    /* bytes of the current header block, frame heads included */
        uint64_t data;     /* bytes of DATA frames so far */
        uint64_t calls;    /* HEADERS frames so far */
        uint64_t messages; /* complete ones so far */
        uint64_t pings;    /* PING frames so far, without acknowledgements */
        uint64_t streams;  /* begun so far */
        uint32_t newest;   /* of them */
        /* An upper bound of the streams that the client has begun and not ended: a cancelled one
         * still counts. [any] */
        _Atomic uint32_t open;

        struct unfinished_request request; /* of the current stream; stream 0: none */
        struct unfinished unfinished;      /* of the other streams */
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
        FRAMES_MESSAGE,    /* a request does not begin like a gRPC message */
        FRAMES_UNFINISHED, /* too much is unfinished, or there is no memory */
};

/* Checks the next bytes of the connection. Adds the number of calls that they cancel to *resets.
 * [any; one thread at a time] */
enum frames_verdict frames_pass(struct frames *frames, const void *bytes, size_t length,
                                const struct frames_limits *limits, unsigned *resets);

#define FRAMES_GOAWAY 9

/* What the core sends. All zeros: a connection or a frame begins. */
struct frames_out {
        bool is_goaway;   /* the current frame is one */
        uint32_t payload; /* bytes of the frame that are still to come */
        uint32_t error;   /* of GOAWAY; 0: none has been sent, or it is no error */
        uint8_t n_goaway; /* bytes of GOAWAY that have been looked at, at most FRAMES_GOAWAY */
        char reason;      /* the first byte of its text; 0: it has none */
        _Atomic uint64_t replies; /* HEADERS and DATA frames so far [any] */
        _Atomic uint64_t ended;   /* streams that the core has ended, without those reset [any] */
        uint8_t n_head;
        uint8_t head[FRAME_HEAD];
};

/* Follows the next bytes that the core has written: the requests of streams that they reset are
 * removed from `unfinished`. [any; one thread at a time] */
void frames_sent(struct frames_out *out, const void *bytes, size_t length,
                 struct unfinished *unfinished);

/* The same, but quicker, if the bytes are only more of a frame whose payload does not matter.
 * False: they are not, and nothing has been done. */
static inline bool frames_sent_rest(struct frames_out *out, size_t length)
{
        if (length > out->payload || out->is_goaway)
                return false;
        out->payload -= (uint32_t)length;
        return true;
}

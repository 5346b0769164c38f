/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Parses the body of a request: so many bytes, or chunks (RFC 9112, section 7.1). Extensions of
 * chunks and trailers are read, bounded, and dropped.
 */

#include <stddef.h>
#include <stdint.h>

#include "http/head.h"

enum http_body_step {
        HTTP_BODY_MORE, /* needs more bytes */
        HTTP_BODY_DATA, /* *ret_data has the next part of the body */
        HTTP_BODY_END,
        HTTP_BODY_BAD, /* not framed as it should be: the connection cannot go on */
};

struct http_body {
        enum {
                BODY_BYTES,
                BODY_SIZE,      /* in the size of a chunk */
                BODY_EXTENSION, /* behind it, up to CRLF */
                BODY_CHUNK,
                BODY_CHUNK_END, /* the CRLF behind a chunk */
                BODY_TRAILER,
                BODY_DONE,
        } state;
        uint64_t left;     /* bytes of the body, or of the chunk */
        unsigned digits;   /* of a size */
        bool cr;           /* a CR has been read, so that LF must follow */
        size_t line;       /* bytes of the trailer line */
        uint64_t overhead; /* bytes that were framing */
        uint64_t total;    /* bytes that were data */
};

void http_body_begin(struct http_body *body, const struct http_head *head);

/*
 * Takes from the bytes that have come; *ret_taken says how many. Of a part, which lies in these
 * bytes, they are to be taken as well.
 */
enum http_body_step http_body_take(struct http_body *body, const char *bytes, size_t length,
                                   size_t *ret_taken, struct http_text *ret_data);

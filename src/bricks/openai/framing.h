/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Finds the documents in a body that arrives in pieces of any size: server-sent events (WHATWG
 * HTML, section 9.2.6), JSON, or both by turns. What a body is, its bytes say: servers label it
 * wrongly. A line that begins with `{` or `[` begins a JSON document, which may go on over many
 * lines; all others are lines of events.
 *
 * The caller asks for each document, so it can stop after any of them.
 */

#include <stdbool.h>
#include <stddef.h>

/* Follows a JSON document to its end. */
struct nesting {
        size_t depth; /* open lists and objects */
        bool begun, in_string, escaped;
};

struct framing {
        size_t max; /* bytes of one document */

        /* The document from framing_next(): of an event, its data lines joined by '\n'. It is valid
         * until the next call, and as long as the bytes that were passed. */
        const char *data;
        size_t n_data;
        bool is_error; /* of an event with the name `error` */

        /* What has been copied of the document so far; `data` is either this or in the piece. */
        char *copy;
        size_t copy_size;
        struct nesting nesting; /* of its first n_followed bytes */
        size_t n_followed;
        bool has_data; /* there is a document, or the beginning of one */
        bool is_bare;  /* it is JSON that is in no event */
        bool returned; /* the caller has received it */

        char *line; /* of events, so far */
        size_t n_line, line_size;
        bool line_waits; /* `line` is complete; it belongs to the next event */
        bool skip_lf;    /* the last byte was a CR */
        unsigned n_mark; /* bytes of a byte order mark, which counts only at the start */
};

void framing_init(struct framing *framing, size_t max);
void framing_done(struct framing *framing);

/*
 * Advances *pos towards end. 1: a document; 0: all bytes have been consumed; -EMSGSIZE: a document
 * or a line is larger than max; -ENOMEM. Must not be called again after an error.
 */
int framing_next(struct framing *framing, const char **pos, const char *end);

/* At the end of the body, until it returns 0: 1 if there is a last document without its end. */
int framing_last(struct framing *framing);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Parses server-sent events (WHATWG HTML, section 9.2.6) from pieces of any size. The caller
 * requests each event, so it can stop after any of them.
 */

#include <stdbool.h>
#include <stddef.h>

struct sse {
        size_t max; /* bytes of one event */

        /* The event from sse_next(), valid until its next call. */
        bool is_error; /* "event: error" */
        char *data; /* its data lines joined by '\n', NUL-terminated; the caller may write to it */
        size_t n_data;

        size_t data_size;
        char *line; /* the line so far */
        size_t n_line, line_size;
        bool has_data;  /* the event so far has a data line */
        bool returned;  /* the caller has received the event in data */
        bool skip_lf;   /* the last byte was a CR */
        bool past_head; /* a byte order mark counts only at the start */
};

void sse_init(struct sse *sse, size_t max);
void sse_done(struct sse *sse);

/*
 * Advances *pos towards end. 1: an event; 0: all bytes have been consumed; -EMSGSIZE: an event is
 * larger than max; -ENOMEM. Must not be called again after an error.
 */
int sse_next(struct sse *sse, const char **pos, const char *end);

/* At the end of the body: 1 if there is a last event without its final empty line. */
int sse_last(struct sse *sse);

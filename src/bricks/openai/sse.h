/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Server-sent events (WHATWG HTML, section 9.2.6) as they arrive, in pieces of any size. Events are
 * pulled, so that a caller who cannot take more may stop between two of them.
 */

#include <stdbool.h>
#include <stddef.h>

struct sse {
        size_t max; /* bytes of one event */

        /* The event that sse_next() has returned: valid until its next call. */
        bool is_error; /* "event: error" */
        char *data; /* its data lines joined by '\n', NUL-terminated; the caller may write to it */
        size_t n_data;

        size_t data_size;
        char *line; /* the line so far */
        size_t n_line, line_size;
        bool has_data;  /* the event so far has a data line */
        bool returned;  /* the event in data was handed out */
        bool skip_lf;   /* the last byte was a CR */
        bool past_head; /* a byte order mark is only one at the head */
};

void sse_init(struct sse *sse, size_t max);
void sse_done(struct sse *sse);

/*
 * Moves *pos towards end. 1: an event; 0: all bytes are used up; -EMSGSIZE: an event larger than
 * max; -ENOMEM. Not to be called again after an error.
 */
int sse_next(struct sse *sse, const char **pos, const char *end);

/* The body has ended: 1 if there is one more event, which lacks only its end. */
int sse_last(struct sse *sse);

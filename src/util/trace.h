/* SPDX-License-Identifier: MIT */
#pragma once

/* W3C Trace Context (https://www.w3.org/TR/trace-context/): a call's place in a trace. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trace_context {
        uint64_t trace[2]; /* the trace's id, as it is read */
        uint64_t span;     /* the id of a span in it */
        uint8_t flags;     /* TRACE_* */
};

enum {
        TRACE_SAMPLED = 1 << 0, /* the caller records it */
        TRACE_RANDOM = 1 << 1,  /* the trace's id was made by chance */
};

#define TRACE_ID_LENGTH 32
#define TRACE_SPAN_LENGTH 16
#define TRACE_PARENT_LENGTH 55

/* Members of a longer tracestate are dropped, from its end. */
#define TRACE_STATE_MAX 512

/* Reads a traceparent. False: it is none, and the spec wants it ignored. */
bool trace_parse(const char *s, size_t length, struct trace_context *ret);

/* What they write has no end mark; traceparent is of version 00. */
void trace_put_id(const struct trace_context *context, char ret[static TRACE_ID_LENGTH]);
void trace_put_span(uint64_t span, char ret[static TRACE_SPAN_LENGTH]);
void trace_put_parent(const struct trace_context *context, char ret[static TRACE_PARENT_LENGTH]);

/*
 * Appends a header tracestate to those that came before it, whole members only and no more than
 * TRACE_STATE_MAX bytes together. One that no header may hold is left out. Gives the new length.
 */
size_t trace_add_state(char state[static TRACE_STATE_MAX], size_t used, const char *s,
                       size_t length);

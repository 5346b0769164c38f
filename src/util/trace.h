/* SPDX-License-Identifier: MIT */
#pragma once

/* W3C Trace Context (https://www.w3.org/TR/trace-context/). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trace_context {
        uint64_t trace[2]; /* the trace id, most significant half first */
        uint64_t span;     /* the span id */
        uint8_t flags;     /* TRACE_* */
};

enum {
        TRACE_SAMPLED = 1 << 0, /* the caller records the trace */
        TRACE_RANDOM = 1 << 1,  /* the trace id is random */
};

#define TRACE_ID_LENGTH 32
#define TRACE_SPAN_LENGTH 16
#define TRACE_PARENT_LENGTH 55

/* A longer tracestate loses its last members. */
#define TRACE_STATE_MAX 512

/* Parses a traceparent. False: not valid; the specification says to ignore it. */
bool trace_parse(const char *s, size_t length, struct trace_context *ret);

/* Write a hexadecimal id or a traceparent of version 00, without a final NUL. */
void trace_put_id(const struct trace_context *context, char ret[static TRACE_ID_LENGTH]);
void trace_put_span(uint64_t span, char ret[static TRACE_SPAN_LENGTH]);
void trace_put_parent(const struct trace_context *context, char ret[static TRACE_PARENT_LENGTH]);

/*
 * Appends another tracestate header to `state`, which holds `used` bytes. Keeps whole members only,
 * and at most TRACE_STATE_MAX bytes. Ignores a header with invalid characters. Returns the new
 * length.
 */
size_t trace_add_state(char state[static TRACE_STATE_MAX], size_t used, const char *s,
                       size_t length);

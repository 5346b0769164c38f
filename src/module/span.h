/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Spans: what is told of calls in traces. A call's span begins and ends with it; at its end it goes
 * into a ring that has room for a fixed number, and another thread takes it out. A full ring drops
 * and counts. Nothing here blocks or allocates, but tracer_new() and tracer_wait().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "brick.h"
#include "util/cleanup.h"
#include "util/trace.h"

struct tracer;

/* Of a call that runs. */
struct span {
        struct tracer *tracer; /* NULL: nobody traces, and nothing else is set */
        struct trace_context context;
        uint64_t parent; /* 0: it begins its trace */
        uint64_t began;  /* CLOCK_MONOTONIC ns */
};

#define SPAN_REQUEST_ID_MAX 128

/* Of a call that has ended. */
struct span_record {
        struct span span;
        uint64_t ended;
        const char *brick; /* NULL: none has had it; else it lives as long as the configuration */
        unsigned type;     /* BRICK_TYPE_*, whose service it was for; 0: none of ours */
        uint32_t method;   /* BRICK_METHOD_* */
        bool internal;     /* called by a brick, not by a client */
        unsigned status;   /* gRPC's */
        bool in_band;      /* the brick failed it in llmbrick's way */
        int32_t code;      /* llmbrick's, if in_band */
        size_t request_id_length;
        char request_id[SPAN_REQUEST_ID_MAX];
};

/* sample: the share of traces recorded that begin here, 0 to 1. */
int tracer_new(struct tracer **ret, double sample);
struct tracer *tracer_free(struct tracer *tracer);
DEFINE_CLEANUP(struct tracer *, tracer_free);

/* Begins a span under that of another, or a trace of its own (NULL). [any] */
void span_begin(struct span *span, struct tracer *tracer, const struct trace_context *parent,
                uint64_t now);

/* Somebody will look at what the record says. [any] */
static inline bool span_is_recorded(const struct span *span)
{
        return span->tracer && span->context.flags & TRACE_SAMPLED;
}

/* Hands a complete record of a recorded span over. [any] */
void span_end(const struct span_record *record);

/* For the one thread that takes them. Waits until there are many, the time is over, or
 * tracer_wake() is called; false: the ring is empty. */
void tracer_wait(struct tracer *tracer, uint64_t ns);
bool tracer_take(struct tracer *tracer, struct span_record *ret);

void tracer_wake(struct tracer *tracer);              /* [any] */
uint64_t tracer_dropped(const struct tracer *tracer); /* since the start. [any] */

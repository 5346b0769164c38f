/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Spans: the records of calls in traces. The span of a call begins and ends with it. At its end it
 * is put into a ring of fixed size, from which another thread takes it. If the ring is full, the
 * span is dropped and counted. Only tracer_new() allocates, and only tracer_wait() blocks.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "brick.h"
#include "shared/genai.h"
#include "util/cleanup.h"
#include "util/network.h"
#include "util/trace.h"

struct tracer;

/* The span of a running call. */
struct span {
        struct tracer *tracer; /* NULL: no traces, and nothing else is set */
        struct trace_context context;
        uint64_t parent; /* 0: it begins its trace */
        uint64_t began;  /* CLOCK_MONOTONIC ns */
};

#define SPAN_REQUEST_ID_MAX 128
#define SPAN_NAME_MAX 64

/* The span of a call that has ended. */
struct span_record {
        struct span span;
        uint64_t ended;
        const char *brick;      /* its name, which lives as long as the configuration; NULL: none */
        unsigned type;          /* BRICK_TYPE_* of the service that was called; 0: another one */
        uint32_t method;        /* BRICK_METHOD_* */
        bool internal;          /* called by a brick, not by a client */
        unsigned status;        /* gRPC's */
        bool in_band;           /* the brick failed it with an in-band error */
        int32_t code;           /* llmbrick's, if in_band */
        const char *http_route; /* a constant; NULL: the call has not come by HTTP */
        unsigned http_status;   /* 0: none */
        bool has_genai;         /* it was a call to a model */
        struct genai_call genai;
        size_t name_length; /* 0: the service and the method are its name */
        char name[SPAN_NAME_MAX];
        size_t request_id_length;
        char request_id[SPAN_REQUEST_ID_MAX];
        char client[IP_TEXT_MAX]; /* its address; empty: it has none */
};

/* sample: the share of the traces that begin here to record, 0 to 1. */
int tracer_new(struct tracer **ret, double sample);
struct tracer *tracer_free(struct tracer *tracer);
DEFINE_CLEANUP(struct tracer *, tracer_free);

/* Begins a span under that of another, or a trace of its own (NULL). [any] */
void span_begin(struct span *span, struct tracer *tracer, const struct trace_context *parent,
                uint64_t now);

/* Whether a record of the span will be exported. [any] */
static inline bool span_is_recorded(const struct span *span)
{
        return span->tracer && span->context.flags & TRACE_SAMPLED;
}

/* Puts the record of a span that is recorded into the ring. [any] */
void span_end(const struct span_record *record);

/* For the one thread that takes the records. tracer_wait() returns when there are many, after `ns`,
 * or after tracer_wake(). tracer_take() returns false if the ring is empty. */
void tracer_wait(struct tracer *tracer, uint64_t ns);
bool tracer_take(struct tracer *tracer, struct span_record *ret);

void tracer_wake(struct tracer *tracer);              /* [any] */
uint64_t tracer_dropped(const struct tracer *tracer); /* since the start. [any] */

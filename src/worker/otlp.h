/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Exports spans as OTLP over HTTP in JSON, from a thread of its own, as `traces:` configures it.
 * Spans that cannot be sent in time are dropped, counted and logged. Call all functions on the main
 * thread.
 */

#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "util/cleanup.h"

struct diag;
struct otlp;
struct span_record;
struct tracer;

/* *ret is NULL if the configuration does not export traces. conf must outlive the otlp. 0, -EINVAL
 * if diag has the mistakes, or another negative errno. */
int otlp_new(struct otlp **ret, const struct conf *conf, struct diag *diag);
int otlp_start(struct otlp *otlp);

/* The tracer that takes the spans; NULL if otlp is NULL. */
struct tracer *otlp_tracer(const struct otlp *otlp);

/* Sends the remaining spans, for at most two seconds. The tracer must no longer be in use. */
struct otlp *otlp_free(struct otlp *otlp);
DEFINE_CLEANUP(struct otlp *, otlp_free);

/* The most bytes of a request with n spans. */
#define OTLP_REQUEST_MAX(n) (4096 * ((n) + 1))

/* Writes an ExportTraceServiceRequest with n > 0 spans to ret, which has OTLP_REQUEST_MAX(n) bytes,
 * and returns its length. to_unix: ns to add to CLOCK_MONOTONIC to get Unix time. */
size_t otlp_write_request(char *ret, const char *service, const struct span_record *records,
                          size_t n, uint64_t to_unix);

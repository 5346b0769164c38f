/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Exports spans as `traces:` says: OTLP over HTTP, as JSON, from a thread of its own. What cannot
 * be sent in time is dropped, counted and told in the log. All functions are for the main thread.
 */

#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "util/cleanup.h"

struct diag;
struct otlp;
struct span_record;
struct tracer;

/* *ret is NULL if the configuration has no traces. Mistakes go to diag; -EINVAL then. conf must
 * outlive the otlp. */
int otlp_new(struct otlp **ret, const struct conf *conf, struct diag *diag);
int otlp_start(struct otlp *otlp);

/* What spans go into; of NULL: NULL. */
struct tracer *otlp_tracer(const struct otlp *otlp);

/* Sends what is left, for at most two seconds. Nobody uses the tracer any more. */
struct otlp *otlp_free(struct otlp *otlp);
DEFINE_CLEANUP(struct otlp *, otlp_free);

/* Room for a request with n spans. */
#define OTLP_REQUEST_MAX(n) (2048 * ((n) + 1))

/* The body of one request, an ExportTraceServiceRequest with n > 0 spans; gives its length.
 * to_unix: what to add to CLOCK_MONOTONIC. */
size_t otlp_write_request(char *ret, const char *service, const struct span_record *records,
                          size_t n, uint64_t to_unix);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Calls to language models in the terms of OpenTelemetry's semantic conventions for generative AI:
 * their names, and the places in the shared memory where such calls are counted.
 */

#include <stdbool.h>
#include <stdint.h>

#include "shared/stats.h"

/* What an attribute says that has no place of its own. */
#define GENAI_OTHER "_OTHER"

#define GENAI_REASON_MAX 31

enum genai_attribute {
        GENAI_ATTRIBUTE_OPERATION,
        GENAI_ATTRIBUTE_PROVIDER,
        GENAI_ATTRIBUTE_REQUEST_MODEL,
        GENAI_ATTRIBUTE_RESPONSE_MODEL,
        GENAI_ATTRIBUTE_INPUT_TOKENS,
        GENAI_ATTRIBUTE_OUTPUT_TOKENS,
        GENAI_ATTRIBUTE_FINISH_REASONS,
        GENAI_ATTRIBUTE_TOKEN_TYPE,
        GENAI_ATTRIBUTE_ERROR_TYPE,
        GENAI_ATTRIBUTES,
};

enum genai_operation { GENAI_CHAT, GENAI_TEXT_COMPLETION, GENAI_OPERATIONS };
enum genai_provider { GENAI_BRICKD, GENAI_OPENAI, GENAI_PROVIDERS };

/* The kinds of error: none, gRPC's other statuses, and the classes of llmbrick's codes. */
#define GENAI_ERRORS (STATS_STATUSES + STATS_CLASSES - 1)

enum genai_metric {
        GENAI_METRIC_DURATION,
        GENAI_METRIC_FIRST,
        GENAI_METRIC_PER_TOKEN,
        GENAI_METRIC_TOKENS,
        GENAI_METRICS,
};

/* A histogram: its name for Prometheus, what it is, and the upper ends of its buckets, in ns or
 * tokens. */
struct genai_metric_spec {
        const char *name, *help;
        unsigned n_bounds;
        uint64_t bounds[STATS_BUCKETS];
};

extern const struct genai_metric_spec genai_metrics[GENAI_METRICS];

const char *genai_attribute_to_string(enum genai_attribute attribute);
const char *genai_operation_to_string(enum genai_operation operation);
const char *genai_provider_to_string(enum genai_provider provider);
const char *genai_error_to_string(unsigned error); /* "": none */

/* The number of an error among GENAI_ERRORS. */
unsigned genai_error_of(unsigned status, enum stats_class c);

/* What distinguishes the calls of one place. A model is printable ASCII without spaces; "": not
 * known. */
struct genai_key {
        unsigned operation, provider, error;
        char request_model[STATS_MODEL_MAX + 1];
        char response_model[STATS_MODEL_MAX + 1];
};

bool genai_key_equal(const struct genai_key *a, const struct genai_key *b);

/* The key under which calls of this one count when there are too many. */
struct genai_key genai_key_other(const struct genai_key *key);

/* What is told of one call. */
struct genai_call {
        struct genai_key key;
        bool counted; /* the tokens are known */
        int64_t input, output;
        char finish_reason[GENAI_REASON_MAX + 1]; /* "": not known */
};

/*
 * [worker, one thread at a time] The place of a key. Models come from clients and servers: when
 * many have a place, others count as GENAI_OTHER. Never NULL.
 */
struct stats_genai *genai_place(struct stats_head *head, const struct genai_key *key);

/* [any] The key of a place. False: the place is free, or another process has written there what
 * cannot be a key. */
bool genai_read_key(const struct stats_genai *place, struct genai_key *ret);

/* [worker, one thread at a time] */
void genai_observe(struct stats_histogram *histogram, enum genai_metric metric, uint64_t value);

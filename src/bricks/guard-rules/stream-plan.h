/* SPDX-License-Identifier: MIT */
#pragma once

/* What all streams of one brick share; only stream.c looks inside. Immutable. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream.h"

/* Bytes that stay before the place where a match can begin, for lookbehinds and for the start of a
 * word. */
#define STREAM_BACK 1024

struct pattern {
        const pcre2_code *regex;
        uint32_t rule;
        uint32_t back; /* bytes before a match that the regex may look at */
};

struct stream_plan {
        const struct judge *judge;
        const struct rules *rules;
        struct stream_limits limits;
        struct pattern *patterns;
        size_t n_patterns;
        size_t n_words;   /* of a set of patterns */
        uint64_t *starts; /* [byte]: the set of patterns of which a match can begin with it */
        uint64_t *raw;    /* the set of patterns that are tried on the original text */
        size_t longest;   /* literal, in bytes */
};

/* Whether the category of a rule is off. */
bool stream_is_off(const struct rules *rules, size_t rule);

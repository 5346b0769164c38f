/* SPDX-License-Identifier: MIT */
#pragma once

/* The compiled rules of rule files. One thread creates them; then they are immutable. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "check.h"
#include "literals.h"

struct brick_yaml;

struct category {
        char *name;
        double threshold; /* the lowest score that is an attack */
        bool off;         /* do not try its rules */
        bool spared;      /* reported, but never an attack */
        bool masked;      /* spared, and all of its places are told so that they can be masked */
        size_t n_rules;
        char **languages; /* of its rules, each once */
        size_t n_languages;
};

struct rule {
        char *id;
        uint32_t category;
        double score; /* above 0, at most 1 */
        bool raw;     /* matches the original text, not the folded one */
        bool needs;   /* try the regexes only near a LITERAL_NEED */
        check_fn *check;
        pcre2_code **regexes;
        size_t n_regexes;
};

enum {               /* struct literal.kind; owner is the index of a rule */
       LITERAL_WORD, /* a hit of the rule, if it is a whole word */
       LITERAL_NEED,
       LITERAL_ENCODING, /* a word of an encoding; owner is an enum encoding */
};

/* How a text can hide another one. See decode.h. */
enum encoding {
        ENCODING_NONE,
        ENCODING_ESCAPES,
        ENCODING_BASE64,
        ENCODING_HEX,
        ENCODING_BINARY,
        ENCODING_SELECTORS,
        ENCODING_SPACED,
        ENCODING_LEET,
        ENCODING_ROT13,
        ENCODING_REVERSED,
};

struct rules {
        struct category *categories;
        size_t n_categories;
        struct rule *rules;
        size_t n_rules;
        struct literal *list;
        size_t n_list;
        size_t list_bytes;
        struct literals *literals;
        uint32_t *always; /* rules with regexes but no needs */
        size_t n_always;
        char *model; /* path of the model that the files name; NULL: none */
        void *ids;   /* tsearch() tree of every rule->id */
        bool slow;   /* there is no JIT compiler */
};

#define RULES_FILE_MAX (4 << 20) /* bytes */
#define RULES_MAX 10000          /* of all files together */

int rules_new(struct rules **ret);
struct rules *rules_free(struct rules *rules);

/*
 * Adds the rules of a file and runs its tests. yaml must be new; it receives all mistakes. 0;
 * -EINVAL: there are mistakes; -ENOMEM. After an error, only rules_free() is allowed.
 */
int rules_read(struct rules *rules, const char *path, struct brick_yaml *yaml);
int rules_parse(struct rules *rules, const char *path, const char *bytes, size_t length,
                struct brick_yaml *yaml);

/* Finds a category. NULL: unknown name. */
struct category *rules_category(const struct rules *rules, const char *name);

static inline bool category_blames(const struct category *category, double score)
{
        return score >= category->threshold && !category->spared;
}

/* The score of a category: 1 - (1 - score)(1 - score)... over its rules among the hits, which are
 * in ascending order. 0: none. */
double rules_score(const struct rules *rules, const uint32_t *hits, size_t n, size_t category);

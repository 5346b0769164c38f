/* SPDX-License-Identifier: MIT */
#pragma once

/* Rules as rule files state them, ready to be matched. Made by one thread, then immutable. */

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
        double threshold; /* a score from here on is an attack */
        bool off;         /* its rules are not tried */
        size_t n_rules;
        char **languages; /* of its rules, each once */
        size_t n_languages;
};

struct rule {
        char *id;
        uint32_t category;
        double score; /* over 0, to 1 */
        bool raw;     /* sees the text as it came, not folded */
        bool needs;   /* the regexes are tried only if one of its LITERAL_NEED is there */
        check_fn *check;
        pcre2_code **regexes;
        size_t n_regexes;
};

enum {               /* struct literal.kind; owner is the index of a rule */
       LITERAL_WORD, /* the rule hits, if this stands at word's edges */
       LITERAL_NEED,
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
        void *ids; /* tsearch() tree of all rule->id */
        bool slow; /* there is no JIT compiler */
};

#define RULES_FILE_MAX (4 << 20) /* bytes */
#define RULES_MAX 10000          /* in all files */

int rules_new(struct rules **ret);
struct rules *rules_free(struct rules *rules);

/*
 * Adds the rules of a file, and runs the tests in it. yaml is new and gets every mistake: -EINVAL;
 * or -ENOMEM. After a failure only rules_free() is legal.
 */
int rules_read(struct rules *rules, const char *path, struct brick_yaml *yaml);
int rules_parse(struct rules *rules, const char *bytes, size_t length, struct brick_yaml *yaml);

/* NULL: none of that name. */
struct category *rules_category(const struct rules *rules, const char *name);

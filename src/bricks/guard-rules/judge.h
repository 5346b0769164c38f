/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Judges a whole text: by the rules, by the model where the rules have not blamed it, and the same
 * for what the text hides in an encoding. Any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "linear.h"
#include "match.h"

/* What judges: made once, immutable. */
struct judge {
        const struct rules *rules;
        const struct linear *model;         /* NULL: none */
        uint32_t categories[LINEAR_LABELS]; /* [label of the model]: its category */
};

#define JUDGE_MODEL "model" /* where a rule's name stands for rules */

/* Why a text is blamed, or nearly. */
struct hit {
        uint32_t category;
        const char *rule; /* its name, or JUDGE_MODEL */
        double score;
        enum encoding encoding; /* that was undone, or ENCODING_NONE */
        size_t from;            /* place in the original text */
        size_t to;
};

#define HITS_MAX 32 /* of a text; more are not kept */

struct verdict {
        struct hit hits[HITS_MAX];
        size_t n_hits;
        char why[96];   /* of the last hit of the model: its n-grams; "": none */
        bool undecoded; /* there was no time to look into all encodings */
};

/*
 * Finds the categories of the model's labels. NULL, or why the rules and the model do not go
 * together.
 */
const char *judge_init(struct judge *judge, const struct rules *rules, const struct linear *model);

/*
 * 0, or -EILSEQ: the text is not UTF-8. `memory` is as for match_text(); match, which points into
 * it, is the result of the rules for the plain text.
 */
int judge_text(const struct judge *judge, const char *text, size_t length, void *memory,
               struct match *match, struct verdict *ret);

/* The score of a category: of its rules as rules_score(), or of the model if that is higher. */
double judge_score(const struct verdict *verdict, size_t category);

/* The probability from which the model's opinion is told: an attack, or half way there. */
bool judge_is_told(const struct judge *judge, uint32_t category, double probability);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The nearest examples by TF-IDF: the cosine of weighted features. How sure a verdict is, is
 * learned from the examples: each is classified by the others, as if it were new, and by those of
 * the other categories alone, as if it belonged to none.
 */

#include <stddef.h>

#include "examples.h"
#include "feature.h"

struct classifier; /* constant once it is made: any number of threads may use it */

/* examples must live as long. 0 or -ENOMEM. */
int classifier_new(const struct examples *examples, struct classifier **ret);
void classifier_free(struct classifier *classifier); /* accepts NULL */

struct verdict {
        size_t category;
        size_t example;    /* the nearest one of the category */
        double similarity; /* 0 to 1 */
        double confidence; /* how likely it is that the text belongs to the category */
};

/* Memory for classify(). */
size_t classifier_size(const struct classifier *classifier);

/* The categories that have anything in common with a text, the surest first; at most max. Returns
 * their number. memory: classifier_size() bytes, aligned for a double. */
size_t classify(const struct classifier *classifier, const struct features *text, void *memory,
                struct verdict *verdicts, size_t max);

/* The features of a text that weighed most for its likeness to an example: at most max places in
 * the text, the heaviest first. Returns their number. */
struct weighed {
        size_t start, length; /* bytes of the text */
        double weight;        /* part of the similarity */
};
size_t classifier_explain(const struct classifier *classifier, const struct features *text,
                          size_t example, struct weighed *weighed, size_t max);

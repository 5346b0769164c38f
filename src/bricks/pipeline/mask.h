/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Placeholders that stand for parts of a text, such as [PII_EMAIL_1], and how they become these
 * parts again. One mask belongs to one call.
 */

#include <stdbool.h>

#include "buffer.h"

#define PLACEHOLDER_MAX 80

struct mask_entry {
        char placeholder[PLACEHOLDER_MAX];
        size_t n_placeholder;
        char *original;
        size_t n_original;
};

struct mask {
        struct mask_entry *entries;
        size_t n;
};

/* A rule's or category's name as a placeholder has it, without brackets: pii-email is PII_EMAIL. */
void mask_name(char name[PLACEHOLDER_MAX], const char *rule, size_t length);

/* The placeholder of a part of a text: the same one for the same part. NULL: out of memory. */
const char *mask_add(struct mask *mask, const char *rule, size_t n_rule, const char *part,
                     size_t n_part);
void mask_done(struct mask *mask);

/*
 * Restores the parts in a text that arrives in pieces, also where a piece ends inside a
 * placeholder. `held` has what may still become one. 0 or -ENOMEM.
 */
struct restorer {
        const struct mask *mask;
        struct buffer held;
};

int restorer_push(struct restorer *restorer, const char *text, size_t length, bool last,
                  struct buffer *out);
void restorer_done(struct restorer *restorer);

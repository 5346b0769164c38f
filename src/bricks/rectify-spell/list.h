/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Look-up lists of what is wrong and what is right, as codespell has them: a pair in a line,
 * wrong->right. A pair with a comma in what is right names several, or a reason, and is left out.
 * Behind " ! " may stand texts in which what looks wrong is right. Lines that begin with # are
 * comments.
 */

#include <stdbool.h>
#include <stddef.h>

#define LIST_FILE_MAX (16 << 20)

struct list; /* constant once it is read: any number of threads may use it */

struct list_mistake {
        size_t line;
        char text[128];
};

/* Takes the bytes, which are for free(). 0; -EINVAL: see *mistake; -ENOMEM. */
int list_new(char *bytes, size_t length, struct list **ret, struct list_mistake *mistake);
struct list *list_free(struct list *list); /* accepts NULL; returns NULL */
size_t list_size(const struct list *list);

struct pair {
        const char *wrong;
        const char *right;
        const char *unless; /* texts with a space between; "" */
};

/* NULL: it is not in the list, which may be NULL. */
const struct pair *list_find(const struct list *list, const char *word, size_t length);

/* The longest pair whose wrong side the text has at an offset, unless an exception is there. */
const struct pair *list_match(const struct list *list, const char *text, size_t length, size_t at);

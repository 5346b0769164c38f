/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Searches an index. Any number of threads may use a searcher: each search takes a connection of
 * its own from a stack of idle ones. The searcher need not be made again when the index is missing,
 * replaced or written to: every search checks the file.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scope.h"

enum {
        SEARCH_E_CANCELLED = 1,
        SEARCH_E_UNAVAILABLE, /* no usable index: search_error has the reason */
};

/* The message for the user when a search fails. */
struct search_error {
        char text[512];
};

/* One document, by its best passage. Strings are UTF-8 and live until the callback returns. */
struct search_hit {
        const char *id;
        const char *title;
        const char *snippet;
        const char *metadata; /* a JSON object */
        double score;
        int passage; /* 1 to passages */
        int passages;
};

/* Who searches. Without is_member(): one who is in no group. */
struct search_who {
        /* Whether one is in the group, whose name has n bytes. */
        bool (*is_member)(void *user, const char *group, size_t n);
        void *user;
};

struct search_query {
        struct search_who who;
        const char *text; /* UTF-8, plain text, n bytes */
        size_t n;
        int max_results;
        int snippet_words;

        /*
         * Gives the vector of the text by the model that has made those of the index. 0; a negative
         * errno: there is none, and the search is by words alone. Not called if the index has no
         * vectors; NULL: by words alone.
         */
        int (*embed)(void *user, const char *model, size_t dimension, float *ret);

        /* True: end the search. Called about every millisecond. May be NULL. */
        bool (*cancelled)(void *user);

        /* Called for each hit, best first. A negative errno ends the search. -EBADMSG: the metadata
         * is not what it should be, so that the index is damaged. */
        int (*hit)(void *user, const struct search_hit *hit);
        void *user;
};

/* Of what one may find. */
struct search_statistics {
        int64_t documents;
        int64_t passages;
        char model[256]; /* of the vectors; "": there are none */
};

struct searcher *searcher_free(struct searcher *s);
DEFINE_CLEANUP(struct searcher *, searcher_free);

/* The file need not exist. Negative errno. */
int searcher_new(const char *path, struct searcher **ret);

/*
 * 0, SEARCH_E_*, or a negative errno. *error is set unless it is 0. Everything that is read from
 * the file is checked. After a search has found that the file is damaged, every call fails with the
 * same error until the file changes.
 */
int searcher_search(struct searcher *s, const struct search_query *query,
                    struct search_error *error);
int searcher_statistics(struct searcher *s, const struct search_who *who,
                        struct search_statistics *ret, struct search_error *error);

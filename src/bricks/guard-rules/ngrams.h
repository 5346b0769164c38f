/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The features of the linear model: hashed n-grams of a folded text. Words give themselves, their
 * stems, and pairs and triples of stems; characters of scripts without spaces (Chinese, Japanese,
 * Korean, Thai) give runs of one to four. An n-gram that is repeated in a sentence counts once,
 * unless it is crowded out of a small table. A text may arrive in pieces: the n-grams do not depend
 * on where it is cut between two characters.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ngram {
        uint32_t hash;
        uint32_t from; /* its place in the folded text */
        uint32_t to;   /* from: it is a stem, which says nothing to a reader */
};

#define NGRAMS_BATCH 32
#define NGRAMS_SEEN 128 /* a power of two */

struct ngrams_sink {
        void (*take)(void *user, const struct ngram *list, size_t n);
        /* A sentence or line ends at this offset. What has been taken since the last one is its. */
        void (*segment)(void *user, uint32_t end);
};

struct ngrams_token {
        uint32_t hash;
        uint32_t from;
};

/* The state between pieces. Zeroed by ngrams_begin(). */
struct ngrams {
        const struct ngrams_sink *sink;
        void *user;

        /* the word that has begun */
        uint32_t length; /* characters; 0: none has begun */
        uint32_t from;
        uint32_t word; /* hash */
        uint32_t stem; /* hash of its first characters */

        struct ngrams_token before[2]; /* the last tokens, the newest first */
        struct ngrams_token wide[4];   /* the last characters of a script without spaces */
        uint32_t size;                 /* of the segment; see SEGMENT_MAX */
        uint32_t salt;                 /* of the segment */
        bool dot;                      /* the last character may end a sentence */
        uint32_t seen[NGRAMS_SEEN];    /* n-grams of the segment, plus its salt */

        size_t n;
        struct ngram batch[NGRAMS_BATCH];
};

void ngrams_begin(struct ngrams *g, const struct ngrams_sink *sink, void *user);

/* Takes whole characters of valid UTF-8. at: the offset of the first in the folded text. */
void ngrams_push(struct ngrams *g, const char *text, size_t length, uint32_t at);

/* The text ends at this offset. */
void ngrams_end(struct ngrams *g, uint32_t at);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A hunspell dictionary. A word is corrected only if exactly one suggestion of a single word is one
 * step away: a letter more, less or another, or two exchanged. Other suggestions are wrong too
 * often.
 */

#include <stdbool.h>
#include <stddef.h>

#define SPELLER_WORD_MAX 30 /* bytes of a word that is looked up */

struct speller; /* any number of threads may use it, each with a reader of its own */
struct reader;

/* path: without .aff and .dic. terms: words to add, with newlines between, valid as long; lines
 * that begin with # are comments. 0; -ENOENT or another errno of opening a file; -EINVAL: the
 * encoding of the dictionary is unknown; -ENOMEM. */
int speller_new(const char *path, const char *terms, struct speller **ret);
struct speller *speller_free(struct speller *speller); /* every reader is back. Accepts NULL */

/* Hunspell itself is for one thread at a time, so there are as many of them as threads use at once.
 * NULL: out of memory, or the encoding of the dictionary is unknown. */
struct reader *speller_borrow(struct speller *speller);
void speller_return(struct speller *speller, struct reader *reader); /* accepts NULL */

/* Whether the dictionary has the word. */
bool speller_knows(struct reader *reader, const char *word, size_t length);

/*
 * What a word should be: 0 characters if that is not certain. looked_up: how many words have been
 * looked up for this text, which takes 30 ms each; from `max` on, only what is remembered counts.
 */
struct correction {
        char text[2 * SPELLER_WORD_MAX];
};
struct correction speller_correct(struct speller *speller, struct reader *reader, const char *word,
                                  size_t length, unsigned *looked_up, unsigned max);

/* Whether a word is the British form of the other one: colour, realise, travelled, centre,
 * judgement. */
bool speller_is_british(const char *word, const char *other);

/* Whether two words in UTF-8 are one step apart. */
bool speller_is_near(const char *a, const char *b);

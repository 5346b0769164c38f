/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The rowid of a passage: all that a search must know of a passage before it ranks it. So ranking
 * reads no other table, however many passages match. From the most significant bit:
 *
 *   audience  10 bits  who may find the passage: a row of the table audience
 *   document  27 bits
 *   number    16 bits  of the passage in its document, from 0
 *   title      4 bits  the number of words of the title, and
 *   body       6 bits  of the passage, rounded to one of so many levels
 */

#include <stddef.h>
#include <stdint.h>

#define ROWID_BODY_BITS 6
#define ROWID_TITLE_BITS 4
#define ROWID_NUMBER_BITS 16
#define ROWID_DOCUMENT_BITS 27
#define ROWID_AUDIENCE_BITS 10

#define ROWID_BODY_LEVELS (1 << ROWID_BODY_BITS)
#define ROWID_TITLE_LEVELS (1 << ROWID_TITLE_BITS)
#define ROWID_NUMBERS (1 << ROWID_NUMBER_BITS)
#define ROWID_DOCUMENTS (1 << ROWID_DOCUMENT_BITS)
#define ROWID_AUDIENCES (1 << ROWID_AUDIENCE_BITS)

/* About the number of tokens in a text: words, and characters of scripts without spaces. */
size_t rowid_words(const char *text, size_t n);

/* audience, document and number must be in their ranges. */
int64_t rowid_make(int64_t audience, int64_t document, int number, size_t title_words,
                   size_t body_words);

/* The lowest and the highest rowid of a document. */
int64_t rowid_first(int64_t audience, int64_t document);
int64_t rowid_last(int64_t audience, int64_t document);

/* The number of words that a level stands for. */
double rowid_title_words(unsigned level);
double rowid_body_words(unsigned level);

/* A damaged file may have a negative rowid: all of these are in their ranges nevertheless. */
static inline unsigned rowid_body_level(int64_t rowid)
{
        return (uint64_t)rowid & (ROWID_BODY_LEVELS - 1);
}

static inline unsigned rowid_title_level(int64_t rowid)
{
        return (uint64_t)rowid >> ROWID_BODY_BITS & (ROWID_TITLE_LEVELS - 1);
}

static inline int rowid_number(int64_t rowid)
{
        return (uint64_t)rowid >> (ROWID_BODY_BITS + ROWID_TITLE_BITS) & (ROWID_NUMBERS - 1);
}

static inline int64_t rowid_document(int64_t rowid)
{
        return (uint64_t)rowid >> (ROWID_BODY_BITS + ROWID_TITLE_BITS + ROWID_NUMBER_BITS) &
               (ROWID_DOCUMENTS - 1);
}

static inline unsigned rowid_audience(int64_t rowid)
{
        return (uint64_t)rowid >> (ROWID_BODY_BITS + ROWID_TITLE_BITS + ROWID_NUMBER_BITS +
                                   ROWID_DOCUMENT_BITS) &
               (ROWID_AUDIENCES - 1);
}

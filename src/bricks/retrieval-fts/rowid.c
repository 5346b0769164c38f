/* SPDX-License-Identifier: MIT */
#include "rowid.h"

#include <math.h>
#include <stdbool.h>

#include "fold.h"

/* Levels of a passage for each doubling of its words: they are at most 6 % off. */
#define BODY_LEVELS_PER_DOUBLING 6

static const uint8_t title_words[ROWID_TITLE_LEVELS] = {
        0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 28, 40, 60,
};

size_t rowid_words(const char *text, size_t n)
{
        bool inside = false;
        struct folded f;
        size_t words = 0;

        for (size_t i = 0; i < n;) {
                if (inside && text[i] >= 'a' && text[i] <= 'z') {
                        i++;
                        continue;
                }
                i += fold_next(text + i, n - i, &f);
                if (f.kind == FOLD_IGNORED)
                        continue;
                words += f.kind == FOLD_UNSPACED || (f.kind == FOLD_WORD && !inside);
                inside = f.kind == FOLD_WORD;
        }
        return words;
}

static unsigned title_level(size_t words)
{
        unsigned level = 0;

        while (level + 1 < ROWID_TITLE_LEVELS && title_words[level + 1] <= words)
                level++;
        return level;
}

static unsigned body_level(size_t words)
{
        double level = round(BODY_LEVELS_PER_DOUBLING * log2((double)words + 1));

        return level < ROWID_BODY_LEVELS ? (unsigned)level : ROWID_BODY_LEVELS - 1;
}

double rowid_title_words(unsigned level)
{
        return title_words[level];
}

double rowid_body_words(unsigned level)
{
        return exp2((double)level / BODY_LEVELS_PER_DOUBLING) - 1;
}

int64_t rowid_first(int64_t audience, int64_t document)
{
        return (audience << ROWID_DOCUMENT_BITS | document)
               << (ROWID_NUMBER_BITS + ROWID_TITLE_BITS + ROWID_BODY_BITS);
}

int64_t rowid_last(int64_t audience, int64_t document)
{
        return rowid_first(audience, document) |
               (ROWID_NUMBERS * ROWID_TITLE_LEVELS * INT64_C(1) * ROWID_BODY_LEVELS - 1);
}

int64_t rowid_make(int64_t audience, int64_t document, int number, size_t title, size_t body)
{
        return rowid_first(audience, document) |
               (int64_t)number << (ROWID_TITLE_BITS + ROWID_BODY_BITS) |
               title_level(title) << ROWID_BODY_BITS | body_level(body);
}

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Divides text into the tokens of the index. Documents and queries go through this alike, so that
 * what one has, the other finds.
 *
 *   installing     instal
 *   sign-off       sign, off; alias signoff
 *   getUserName    getusernam; aliases get, user, name
 *   l'imprimante   imprimant
 *   Postgres's     postgr
 *   C++, .NET      c++; net, alias .net
 *   Muenchen       muenchen, which is also an alias of the spelling with an umlaut
 *   資料庫         the pairs 資料 and 料庫, folded to simplified characters with OpenCC
 */

#include <stdbool.h>
#include <stddef.h>

/* Longer tokens are cut. */
#define WORDS_TOKEN_MAX 128

enum words_kind {
        WORDS_PART,  /* has a position of its own: a word, a part of one, a pair of characters */
        WORDS_ALIAS, /* another form of the tokens before it, or a part of the last; at its position
                      */
        WORDS_ALONE, /* a run of one character of a script without spaces; has a position */
        WORDS_ELIDED, /* an article before an apostrophe: no token of the index */
        WORDS_LAST,   /* the last character of a longer run, at the position of the last pair */
};

struct words_token {
        const char *text; /* lower case, stemmed */
        size_t n;
        const char *folded; /* the same, not stemmed */
        size_t n_folded;
        size_t start; /* where it is in the text */
        size_t end;
        enum words_kind kind;
        bool unspaced;
};

/* Calls func for each token, in order. Stops when func returns other than 0, and returns that. */
typedef int words_func(void *user, const struct words_token *token);
int words_each(const char *text, size_t n, words_func *func, void *user);

/* The same for tokens with a position only, which are not stemmed: where the words are. */
int words_places(const char *text, size_t n, words_func *func, void *user);

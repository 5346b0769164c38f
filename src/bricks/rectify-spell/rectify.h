/* SPDX-License-Identifier: MIT */
#pragma once

/* Correcting a text: which words, by what, and in which language. */

#include "brick-sdk.h"
#include "list.h"
#include "speller.h"

#define LANGUAGES_MAX 8

struct language {
        char tag[16]; /* "en" */
        struct speller *speller;
};

struct rectifier {               /* constant while calls run */
        struct list *list;       /* English. NULL: none */
        struct list *extra;      /* the user's own, for all languages. NULL: none */
        struct list *confusions; /* Chinese. NULL: not to be corrected */
        struct language languages[LANGUAGES_MAX];
        size_t n_languages;
        char *terms; /* words that dictionaries lack */
        unsigned max_lookups;
        void *taiwan; /* OpenCC's words of Taiwan; NULL: not wanted */
};

struct change {
        size_t at; /* bytes of the text as it came */
        const char *from, *to;
        const char *by; /* "list", "dictionary", "confusions", "words" */
};

struct rectified {
        char *text;
        struct change *changes;
        size_t n_changes;
};

/* language: a tag of the text's language, or "" if it is to be found out. Everything in *ret is the
 * call's memory. 0; -ECANCELED; -ENOMEM. */
int rectify(const struct rectifier *rectifier, struct brick_call *call, const char *text,
            const char *language, struct rectified *ret);

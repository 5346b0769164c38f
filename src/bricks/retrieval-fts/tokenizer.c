/* SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <stdlib.h>

#include "schema.h"
#include "unicode.h"

typedef int token_func(void *user, int flags, const char *token, int length, int start, int end);

struct tokenizer {
        fts5_tokenizer words;
        Fts5Tokenizer *instance; /* for words */
};

/* The callback of xTokenize's caller, for a part of the text that starts at offset. */
struct part {
        token_func *token;
        void *user;
        int offset;
};

static int part_token(void *user, int flags, const char *token, int length, int start, int end)
{
        struct part *part = user;

        return part->token(part->user, flags, token, length, part->offset + start,
                           part->offset + end);
}

/* The end of the run of characters of one kind that starts at text[start]. */
static int run_end(const char *text, int start, int n, bool *ret_unspaced)
{
        size_t length;
        int i = start;

        *ret_unspaced = unicode_is_unspaced(unicode_get(text + i, n - i, &length));
        for (i += length; i < n; i += length)
                if (unicode_is_unspaced(unicode_get(text + i, n - i, &length)) != *ret_unspaced)
                        break;
        return i;
}

/*
 * Each character of a run starts a token: a pair with the next character; the last character is a
 * token by itself. It has the position of the last pair, so that a phrase can continue after the
 * run. A query leaves it out, unless the run has only one character.
 */
static int tokenize_pairs(void *user, bool query, const char *text, int start, int end,
                          token_func *token)
{
        size_t length;
        int first, second, r;

        first = start;
        (void)unicode_get(text + first, end - first, &length);
        for (second = first + length; second < end; second += length) {
                (void)unicode_get(text + second, end - second, &length);
                r = token(user, 0, text + first, second + length - first, first, second + length);
                if (r != SQLITE_OK)
                        return r;
                first = second;
        }
        if (first == start)
                return token(user, 0, text + first, end - first, first, end);
        if (query)
                return SQLITE_OK;
        return token(user, FTS5_TOKEN_COLOCATED, text + first, end - first, first, end);
}

static int tokenizer_tokenize(Fts5Tokenizer *self, void *user, int flags, const char *text, int n,
                              token_func *token)
{
        struct tokenizer *t = (struct tokenizer *)self;
        struct part part = { .token = token, .user = user };
        bool unspaced;
        int end, r;

        for (int i = 0; i < n; i = end) {
                end = run_end(text, i, n, &unspaced);
                part.offset = i;
                if (unspaced)
                        r = tokenize_pairs(user, flags & FTS5_TOKENIZE_QUERY, text, i, end, token);
                else
                        r = t->words.xTokenize(t->instance, &part, flags, text + i, end - i,
                                               part_token);
                if (r != SQLITE_OK)
                        return r;
        }
        return SQLITE_OK;
}

static void tokenizer_delete(Fts5Tokenizer *self)
{
        struct tokenizer *t = (struct tokenizer *)self;

        if (t->instance)
                t->words.xDelete(t->instance);
        free(t);
}

static int tokenizer_create(void *user, const char **args, int n, Fts5Tokenizer **ret)
{
        const char *words_args[] = { "unicode61", "remove_diacritics", "2" };
        fts5_api *api = user;
        struct tokenizer *t;
        void *words_user;
        int r;

        t = calloc(1, sizeof *t);
        if (!t)
                return SQLITE_NOMEM;
        r = api->xFindTokenizer(api, "porter", &words_user, &t->words);
        if (r == SQLITE_OK)
                r = t->words.xCreate(words_user, words_args, 3, &t->instance);
        if (r != SQLITE_OK) {
                tokenizer_delete((Fts5Tokenizer *)t);
                return r;
        }
        *ret = (Fts5Tokenizer *)t;
        return SQLITE_OK;
}

int tokenizer_register(fts5_api *api)
{
        fts5_tokenizer tokenizer = {
                .xCreate = tokenizer_create,
                .xDelete = tokenizer_delete,
                .xTokenize = tokenizer_tokenize,
        };

        return api->xCreateTokenizer(api, "brick", api, &tokenizer, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "fold.h"
#include "schema.h"
#include "words.h"

/* To be changed whenever the same text makes other tokens. */
#define TOKENIZER_VERSION 2

typedef int token_func(void *user, int flags, const char *token, int length, int start, int end);

/* The callback of xTokenize's caller. */
struct caller {
        token_func *token;
        void *user;
};

static int add_token(void *user, const struct words_token *token)
{
        const struct caller *caller = user;
        bool colocated = token->kind == WORDS_ALIAS || token->kind == WORDS_LAST;

        if (token->kind == WORDS_ELIDED)
                return 0;
        return caller->token(caller->user, colocated ? FTS5_TOKEN_COLOCATED : 0, token->text,
                             (int)token->n, (int)token->start, (int)token->end);
}

/* The strings of a query are tokens: query_build() has made them. */
static int tokenizer_tokenize(Fts5Tokenizer *self, void *user, int flags, const char *text, int n,
                              token_func *token)
{
        struct caller caller = { .token = token, .user = user };

        if (flags & FTS5_TOKENIZE_QUERY)
                return n > 0 ? token(user, 0, text, n, 0, n) : SQLITE_OK;
        if (flags & FTS5_TOKENIZE_AUX) /* for excerpts */
                return words_places(text, n, add_token, &caller);
        return words_each(text, n, add_token, &caller);
}

static void tokenizer_delete(Fts5Tokenizer *self)
{
        free(self);
}

static int tokenizer_create(void *user, const char **args, int n, Fts5Tokenizer **ret)
{
        *ret = malloc(1); /* it has no state, but FTS5 takes NULL for a failure */
        return *ret ? SQLITE_OK : SQLITE_NOMEM;
}

void tokenizer_version(char ret[static TOKENIZER_VERSION_SIZE])
{
        (void)snprintf(ret, TOKENIZER_VERSION_SIZE, "%d, Unicode %s, %s", TOKENIZER_VERSION,
                       fold_version(),
                       fold_has_han() ? "traditional and simplified Chinese as one"
                                      : "traditional and simplified Chinese apart");
}

int tokenizer_register(fts5_api *api)
{
        fts5_tokenizer tokenizer = {
                .xCreate = tokenizer_create,
                .xDelete = tokenizer_delete,
                .xTokenize = tokenizer_tokenize,
        };

        return api->xCreateTokenizer(api, "brick", NULL, &tokenizer, NULL);
}

/* SPDX-License-Identifier: MIT */

/* The tokens of any text, and the expression of a query. Tokens are in the order of the text and
 * within it, short, and UTF-8 where the text is. */

#undef NDEBUG
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "query.h"
#include "scope.h"
#include "util/utf8.h"
#include "words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct text {
        size_t n;
        size_t start;  /* of the last token */
        size_t tokens; /* with a position */
        size_t places;
};

static int check_token(void *user, const struct words_token *token)
{
        struct text *text = user;

        assert(token->n > 0 && token->n <= WORDS_TOKEN_MAX && token->n_folded <= WORDS_TOKEN_MAX);
        assert(token->start < token->end && token->end <= text->n);
        if (token->kind == WORDS_PART || token->kind == WORDS_ALONE) {
                assert(token->start >= text->start);
                text->start = token->start;
                text->tokens++;
        }
        assert(token->kind != WORDS_LAST || text->tokens > 0);
        assert(utf8_valid(token->text, token->n) && !memchr(token->text, '"', token->n));
        return 0;
}

static int count_place(void *user, const struct words_token *token)
{
        struct text *text = user;

        text->places += token->kind == WORDS_PART || token->kind == WORDS_ALONE;
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *expression = NULL;
        struct text text = { .n = size };
        int r;

        assert(words_each((const char *)data, size, check_token, &text) == 0);
        assert(words_places((const char *)data, size, count_place, &text) == 0);
        assert(text.places == text.tokens);
        r = query_build((const char *)data, size, NULL, &expression);
        assert(r == 0 || r == QUERY_E_EMPTY);
        assert(r != 0 || utf8_valid(expression, strlen(expression)));
        return 0;
}

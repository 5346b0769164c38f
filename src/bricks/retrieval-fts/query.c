/* SPDX-License-Identifier: MIT */
#include "query.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "function-words.h"
#include "schema.h"
#include "scope.h"
#include "unicode.h"
#include "vocabulary.h"
#include "words.h"

/* Terms that are looked at, of which SCHEMA_TERMS_MAX are chosen. */
#define TERMS_MAX 512

/* How often a term of the question in a long text counts. */
#define REPETITIONS 3

/* The parts of a phrase. */
#define PHRASE_MAX 16

/* Quotes and the operator between tokens. */
#define TOKEN_OVERHEAD sizeof "\"\" + "

struct term {
        char *expression;   /* of FTS5 */
        char *token;        /* the first one */
        unsigned languages; /* in which it is a function word; see function-words.h */
        size_t start;       /* of its last use in the text */
        size_t end;
        bool part;        /* a word, or a part of one */
        int uses;         /* in the text */
        int replaced;     /* of these, in words that the index has as a whole */
        bool is_replaced; /* the last one */
        bool repeated;    /* counts REPETITIONS times */
        int64_t passages; /* that have the token */
};

/* Tokens that the text has without a space between them. */
struct phrase {
        char text[PHRASE_MAX * (WORDS_TOKEN_MAX + TOKEN_OVERHEAD)];
        size_t size;
        size_t n;
        size_t start;
        size_t end;
        bool covered; /* one alias says all of it */
};

struct query {
        const char *text;
        size_t n;
        struct vocabulary *vocabulary; /* of the index; or NULL */
        struct term terms[TERMS_MAX];
        size_t n_terms;
        struct phrase phrase;
        char first[WORDS_TOKEN_MAX + 1]; /* of the phrase */
        size_t word_start;               /* of the last word */
        size_t word_end;
        bool word_known; /* it may have parts, and the index has it as a whole */
        unsigned elided; /* the languages of words that lost their vowel */
};

static void term_done(struct term *term)
{
        free(term->expression);
        free(term->token);
}

static void query_done(struct query **query)
{
        if (!*query)
                return;
        for (size_t i = 0; i < (*query)->n_terms; i++)
                term_done(&(*query)->terms[i]);
        free(*query);
}

/* White space, and punctuation that does not occur in names, paths and options. */
static bool is_separator(uint32_t c)
{
        return unicode_is_space(c) || (c < 0x80 && strchr("\"!(),;<>=?[]{|}", (int)c));
}

static void term_use(struct term *term, size_t start, size_t end)
{
        term->start = start;
        term->end = end;
        term->uses++;
        term->is_replaced = false;
}

/* Adds a term like `term`, with the expression, which it takes over, and the first n bytes of its
 * token. */
static int term_add(struct query *q, char *expression, const struct term *term, size_t n)
{
        _cleanup_free_ char *owned = expression;
        struct term *new = &q->terms[q->n_terms];

        if (!owned)
                return -ENOMEM;
        for (size_t i = 0; i < q->n_terms; i++)
                if (strcmp(q->terms[i].expression, owned) == 0) {
                        term_use(&q->terms[i], term->start, term->end);
                        return 0;
                }
        if (q->n_terms == TERMS_MAX)
                return 0;
        *new = *term;
        new->token = strndup(term->token, n);
        if (!new->token)
                return -ENOMEM;
        new->expression = TAKE_PTR(owned);
        term_use(new, term->start, term->end);
        q->n_terms++;
        return 0;
}

/* A token has no quote and no NUL: both separate words. */
static char *quote(const struct words_token *token)
{
        char *s;

        if (asprintf(&s, "\"%.*s\"%s", (int)token->n, token->text,
                     token->kind == WORDS_ALONE ? " *" : "") < 0)
                return NULL;
        return s;
}

/* Ends the phrase. It is a term if it has several tokens, and no alias is all of it. */
static int phrase_end(struct query *q)
{
        struct phrase *p = &q->phrase;
        int r = 0;

        if (p->n > 1 && !p->covered)
                r = term_add(q, strndup(p->text, p->size),
                             &(struct term){ .token = q->first, .start = p->start, .end = p->end },
                             strlen(q->first));
        p->n = p->size = 0;
        p->covered = false;
        return r;
}

static bool is_attached(const struct query *q, const struct words_token *token)
{
        size_t length;

        if (q->phrase.n == 0)
                return false;
        for (size_t i = q->phrase.end; i < token->start; i += length)
                if (is_separator(unicode_get(q->text + i, q->n - i, &length)))
                        return false;
        return true;
}

static int phrase_add(struct query *q, const struct words_token *token)
{
        struct phrase *p = &q->phrase;
        int r;

        if (token->unspaced || !is_attached(q, token) || p->n == PHRASE_MAX) {
                r = phrase_end(q);
                if (r < 0 || token->unspaced)
                        return r;
                p->start = token->start;
                (void)snprintf(q->first, sizeof q->first, "%.*s", (int)token->n, token->text);
        }
        p->size += (size_t)sprintf(p->text + p->size, "%s\"%.*s\"", p->n > 0 ? " + " : "",
                                   (int)token->n, token->text);
        p->n++;
        p->end = token->end;
        p->covered = false;
        return 0;
}

/* How a resource is reached says nothing about it: "https" of https://host/, "www" of a host. */
static bool is_scheme(const struct query *q, const struct words_token *token)
{
        size_t left = q->n - token->end;

        if (left >= 3 && memcmp(q->text + token->end, "://", 3) == 0)
                return true;
        return token->n_folded == 3 && memcmp(token->folded, "www", 3) == 0 && left > 0 &&
               q->text[token->end] == '.';
}

static bool is_within(const struct term *term, const struct words_token *alias)
{
        return term->part && term->start >= alias->start && term->end <= alias->end;
}

/* True: the index has the token. */
static bool is_known(struct query *q, const struct words_token *token)
{
        char text[WORDS_TOKEN_MAX + 1];

        (void)snprintf(text, sizeof text, "%.*s", (int)token->n, token->text);
        return vocabulary_has(q->vocabulary, text);
}

/* If the index has a word as a whole, like signoff, its parts do not count. */
static void replace_parts(struct query *q, const struct words_token *alias)
{
        struct term *term;
        size_t parts = 0;

        for (size_t i = 0; i < q->n_terms; i++)
                parts += is_within(&q->terms[i], alias);
        if (parts < 2 || !q->vocabulary || !is_known(q, alias))
                return;
        for (size_t i = 0; i < q->n_terms; i++) {
                term = &q->terms[i];
                if (is_within(term, alias) && !term->is_replaced) {
                        term->is_replaced = true;
                        term->replaced++;
                }
        }
}

/* Whether a word may have parts: a character in it is neither a small letter of ASCII nor the
 * first. */
static bool has_parts(const char *s, size_t n)
{
        for (size_t i = 1; i < n; i++)
                if (s[i] < 'a' || s[i] > 'z')
                        return true;
        return n > 0 && s[0] >= '0' && s[0] <= '9';
}

/* Whether the index has a word matters only if it has parts. */
static void note_word(struct query *q, const struct words_token *token)
{
        q->word_start = token->start;
        q->word_end = token->end;
        q->word_known = q->vocabulary && !token->unspaced &&
                        has_parts(q->text + token->start, token->end - token->start) &&
                        is_known(q, token);
}

/* True: the alias is a part of the last word. */
static bool is_part(const struct query *q, const struct words_token *alias)
{
        return alias->start >= q->word_start && alias->end <= q->word_end &&
               alias->end - alias->start < q->word_end - q->word_start;
}

static int add_token(void *user, const struct words_token *token)
{
        struct query *q = user;
        struct term term = {
                .token = (char *)token->text,
                .start = token->start,
                .end = token->end,
                .part = token->kind == WORDS_PART && !token->unspaced,
        };
        int r = 0;

        if (token->kind == WORDS_ELIDED)
                q->elided = FUNCTION_ELIDING;
        if (token->kind == WORDS_ELIDED || token->kind == WORDS_LAST || is_scheme(q, token))
                return 0;
        if (token->kind != WORDS_ALIAS) {
                r = phrase_add(q, token);
                term.languages = function_word(token->folded, token->n_folded);
                note_word(q, token);
        } else if (is_part(q, token)) {
                if (q->word_known)
                        return 0;
        } else {
                q->phrase.covered |= q->phrase.n > 0 && token->start <= q->phrase.start &&
                                     token->end >= q->phrase.end;
                replace_parts(q, token);
        }
        return r < 0 ? r : term_add(q, quote(token), &term, token->n);
}

static void drop_replaced_parts(struct query *q)
{
        size_t n = 0;

        for (size_t i = 0; i < q->n_terms; i++) {
                if (q->terms[i].replaced == q->terms[i].uses)
                        term_done(&q->terms[i]);
                else
                        q->terms[n++] = q->terms[i];
        }
        q->n_terms = n;
}

/* A bit for the language that the question is in, as far as its function words tell: it has the
 * most of them, and more than one. */
static unsigned language_of(const struct query *q)
{
        size_t n, most = 1;
        unsigned language = 0;

        for (unsigned bit = 1; bit < 1U << FUNCTION_LANGUAGES; bit <<= 1) {
                n = (q->elided & bit) != 0;
                for (size_t i = 0; i < q->n_terms; i++)
                        n += (q->terms[i].languages & bit) != 0;
                if (n > most) {
                        most = n;
                        language = bit;
                }
        }
        return language;
}

/* Drops the function words of the question's language, unless it has no others. */
static void drop_function_words(struct query *q)
{
        unsigned language = language_of(q);
        size_t n = 0;

        for (size_t i = 0; i < q->n_terms; i++)
                n += (q->terms[i].languages & language) == 0;
        if (n == 0)
                return;
        n = 0;
        for (size_t i = 0; i < q->n_terms; i++) {
                if (q->terms[i].languages & language)
                        term_done(&q->terms[i]);
                else
                        q->terms[n++] = q->terms[i];
        }
        q->n_terms = n;
}

/* Those that no passage has are last. */
static int by_passages(const void *a, const void *b)
{
        const struct term *x = a, *y = b;

        if (x->passages == 0 || y->passages == 0)
                return (x->passages == 0) - (y->passages == 0);
        return (x->passages > y->passages) - (x->passages < y->passages);
}

/* The end of the last words with which writers of a long text come to their question; 0: none. */
static size_t request_start(const char *text, size_t n)
{
        static const char *const openings[] = {
                "請問",     "请问",         "想問",        "想问",        "請教",
                "请教",     "想知道",       "how do i ",   "how can i ",  "my question is",
                "tell me ", "like to know", "meine Frage", "ma question", "mi pregunta",
        };
        const char *end = text + n, *p;
        size_t last = 0, length;

        for (size_t i = 0; i < sizeof openings / sizeof *openings; i++) {
                length = strlen(openings[i]);
                for (p = text; (p = memmem(p, end - p, openings[i], length)); p += length)
                        if ((size_t)(p - text) + length > last)
                                last = p - text + length;
        }
        return last;
}

/* Chooses among the terms of a long text: those that the index has, the rarest first. Those of the
 * question in it count more than those of the story before. */
static void choose_terms(struct query *q)
{
        size_t start = request_start(q->text, q->n), n = 0;

        for (size_t i = 0; i < q->n_terms; i++) {
                q->terms[i].passages = vocabulary_passages(q->vocabulary, q->terms[i].token);
                q->terms[i].repeated = start > 0 && q->terms[i].start >= start;
                n += q->terms[i].passages > 0;
        }
        qsort(q->terms, q->n_terms, sizeof *q->terms, by_passages);
        while (n > 0 && q->n_terms > n)
                term_done(&q->terms[--q->n_terms]);
}

/* A term that is repeated counts as often as it stands in the expression. */
static int query_print(const struct query *q, char **ret)
{
        size_t size = 1, n = 0;
        char *s;

        for (size_t i = 0; i < q->n_terms; i++)
                size += REPETITIONS * (strlen(q->terms[i].expression) + strlen(" OR "));
        *ret = s = malloc(size);
        if (!s)
                return -ENOMEM;
        for (size_t i = 0; i < q->n_terms; i++)
                for (int k = q->terms[i].repeated ? REPETITIONS : 1; k > 0 && n < SCHEMA_TERMS_MAX;
                     k--, n++)
                        s = stpcpy(n > 0 ? stpcpy(s, " OR ") : s, q->terms[i].expression);
        return 0;
}

int query_build(const char *text, size_t n, struct vocabulary *vocabulary, char **ret)
{
        _cleanup_(query_done) struct query *q = NULL;
        int r;

        q = calloc(1, sizeof *q);
        if (!q)
                return -ENOMEM;
        q->text = text;
        q->n = n;
        q->vocabulary = vocabulary;
        r = words_each(text, n, add_token, q);
        if (r == 0)
                r = phrase_end(q);
        if (r < 0)
                return r;
        drop_replaced_parts(q);
        drop_function_words(q);
        if (q->n_terms == 0)
                return QUERY_E_EMPTY;
        if (q->n_terms > SCHEMA_TERMS_MAX && vocabulary)
                choose_terms(q);
        return query_print(q, ret);
}

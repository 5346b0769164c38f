/* SPDX-License-Identifier: MIT */
#include "query.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "schema.h"
#include "scope.h"
#include "unicode.h"

/* Longer words are cut. */
#define TERM_SIZE_MAX 256

/* Quotes, the operator between terms, and the mark of a prefix. */
#define TERM_OVERHEAD sizeof "\"\" OR  *"

struct term {
        const char *text;
        size_t n;
        bool prefix;
};

struct terms {
        struct term items[SCHEMA_TERMS_MAX];
        size_t n;
};

/* White space, and punctuation that does not occur in names, paths and options, separates words. */
static bool is_separator(uint32_t c)
{
        return unicode_is_space(c) || (c < 0x80 && strchr("\"!(),;<>=?[]{|}", (int)c));
}

/* True: the tokenizer may treat this as a word. FTS5 ignores terms that it drops. */
static bool is_wordy(uint32_t c)
{
        return c >= 0x80 || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static void terms_add(struct terms *terms, const char *text, size_t n, bool prefix)
{
        if (n > TERM_SIZE_MAX)
                n = unicode_floor(text, TERM_SIZE_MAX);
        for (size_t i = 0; i < terms->n; i++)
                if (terms->items[i].n == n && memcmp(terms->items[i].text, text, n) == 0)
                        return;
        if (terms->n < SCHEMA_TERMS_MAX)
                terms->items[terms->n++] = (struct term){ text, n, prefix };
}

/* Returns the end of the word. */
static size_t add_word(struct terms *terms, const char *text, size_t start, size_t n)
{
        bool wordy = false;
        size_t length, i;
        uint32_t c;

        for (i = start; i < n; i += length) {
                c = unicode_get(text + i, n - i, &length);
                if (is_separator(c) || unicode_is_unspaced(c))
                        break;
                wordy = wordy || is_wordy(c);
        }
        if (wordy)
                terms_add(terms, text + start, i - start, false);
        return i;
}

/* Returns the end of the run. Its pairs are those of the tokenizer; see tokenize_pairs(). */
static size_t add_run(struct terms *terms, const char *text, size_t start, size_t n)
{
        size_t length, first = start, i;

        (void)unicode_get(text + first, n - first, &length);
        for (i = first + length; i < n; i += length) {
                if (!unicode_is_unspaced(unicode_get(text + i, n - i, &length)))
                        break;
                terms_add(terms, text + first, i + length - first, false);
                first = i;
        }
        if (first == start)
                terms_add(terms, text + first, i - first, true);
        return i;
}

static void terms_find(struct terms *terms, const char *text, size_t n)
{
        size_t length, i = 0;
        uint32_t c;

        while (i < n && terms->n < SCHEMA_TERMS_MAX) {
                c = unicode_get(text + i, n - i, &length);
                if (is_separator(c))
                        i += length;
                else if (unicode_is_unspaced(c))
                        i = add_run(terms, text, i, n);
                else
                        i = add_word(terms, text, i, n);
        }
}

/* A term cannot contain a quote or a NUL, because both are separators. */
static size_t term_print(char *to, const struct term *term, bool first)
{
        char *end = first ? to : stpcpy(to, " OR ");

        *end++ = '"';
        end = mempcpy(end, term->text, term->n);
        end = stpcpy(end, term->prefix ? "\" *" : "\"");
        return end - to;
}

int query_build(const char *text, size_t n, char **ret)
{
        struct terms terms = {};
        size_t size = 1, used = 0;
        char *s;

        terms_find(&terms, text, n);
        if (terms.n == 0)
                return QUERY_E_EMPTY;
        for (size_t i = 0; i < terms.n; i++)
                size += terms.items[i].n + TERM_OVERHEAD;
        s = malloc(size);
        if (!s)
                return -ENOMEM;
        for (size_t i = 0; i < terms.n; i++)
                used += term_print(s + used, &terms.items[i], i == 0);
        *ret = s;
        return 0;
}

/* SPDX-License-Identifier: MIT */
#include "passage.h"

#include <string.h>

#include "unicode.h"

/* A passage must not end before this, unless the text does. */
#define PASSAGE_SIZE_MIN (PASSAGE_SIZE_MAX / 2)

static bool is_blank(char c)
{
        return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static size_t blank_length(const char *text, size_t n)
{
        size_t i = 0;

        while (i < n && is_blank(text[i]))
                i++;
        return i;
}

/* Whether the line that starts at text[at] is empty. */
static bool starts_blank_line(const char *text, size_t at, size_t n)
{
        while (at < n && (text[at] == ' ' || text[at] == '\t' || text[at] == '\r'))
                at++;
        return at < n && text[at] == '\n';
}

static bool ends_sentence(const char *text, size_t at)
{
        static const char *const stops[] = {
                "\xe3\x80\x82" /* ideographic full stop */,
                "\xef\xbc\x81" /* full-width exclamation mark */,
                "\xef\xbc\x9f" /* full-width question mark */,
        };

        if (is_blank(text[at]) && at > 0)
                return text[at - 1] == '.' || text[at - 1] == '!' || text[at - 1] == '?';
        for (size_t i = 0; at >= 3 && i < sizeof stops / sizeof *stops; i++)
                if (memcmp(text + at - 3, stops[i], 3) == 0)
                        return true;
        return false;
}

/* Rates an end before text[at]; 0: only if there is no better place. */
static unsigned end_value(const char *text, size_t at, size_t n)
{
        if (text[at - 1] == '\n')
                return starts_blank_line(text, at, n) ? 4 : 3;
        if (ends_sentence(text, at))
                return 2;
        return is_blank(text[at]) ? 1 : 0;
}

static size_t passage_length(const char *text, size_t n)
{
        size_t best = unicode_floor(text, PASSAGE_SIZE_MAX);
        unsigned value, best_value = 0;

        for (size_t at = PASSAGE_SIZE_MAX; at >= PASSAGE_SIZE_MIN; at--) {
                value = end_value(text, at, n);
                if (value > best_value) {
                        best_value = value;
                        best = at;
                }
        }
        return best;
}

bool passage_next(const char **text, size_t *n, const char **ret, size_t *ret_n)
{
        size_t skip = blank_length(*text, *n), length;
        const char *start = *text + skip;
        size_t left = *n - skip;

        if (left == 0)
                return false;
        length = left > PASSAGE_SIZE_MAX ? passage_length(start, left) : left;
        *text = start + length;
        *n = left - length;
        while (length > 0 && is_blank(start[length - 1]))
                length--;
        *ret = start;
        *ret_n = length;
        return true;
}

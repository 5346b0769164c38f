/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define WORDS 4 /* before the match that are looked at */

/* Negations, and words that report what others say. */
static const char *const words[] = {
        "not",       "never",    "cannot",  "don't",    "dont",  "won't",   "can't",   "mustn't",
        "shouldn't", "wouldn't", "didn't",  "doesn't",  "isn't", "without", "avoid",   "refuse",
        "refuses",   "tells",    "told",    "telling",  "asks",  "asked",   "asking",  "tries",
        "tried",     "trying",   "attempt", "attempts", "how",   "says",    "said",    "saying",
        "writes",    "wrote",    "e.g",     "example",  "such",  "phrase",  "phrases", "string",
        "called",    "matches",  "detect",  "detects",  "block", "blocks",  "who",     "why",
        "if",        "make",     "makes",   "making",   "order", "model",   "cause",   "causes",
};

/* The same directly before the match, in scripts without spaces. */
static const char *const endings[] = {
        "不要", "别",   "別",   "勿",   "不得", "不可", "不可以", "不会", "不會",
        "不能", "不应", "不應", "不该", "不該", "禁止", "让你",   "讓你", "要求你",
        "例如", "比如", "写着", "寫著", "怎样", "怎麼", "如何",
};

static bool is_word(char c)
{
        return isalnum((unsigned char)c) || c == '\'' || c == '.';
}

static bool is_telling(const char *word, size_t length)
{
        while (length > 0 && word[length - 1] == '.')
                length--;
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
                if (strlen(words[i]) == length && strncasecmp(word, words[i], length) == 0)
                        return true;
        return false;
}

static bool ends_tellingly(const char *text, size_t before)
{
        for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
                size_t n = strlen(endings[i]);

                if (n <= before && memcmp(text - n, endings[i], n) == 0)
                        return true;
        }
        return false;
}

/* Whether the match is the beginning of a quotation inside of a line, and so is talked about. */
static bool is_quoted(const char *text, size_t before)
{
        const char *first = text - before, *p = text;

        while (p > first && p[-1] == ' ')
                p--;
        if (p == first || !strchr("\"'`/", p[-1]))
                return false;
        for (; p > first && p[-1] != '\n'; p--)
                if (isalnum((unsigned char)p[-1]) || (unsigned char)p[-1] >= 0x80)
                        return true;
        return false;
}

/* An order is meant: it is neither negated nor quoted nor reported. What is not so certain is left
 * to the model. */
bool check_direct(const char *text, size_t length, size_t before)
{
        const char *first, *p = text;

        if (before > CHECK_BACK)
                before = CHECK_BACK;
        first = text - before;
        if (is_quoted(text, before) || ends_tellingly(text, before))
                return false;
        for (int n = 0; n < WORDS; n++) {
                const char *end;

                while (p > first && !is_word(p[-1]) && !strchr("\n!?;:", p[-1]))
                        p--;
                end = p;
                while (p > first && is_word(p[-1]))
                        p--;
                if (p == end)
                        return true;
                if (end[-1] == '.' && end - p > 2 && !memchr(p, '.', (size_t)(end - p - 1)))
                        return true; /* the end of a sentence before */
                if (is_telling(p, (size_t)(end - p)))
                        return false;
        }
        return true;
}

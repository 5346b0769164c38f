/* SPDX-License-Identifier: MIT */
#include "manager/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"

#define HEAD "brickd-budgets 1"

/* --- reading -----------------------------------------------------------------------------------
 */

struct text {
        const char *next; /* NULL: the last word has been taken */
        const char *end;
};

/* Takes a line, without its newline. False: there is no whole one. */
static bool take_line(struct text *text, struct text *ret)
{
        const char *end = memchr(text->next, '\n', (size_t)(text->end - text->next));

        if (!end)
                return false;
        *ret = (struct text){ text->next, end };
        text->next = end + 1;
        return true;
}

/* Takes a word and the space after it. The last word has none; after it, there are empty ones. */
static struct text take_word(struct text *line)
{
        const char *begin = line->next ? line->next : line->end;
        const char *end = memchr(begin, ' ', (size_t)(line->end - begin));

        line->next = end ? end + 1 : NULL;
        return (struct text){ begin, end ? end : line->end };
}

static bool is_word(struct text text, const char *word)
{
        size_t length = (size_t)(text.end - text.next);

        return length == strlen(word) && memcmp(text.next, word, length) == 0;
}

/* A decimal number of at most `max`, as journal_print() writes it. */
static bool read_number(struct text word, uint64_t max, uint64_t *ret)
{
        uint64_t n = 0;

        if (word.next == word.end || (*word.next == '0' && word.end - word.next > 1))
                return false;
        for (const char *p = word.next; p < word.end; p++) {
                if (*p < '0' || *p > '9')
                        return false;
                n = n * 10 + (uint64_t)(*p - '0');
                if (n > max)
                        return false;
        }
        *ret = n;
        return true;
}

static bool read_name(struct text word, char ret[static IDENTITY_NAME_MAX + 1])
{
        size_t length = (size_t)(word.end - word.next);

        if (length == 0 || length > IDENTITY_NAME_MAX)
                return false;
        for (size_t i = 0; i < length; i++)
                if (word.next[i] <= ' ' || word.next[i] > '~')
                        return false;
        memcpy(ret, word.next, length);
        ret[length] = '\0';
        return true;
}

static bool read_entry(struct text line, struct journal_entry *ret)
{
        uint64_t number, tokens;

        *ret = (struct journal_entry){};
        if (!read_name(take_word(&line), ret->name))
                return false;
        for (enum window window = 0; window < WINDOWS; window++) {
                if (!read_number(take_word(&line), WINDOW_NUMBER_MAX - 1, &number) ||
                    !read_number(take_word(&line), QUOTA_TOKENS_MAX, &tokens))
                        return false;
                ret->used[window] = (struct quota_used){ (uint32_t)number, tokens };
        }
        return !line.next;
}

/* NULL: it is sound. Else what is wrong in line *line. */
static const char *read_all(struct journal *journal, struct text text, unsigned *line)
{
        struct text row, rest;
        uint64_t n;

        *line = 1;
        if (!take_line(&text, &row) || !is_word(row, HEAD))
                return "expected \"" HEAD "\"";
        for (;;) {
                ++*line;
                if (!take_line(&text, &row))
                        return "the end is missing";
                rest = row;
                if (is_word(take_word(&rest), "end") && rest.next &&
                    read_number(rest, IDENTITIES_MAX, &n))
                        break;
                if (journal->n == IDENTITIES_MAX)
                        return "too many identities";
                if (!read_entry(row, &journal->entries[journal->n]))
                        return "expected a name, and the number and the tokens of three windows";
                journal->n++;
        }
        if (n != journal->n)
                return "this is not the number of the identities before it";
        return text.next == text.end ? NULL : "something follows the end";
}

int journal_parse(struct journal *ret, const char *bytes, size_t length, unsigned *ret_line,
                  const char **ret_why)
{
        *ret = (struct journal){
                .entries = calloc(IDENTITIES_MAX, sizeof *ret->entries),
        };
        if (!ret->entries)
                return -ENOMEM;
        *ret_why = read_all(ret, (struct text){ bytes, bytes + length }, ret_line);
        if (!*ret_why)
                return 0;
        free(ret->entries);
        *ret = (struct journal){};
        return -EINVAL;
}

/* --- writing -----------------------------------------------------------------------------------
 */

size_t journal_print(const struct journal *journal, char ret[static JOURNAL_MAX])
{
        char *p = ret, *end = ret + JOURNAL_MAX;

        p += snprintf(p, (size_t)(end - p), HEAD "\n");
        for (size_t i = 0; i < journal->n; i++) {
                const struct journal_entry *entry = &journal->entries[i];

                p += snprintf(p, (size_t)(end - p), "%s", entry->name);
                for (enum window window = 0; window < WINDOWS; window++)
                        p += snprintf(p, (size_t)(end - p), " %" PRIu32 " %" PRIu64,
                                      entry->used[window].number, entry->used[window].tokens);
                p += snprintf(p, (size_t)(end - p), "\n");
        }
        p += snprintf(p, (size_t)(end - p), "end %zu\n", journal->n);
        return (size_t)(p - ret);
}

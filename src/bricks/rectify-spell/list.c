/* SPDX-License-Identifier: MIT */
#include "list.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/utf8.h"

#define WRONG_MAX 64 /* bytes */

struct list {
        char *bytes;
        struct pair *pairs; /* in order of what is wrong */
        size_t n;
        size_t longest; /* bytes of what is wrong */
};

static int refuse(struct list_mistake *mistake, size_t line, const char *reason)
{
        mistake->line = line;
        (void)snprintf(mistake->text, sizeof mistake->text, "%s", reason);
        return -EINVAL;
}

/* Cuts the line into a pair. 0; 1: there is none in it; -EINVAL. */
static int read_line(char *line, size_t number, struct pair *ret, struct list_mistake *mistake)
{
        char *arrow, *unless;

        if (!*line || *line == '#')
                return 1;
        if (!utf8_valid(line, strlen(line))) /* it would get into replies */
                return refuse(mistake, number, "this is not UTF-8");
        arrow = strstr(line, "->");
        if (!arrow || arrow == line || !arrow[2])
                return refuse(mistake, number, "expected wrong->right");
        if (arrow - line > WRONG_MAX)
                return refuse(mistake, number, "what is wrong has more than 64 bytes");
        *arrow = '\0';
        unless = strstr(arrow + 2, " ! ");
        if (unless)
                *unless = '\0';
        *ret = (struct pair){ line, arrow + 2, unless ? unless + 3 : "" };
        return strchr(ret->right, ',') ? 1 : 0;
}

static int by_wrong(const void *a, const void *b)
{
        const struct pair *x = a, *y = b;

        return strcmp(x->wrong, y->wrong);
}

static int read_lines(struct list *list, struct list_mistake *mistake)
{
        char *rest = list->bytes, *line;
        size_t number = 0;

        while ((line = strsep(&rest, "\n"))) {
                struct pair *pair = &list->pairs[list->n];
                int r;

                line[strcspn(line, "\r")] = '\0';
                r = read_line(line, ++number, pair, mistake);
                if (r < 0)
                        return r;
                if (r == 0 && strlen(pair->wrong) > list->longest)
                        list->longest = strlen(pair->wrong);
                list->n += r == 0;
        }
        return 0;
}

static size_t count_lines(const char *bytes)
{
        size_t n = 1;

        for (const char *p = bytes; (p = strchr(p, '\n')); p++)
                n++;
        return n;
}

int list_new(char *bytes, size_t length, struct list **ret, struct list_mistake *mistake)
{
        struct list *list = calloc(1, sizeof *list);
        int r = 0;

        if (!list) {
                free(bytes);
                return -ENOMEM;
        }
        list->bytes = bytes;
        if (memchr(bytes, '\0', length))
                r = refuse(mistake, 1, "this is not a text");
        if (r == 0) {
                list->pairs = reallocarray(NULL, count_lines(bytes), sizeof *list->pairs);
                r = list->pairs ? read_lines(list, mistake) : -ENOMEM;
        }
        if (r < 0) {
                list_free(list);
                return r;
        }
        qsort(list->pairs, list->n, sizeof *list->pairs, by_wrong);
        *ret = list;
        return 0;
}

struct list *list_free(struct list *list)
{
        if (list) {
                free(list->pairs);
                free(list->bytes);
                free(list);
        }
        return NULL;
}

size_t list_size(const struct list *list)
{
        return list ? list->n : 0;
}

const struct pair *list_find(const struct list *list, const char *word, size_t length)
{
        char wrong[WRONG_MAX + 1];
        struct pair key = { .wrong = wrong };

        if (!list || length > WRONG_MAX)
                return NULL;
        memcpy(wrong, word, length);
        wrong[length] = '\0';
        return bsearch(&key, list->pairs, list->n, sizeof *list->pairs, by_wrong);
}

/* Whether the text has, around the match, something in which it is right. */
static bool is_excepted(const struct pair *pair, const char *text, size_t length, size_t at)
{
        size_t n;

        for (const char *other = pair->unless; *other; other += n) {
                const char *inside;

                other += strspn(other, " ");
                n = strcspn(other, " ");
                inside = strstr(other, pair->wrong);
                if (!inside || inside >= other + n || (size_t)(inside - other) > at)
                        continue;
                if (n <= length - (at - (size_t)(inside - other)) &&
                    memcmp(text + at - (inside - other), other, n) == 0)
                        return true;
        }
        return false;
}

const struct pair *list_match(const struct list *list, const char *text, size_t length, size_t at)
{
        size_t n = list ? list->longest : 0;

        for (n = n < length - at ? n : length - at; n > 0; n--) {
                const struct pair *pair = NULL;

                if (at + n == length || ((unsigned char)text[at + n] & 0xc0) != 0x80)
                        pair = list_find(list, text + at, n);
                if (pair && !is_excepted(pair, text, length, at))
                        return pair;
        }
        return NULL;
}

/* SPDX-License-Identifier: MIT */
#include "narrow.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define OR " OR "

/* Inside of quotes there are no quotes. */
const char *term_end(const char *s)
{
        for (; *s && strncmp(s, OR, strlen(OR)) != 0; s++)
                if (*s == '"')
                        s = strchr(s + 1, '"');
        return s;
}

const char *term_next(const char *end)
{
        return *end ? end + strlen(OR) : NULL;
}

/* Appends the terms with a bit in `chosen`, and returns the end. numbers: NULL, or where to note
 * their numbers, of which *n is the first. */
static char *print(char *to, const char *expression, uint64_t chosen, int8_t *numbers, int *n)
{
        const char *end, *separator = "(";
        size_t i = 0;

        for (const char *term = expression; term && i < SCHEMA_TERMS_MAX; i++) {
                end = term_end(term);
                if (chosen >> i & 1) {
                        to = mempcpy(stpcpy(to, separator), term, end - term);
                        separator = OR;
                        if (numbers)
                                numbers[i] = (int8_t)*n;
                        ++*n;
                }
                term = term_next(end);
        }
        return stpcpy(to, ")");
}

char *narrow(const char *expression, uint64_t telling, uint64_t counting,
             int8_t ret_numbers[static SCHEMA_TERMS_MAX])
{
        char *ret = malloc(2 * strlen(expression) + sizeof "() AND ()"), *to = ret;
        bool all = telling == counting;
        int n = 0;

        if (!ret)
                return NULL;
        memset(ret_numbers, -1, SCHEMA_TERMS_MAX);
        to = print(to, expression, telling, all ? ret_numbers : NULL, &n);
        if (!all)
                (void)print(stpcpy(to, " AND "), expression, counting, ret_numbers, &n);
        return ret;
}

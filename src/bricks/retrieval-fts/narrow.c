/* SPDX-License-Identifier: MIT */
#include "narrow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OR " OR "

/* The end of the term that starts here. Inside of quotes there are no quotes. */
static const char *term_end(const char *s)
{
        for (; *s && strncmp(s, OR, strlen(OR)) != 0; s++)
                if (*s == '"')
                        s = strchr(s + 1, '"');
        return s;
}

char *narrow(const char *expression, uint64_t telling, int *ret_first)
{
        char *ret = malloc(2 * strlen(expression) + sizeof "() AND ()"), *to = ret;
        const char *end;

        if (!ret)
                return NULL;
        *ret_first = 0;
        *to++ = '(';
        for (const char *term = expression; *term; term = *end ? end + strlen(OR) : end) {
                end = term_end(term);
                if (telling & 1) {
                        if ((*ret_first)++ > 0)
                                to = stpcpy(to, OR);
                        to = mempcpy(to, term, end - term);
                }
                telling >>= 1;
        }
        (void)sprintf(to, ") AND (%s)", expression);
        return ret;
}

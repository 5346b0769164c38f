/* SPDX-License-Identifier: MIT */
#include "taiwan.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <opencc.h>

#define WORD_MAX 24 /* bytes of what is looked at for the end of a word */

int taiwan_new(const char *config, void **ret, struct taiwan_error *error)
{
        opencc_t opened = opencc_open(config);

        if (opened == (opencc_t)-1) {
                (void)snprintf(error->text, sizeof error->text, "%s", opencc_error());
                error->text[strcspn(error->text, "\n")] = '\0';
                return -ENOENT;
        }
        *ret = opened;
        return 0;
}

void taiwan_free(void *taiwan)
{
        if (taiwan)
                (void)opencc_close(taiwan);
}

static size_t next(const char *text, size_t length, size_t at)
{
        for (at++; at < length && ((unsigned char)text[at] & 0xc0) == 0x80; at++)
                ;
        return at;
}

/* Whether the texts are the same again at these offsets: for two characters, or to both ends. */
static bool meets(const char *a, size_t n, size_t i, const char *b, size_t m, size_t j)
{
        for (int k = 0; k < 2; k++) {
                size_t length = next(a, n, i) - i;

                if (i >= n || j >= m)
                        return i >= n && j >= m;
                if (j + length > m || memcmp(a + i, b + j, length) != 0)
                        return false;
                i += length;
                j += length;
        }
        return true;
}

/* The shortest parts behind which both are the same again; all of both if there are none. */
static void difference(const char *a, size_t n, const char *b, size_t m, size_t *ret_a,
                       size_t *ret_b)
{
        *ret_a = n;
        *ret_b = m;
        for (size_t i = next(a, n, 0); i <= n && i <= WORD_MAX; i = i < n ? next(a, n, i) : i + 1)
                for (size_t j = next(b, m, 0); j <= m && j <= WORD_MAX;
                     j = j < m ? next(b, m, j) : j + 1)
                        if (i + j < *ret_a + *ret_b && meets(a, n, i, b, m, j)) {
                                *ret_a = i;
                                *ret_b = j;
                        }
}

int taiwan_words(void *taiwan, const char *text, size_t start, size_t end,
                 int (*changed)(void *user, size_t at, size_t length, const char *to,
                                size_t to_length),
                 void *user)
{
        char *made = opencc_convert_utf8(taiwan, text + start, end - start);
        size_t at = 0, there = 0, n = end - start, m = made ? strlen(made) : 0, i, j;
        const char *from = text + start;
        int r = made ? 0 : -ENOMEM;

        while (r == 0 && at < n && there < m) {
                size_t length = next(from, n, at) - at;

                if (there + length <= m && memcmp(from + at, made + there, length) == 0) {
                        at += length;
                        there += length;
                        continue;
                }
                difference(from + at, n - at, made + there, m - there, &i, &j);
                r = changed(user, start + at, i, made + there, j);
                at += i;
                there += j;
        }
        opencc_convert_utf8_free(made);
        return r;
}

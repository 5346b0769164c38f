/* SPDX-License-Identifier: MIT */
#include "han.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_OPENCC
#include <opencc/opencc.h>
#endif

#include "scope.h"
#include "unicode.h"

/* The characters that are in use are in these two blocks. */
#define HAN_FIRST 0x3400
#define HAN_LAST 0x9fff
#define HAN_N (HAN_LAST - HAN_FIRST + 1)

static uint16_t simplified[HAN_N]; /* 0: itself */
static bool available;
static pthread_once_t once = PTHREAD_ONCE_INIT;

#ifdef HAVE_OPENCC
/* All characters, each with a newline, so that none forms a word with the next. */
static char *all_characters(void)
{
        char *s = malloc(4 * HAN_N + 1), *p = s;

        for (uint32_t c = HAN_FIRST; s && c <= HAN_LAST; c++) {
                p += unicode_put(p, c);
                *p++ = '\n';
        }
        if (s)
                *p = '\0';
        return s;
}

static void fill(const char *converted)
{
        const char *p = converted, *stop;
        size_t length;
        uint32_t c;

        for (size_t i = 0; i < HAN_N && (stop = strchr(p, '\n')); i++, p = stop + 1) {
                c = stop > p ? unicode_get(p, stop - p, &length) : 0;
                if (c >= HAN_FIRST && c <= HAN_LAST && length == (size_t)(stop - p))
                        simplified[i] = (uint16_t)c;
        }
}

static void load(void)
{
        _cleanup_free_ char *all = all_characters();
        opencc_t converter = opencc_open("t2s.json");
        char *converted;

        if (converter == (opencc_t)-1)
                return;
        converted = all ? opencc_convert_utf8(converter, all, strlen(all)) : NULL;
        opencc_close(converter);
        if (!converted)
                return;
        fill(converted);
        opencc_convert_utf8_free(converted);
        available = true;
}
#else
static void load(void)
{
}
#endif

bool han_available(void)
{
        pthread_once(&once, load);
        return available;
}

uint32_t han_simplify(uint32_t c)
{
        if (c < HAN_FIRST || c > HAN_LAST)
                return c;
        pthread_once(&once, load);
        return simplified[c - HAN_FIRST] ?: c;
}

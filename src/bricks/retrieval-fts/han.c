/* SPDX-License-Identifier: MIT */
#include "han.h"

#ifdef HAVE_OPENCC
#include <opencc/opencc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "scope.h"
#include "unicode.h"

#define HAN_N (HAN_LAST - HAN_FIRST + 1)

static uint16_t simplified[HAN_N]; /* 0: itself */
static pthread_once_t open_once = PTHREAD_ONCE_INIT, fill_once = PTHREAD_ONCE_INIT;

static opencc_t converter = (opencc_t)-1;
static bool available;

static void open_converter(void)
{
        converter = opencc_open("t2s.json");
        available = converter != (opencc_t)-1;
}

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

static void fill_from(const char *converted)
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

/* Converts all characters at once; the converter is not needed afterwards. */
static void fill(void)
{
        _cleanup_free_ char *all = all_characters();
        char *converted;

        if (!han_available())
                return;
        converted = all ? opencc_convert_utf8(converter, all, strlen(all)) : NULL;
        opencc_close(converter);
        if (!converted)
                return;
        fill_from(converted);
        opencc_convert_utf8_free(converted);
}

bool han_available(void)
{
        pthread_once(&open_once, open_converter);
        return available;
}

uint32_t han_simplify(uint32_t c)
{
        if (c < HAN_FIRST || c > HAN_LAST)
                return c;
        pthread_once(&fill_once, fill);
        return simplified[c - HAN_FIRST] ?: c;
}
#else
bool han_available(void)
{
        return false;
}

uint32_t han_simplify(uint32_t c)
{
        return c;
}
#endif

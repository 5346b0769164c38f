/* SPDX-License-Identifier: MIT */
#include "entity.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "html-entities.h"
#include "unicode.h"

#define NAME_SIZE_MAX 32

/* What browsers read for numbers that are control characters: they are bytes of Windows-1252. */
static uint32_t mend_number(unsigned long c)
{
        static const uint16_t windows[32] = {
                0x20ac, 0x81,   0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
                0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8d,   0x017d, 0x8f,
                0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d,   0x017e, 0x0178,
        };

        if (c >= 0x80 && c < 0xa0)
                return windows[c - 0x80];
        return c > 0 && c <= 0x10ffff ? (uint32_t)c : 0xfffd;
}

/* Decodes "#233;" or "#xe9;" of n bytes; returns its length, or 0. The semicolon may be missing. */
static size_t entity_number(const char *s, size_t n, char ret[static 4], size_t *ret_n)
{
        bool hex = n > 1 && (s[1] | 0x20) == 'x';
        size_t i = hex ? 2 : 1, first = i;
        unsigned long c = 0;

        for (; i < n && (hex ? isxdigit((unsigned char)s[i]) : isdigit((unsigned char)s[i])); i++)
                if (c <= 0x10ffff)
                        c = hex ? c * 16 + (unsigned long)(isdigit((unsigned char)s[i])
                                                                   ? s[i] - '0'
                                                                   : (s[i] | 0x20) - 'a' + 10)
                                : c * 10 + (unsigned long)(s[i] - '0');
        if (i == first)
                return 0;
        *ret_n = unicode_put(ret, mend_number(c));
        return i < n && s[i] == ';' ? i + 1 : i;
}

static const char *entity_find(const char *name, size_t n)
{
        size_t low = 0, high = sizeof html_entities / sizeof *html_entities, middle;
        int order;

        while (low < high) {
                middle = (low + high) / 2;
                order = strncmp(html_entities[middle].name, name, n);
                if (order == 0 && html_entities[middle].name[n] == '\0')
                        return html_entities[middle].text;
                if (order < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return NULL;
}

/* Decodes "eacute;" of n bytes; returns its length, or 0. Names of the first standards need no
 * semicolon, so the longest name counts that is one. */
static size_t entity_name(const char *s, size_t n, const char **ret)
{
        size_t length = 0;

        while (length < n && length < NAME_SIZE_MAX && isalnum((unsigned char)s[length]))
                length++;
        if (length < n && s[length] == ';') {
                *ret = entity_find(s, length + 1) ?: entity_find(s, length);
                if (*ret)
                        return length + 1;
        }
        for (; length > 1; length--) {
                *ret = entity_find(s, length);
                if (*ret)
                        return length;
        }
        return 0;
}

size_t entity_get(const char *text, size_t n, char ret[static ENTITY_SIZE_MAX], size_t *ret_n)
{
        const char *s = NULL;
        size_t length;

        if (n > 1 && text[1] == '#')
                length = entity_number(text + 1, n - 1, ret, ret_n);
        else {
                length = entity_name(text + 1, n - 1, &s);
                if (s) {
                        *ret_n = strlen(s);
                        memcpy(ret, s, *ret_n);
                }
        }
        return length > 0 ? length + 1 : 0;
}

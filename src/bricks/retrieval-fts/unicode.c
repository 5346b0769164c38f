/* SPDX-License-Identifier: MIT */
#include "unicode.h"

#define REPLACEMENT 0xfffd

static uint32_t sequence_get(const unsigned char *s, size_t n)
{
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        uint32_t c = s[0] & (0xff >> (n + 1));

        for (size_t i = 1; i < n; i++) {
                if ((s[i] & 0xc0) != 0x80)
                        return REPLACEMENT;
                c = c << 6 | (s[i] & 0x3f);
        }
        if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return REPLACEMENT;
        return c;
}

static size_t sequence_length(unsigned char first)
{
        if (first < 0x80)
                return 1;
        if (first < 0xc2)
                return 0;
        if (first < 0xe0)
                return 2;
        if (first < 0xf0)
                return 3;
        return first < 0xf5 ? 4 : 0;
}

/* False: the byte is not UTF-8. */
static bool decode(const char *text, size_t n, uint32_t *ret, size_t *ret_length)
{
        const unsigned char *s = (const unsigned char *)text;
        size_t length = sequence_length(s[0]);

        *ret = REPLACEMENT;
        *ret_length = 1;
        if (length == 0 || length > n)
                return false;
        if (length == 1) {
                *ret = s[0];
                return true;
        }
        *ret = sequence_get(s, length);
        /* U+FFFD itself is EF BF BD and valid. */
        if (*ret == REPLACEMENT && !(s[0] == 0xef && s[1] == 0xbf && s[2] == 0xbd))
                return false;
        *ret_length = length;
        return true;
}

uint32_t unicode_get(const char *text, size_t n, size_t *ret_length)
{
        uint32_t c;

        *ret_length = 1;
        if ((unsigned char)text[0] < 0x80) /* most are: the short way */
                return (unsigned char)text[0];
        (void)decode(text, n, &c, ret_length);
        return c;
}

size_t unicode_put(char ret[static 4], uint32_t c)
{
        if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                c = REPLACEMENT;
        if (c < 0x80) {
                ret[0] = (char)c;
                return 1;
        }
        if (c < 0x800) {
                ret[0] = (char)(0xc0 | c >> 6);
                ret[1] = (char)(0x80 | (c & 0x3f));
                return 2;
        }
        if (c < 0x10000) {
                ret[0] = (char)(0xe0 | c >> 12);
                ret[1] = (char)(0x80 | (c >> 6 & 0x3f));
                ret[2] = (char)(0x80 | (c & 0x3f));
                return 3;
        }
        ret[0] = (char)(0xf0 | c >> 18);
        ret[1] = (char)(0x80 | (c >> 12 & 0x3f));
        ret[2] = (char)(0x80 | (c >> 6 & 0x3f));
        ret[3] = (char)(0x80 | (c & 0x3f));
        return 4;
}

bool unicode_valid(const char *text, size_t n)
{
        size_t length;
        uint32_t c;

        for (size_t i = 0; i < n; i += length) {
                length = 1;
                if ((unsigned char)text[i] >= 0x80 && !decode(text + i, n - i, &c, &length))
                        return false;
        }
        return true;
}

size_t unicode_floor(const char *text, size_t at)
{
        size_t i = at;

        while (i > 0 && at - i < 3 && ((unsigned char)text[i] & 0xc0) == 0x80)
                i--;
        return i;
}

bool unicode_is_space(uint32_t c)
{
        return c <= 0x20 || (c >= 0x7f && c <= 0xa0) || c == 0x1680 ||
               (c >= 0x2000 && c <= 0x200b) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
               c == 0x205f || c == 0x3000 || c == 0xfeff;
}

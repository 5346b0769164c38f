/* SPDX-License-Identifier: MIT */
#include "util/utf8.h"

#include <string.h>

#include "util/ascii.h"
#include "util/cleanup.h"

size_t utf8_decode(const char *s, size_t length, uint32_t *ret)
{
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        unsigned char first;
        uint32_t c;
        size_t n;

        if (length == 0)
                return 0;

        first = (unsigned char)s[0];
        if (first < 0x80) {
                *ret = first;
                return 1;
        }
        n = first >= 0xf8 ? 0 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 0;
        if (n == 0 || n > length)
                return 0;

        c = first & (0x7fu >> n);
        for (size_t i = 1; i < n; i++) {
                if (((unsigned char)s[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | ((unsigned char)s[i] & 0x3f);
        }
        if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;

        *ret = c;
        return n;
}

size_t utf8_next(const char *s, size_t length, uint32_t *ret)
{
        size_t n = utf8_decode(s, length, ret);

        if (n > 0)
                return n;
        *ret = 0xfffd;
        return 1;
}

size_t utf8_encode(uint32_t c, char out[static 4])
{
        static const uint32_t marks[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
        size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

        for (size_t i = n; i-- > 1; c >>= 6)
                out[i] = (char)(0x80 | (c & 0x3f));
        out[0] = (char)(n == 1 ? c : marks[n] | c);
        return n;
}

static bool is_continuation(unsigned char c)
{
        return (c & 0xc0) == 0x80;
}

/*
 * The length of the character at the start of s, whose first byte is not ASCII; 0: not valid UTF-8.
 * The first byte determines the range of the second byte that excludes overlong forms, surrogates
 * and everything above U+10FFFF.
 */
static size_t sequence_length(const unsigned char *s, size_t length)
{
        unsigned char low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
        unsigned char high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
        size_t n = s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;

        if (n == 0 || n > length || s[1] < low || s[1] > high)
                return 0;
        if ((n > 2 && !is_continuation(s[2])) || (n > 3 && !is_continuation(s[3])))
                return 0;
        return n;
}

bool utf8_valid(const char *s, size_t length)
{
        size_t n;

        for (; length > 0; s += n, length -= n) {
                n = (unsigned char)*s < 0x80 ? ascii_prefix(s, length)
                                             : sequence_length((const unsigned char *)s, length);
                if (n == 0)
                        return false;
        }
        return true;
}

size_t utf8_prefix(const char *s, size_t length, size_t max)
{
        if (length <= max)
                return length;
        while (max > 0 && ((unsigned char)s[max] & 0xc0) == 0x80)
                max--;
        return max;
}

bool utf8_is_control(uint32_t c)
{
        return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f ||
               (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x206f);
}

unsigned utf8_width(uint32_t c)
{
        static const struct {
                uint32_t first;
                uint32_t last;
                unsigned width;
        } ranges[] = {
                { 0x0300, 0x036f, 0 },                            /* combining marks */
                { 0x1100, 0x115f, 2 },                            /* Hangul Jamo */
                { 0x200b, 0x200f, 0 },                            /* zero-width spaces and marks */
                { 0x2e80, 0xa4cf, 2 },                            /* CJK, kana, Yi */
                { 0xac00, 0xd7a3, 2 },                            /* Hangul syllables */
                { 0xf900, 0xfaff, 2 },                            /* CJK compatibility */
                { 0xfe00, 0xfe0f, 0 },                            /* variation selectors */
                { 0xfe30, 0xfe6f, 2 },                            /* CJK compatibility forms */
                { 0xff00, 0xff60, 2 },                            /* full-width forms */
                { 0xffe0, 0xffe6, 2 },   { 0x1f300, 0x1faff, 2 }, /* pictographs */
                { 0x20000, 0x3fffd, 2 },                          /* CJK extensions */
        };

        for (size_t i = 0; i < ELEMENTSOF(ranges); i++)
                if (c >= ranges[i].first && c <= ranges[i].last)
                        return ranges[i].width;
        return 1;
}

void utf8_clean(char *s, size_t length)
{
        while (length > 0) {
                uint32_t c = 0;
                size_t n = utf8_decode(s, length, &c);

                if (n == 0 || (utf8_is_control(c) && c != '\n')) {
                        n = n > 0 ? n : 1;
                        memset(s, '?', n);
                }
                s += n;
                length -= n;
        }
}

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define ELLIPSIS "\xe2\x80\xa6"

size_t utf8_repair(char *to, size_t size, const char *s, size_t length)
{
        size_t used = 0, cut = 0; /* cut: the longest prefix that leaves room for the ellipsis */
        uint32_t c;

        if (length <= size && utf8_valid(s, length)) {
                if (length > 0)
                        memcpy(to, s, length);
                return length;
        }
        while (length > 0) {
                size_t read = utf8_decode(s, length, &c);
                const char *character = read > 0 ? s : REPLACEMENT;
                size_t n = read > 0 ? read : strlen(REPLACEMENT);

                if (n > size - used) {
                        n = size < strlen(ELLIPSIS) ? 0 : strlen(ELLIPSIS);
                        memcpy(to + cut, ELLIPSIS, n);
                        return cut + n;
                }
                memcpy(to + used, character, n);
                used += n;
                if (size - used >= strlen(ELLIPSIS))
                        cut = used;
                s += read > 0 ? read : 1;
                length -= read > 0 ? read : 1;
        }
        return used;
}

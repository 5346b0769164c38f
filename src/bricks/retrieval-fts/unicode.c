/* SPDX-License-Identifier: MIT */
#include "unicode.h"

#include "util/utf8.h"

#define REPLACEMENT 0xfffd

uint32_t unicode_get(const char *text, size_t n, size_t *ret_length)
{
        uint32_t c;

        *ret_length = utf8_next(text, n, &c);
        return c;
}

size_t unicode_put(char ret[static 4], uint32_t c)
{
        bool valid = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);

        return utf8_encode(valid ? c : REPLACEMENT, ret);
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

/* SPDX-License-Identifier: MIT */
#include "util/out.h"

#include "util/utf8.h"

void out_number(struct out *out, uint64_t number)
{
        char digits[20], *p = digits + sizeof digits;

        do {
                *--p = (char)('0' + number % 10);
                number /= 10;
        } while (number > 0);
        out_put(out, p, (size_t)(digits + sizeof digits - p));
}

void out_signed(struct out *out, int64_t number)
{
        if (number < 0)
                out_put(out, "-", 1);
        out_number(out, number < 0 ? -(uint64_t)number : (uint64_t)number);
}

/* The length of the prefix that needs no escape: printable ASCII but '"' and '\\'. */
static size_t plain_prefix(const char *s, size_t n)
{
        size_t i = 0;

        while (i < n && s[i] >= ' ' && s[i] <= '~' && s[i] != '"' && s[i] != '\\')
                i++;
        return i;
}

/* C1 controls as well: some terminals obey them. */
static void put_control(struct out *out, uint32_t c)
{
        static const char digits[] = "0123456789abcdef";
        const char escape[] = { '\\', 'u', '0', '0', digits[c >> 4], digits[c & 0xf] };

        out_put(out, escape, sizeof escape);
}

void out_json(struct out *out, const char *s, size_t n)
{
        out_put(out, "\"", 1);
        while (n > 0) {
                size_t length = plain_prefix(s, n);
                uint32_t c;

                if (length > 0) {
                        out_put(out, s, length);
                } else if ((length = utf8_decode(s, n, &c)) == 0) {
                        out_string(out, "\\ufffd");
                        length = 1;
                } else if (c < 0x20 || (c >= 0x7f && c < 0xa0)) {
                        put_control(out, c);
                } else {
                        if (c == '"' || c == '\\')
                                out_put(out, "\\", 1);
                        out_put(out, s, length);
                }
                s += length;
                n -= length;
        }
        out_put(out, "\"", 1);
}

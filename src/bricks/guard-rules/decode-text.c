/* SPDX-License-Identifier: MIT */
#include "decode-text.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LEET_WORD_MAX 24 /* letters and digits */
#define TAG_MAX 64

/* Writes a character as UTF-8, or nothing if there is no such character. */
static size_t put_character(char *out, uint32_t c)
{
        if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
                return 0;
        if (c < 0x80) {
                out[0] = (char)c;
                return 1;
        }
        if (c < 0x800) {
                out[0] = (char)(0xc0 | c >> 6);
                out[1] = (char)(0x80 | (c & 0x3f));
                return 2;
        }
        if (c < 0x10000) {
                out[0] = (char)(0xe0 | c >> 12);
                out[1] = (char)(0x80 | (c >> 6 & 0x3f));
                out[2] = (char)(0x80 | (c & 0x3f));
                return 3;
        }
        out[0] = (char)(0xf0 | c >> 18);
        out[1] = (char)(0x80 | (c >> 12 & 0x3f));
        out[2] = (char)(0x80 | (c >> 6 & 0x3f));
        out[3] = (char)(0x80 | (c & 0x3f));
        return 4;
}

static int hex_of(char c)
{
        return c >= '0' && c <= '9'   ? c - '0'
               : c >= 'a' && c <= 'f' ? c - 'a' + 10
               : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                      : -1;
}

/* ---- escapes: %69, \x69, i, \u{69}, &#105;, &lt;, and marks inside of words -----------------
 */

/* Reads up to max digits. Returns how many there are. */
static size_t read_number(const char *s, size_t length, int base, size_t max, uint32_t *ret)
{
        size_t n = 0;

        for (*ret = 0; n < length && n < max; n++) {
                int digit = hex_of(s[n]);

                if (digit < 0 || digit >= base)
                        break;
                *ret = *ret * (uint32_t)base + (uint32_t)digit;
        }
        return n;
}

static size_t read_backslash(const char *s, size_t length, uint32_t *ret)
{
        size_t n, from = 2;

        if (length < 4 || (s[1] != 'x' && s[1] != 'u' && s[1] != 'U'))
                return 0;
        if (s[2] == '{')
                from = 3;
        n = read_number(s + from, length - from, 16,
                        from == 3 || s[1] == 'U' ? 8
                        : s[1] == 'u'            ? 4
                                                 : 2,
                        ret);
        if (from == 3)
                return n > 0 && from + n < length && s[from + n] == '}' ? from + n + 1 : 0;
        return n == (s[1] == 'x' ? 2u : s[1] == 'u' ? 4u : 8u) ? from + n : 0;
}

static size_t read_entity(const char *s, size_t length, uint32_t *ret)
{
        static const struct {
                const char *name;
                uint32_t c;
        } names[] = { { "&lt;", '<' },   { "&gt;", '>' },   { "&amp;", '&' },
                      { "&quot;", '"' }, { "&nbsp;", ' ' }, { "&apos;", '\'' } };
        bool hex = length > 3 && s[1] == '#' && (s[2] | 0x20) == 'x';
        size_t from = hex ? 3 : 2, n;

        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
                n = strlen(names[i].name);
                if (length >= n && memcmp(s, names[i].name, n) == 0) {
                        *ret = names[i].c;
                        return n;
                }
        }
        if (length < 4 || s[1] != '#')
                return 0;
        n = read_number(s + from, length - from, hex ? 16 : 10, 7, ret);
        if (n == 0)
                return 0;
        return from + n < length && s[from + n] == ';' ? from + n + 1 : from + n;
}

/* The length of an escape at the beginning of s; *ret is its character. 0: there is none. */
static size_t read_escape(const char *s, size_t length, uint32_t *ret)
{
        if (s[0] == '%')
                return length > 2 && read_number(s + 1, 2, 16, 2, ret) == 2 ? 3 : 0;
        if (s[0] == '\\')
                return read_backslash(s, length, ret);
        return s[0] == '&' ? read_entity(s, length, ret) : 0;
}

/* The length of a mark that a reader does not see inside of a word: <b>, </i>, **. */
static size_t read_mark(const char *s, size_t length)
{
        if (s[0] == '*' || s[0] == '~')
                return 1;
        if (s[0] != '<' || length < 3 || (s[1] != '/' && !isalpha((unsigned char)s[1])))
                return 0;
        for (size_t i = 1; i < length && i < TAG_MAX && s[i] != '<' && s[i] != '\n'; i++)
                if (s[i] == '>')
                        return i + 1;
        return 0;
}

size_t decode_escapes(const char *text, size_t length, size_t at, char *out, struct place *ret)
{
        bool found = false;
        size_t n = 0;

        for (size_t i = at, size; i < length; i += size) {
                bool byte = text[i] == '%' ||
                            (text[i] == '\\' && i + 1 < length && text[i + 1] == 'x');
                uint32_t c;

                size = read_escape(text + i, length - i, &c);
                if (size > 0 && byte) /* of UTF-8: what is none is found later */
                        out[n++] = (char)c;
                else if (size > 0)
                        n += put_character(out + n, c);
                else
                        size = read_mark(text + i, length - i);
                if (size > 0) {
                        found = true;
                } else {
                        out[n++] = text[i];
                        size = 1;
                }
        }
        if (!found)
                return 0;
        *ret = (struct place){ at, length };
        return n;
}

/* ---- bytes as letters and digits --------------------------------------------------------------
 */

static int base64_of(char c)
{
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

static size_t decode_run(const char *run, size_t length, char *out)
{
        uint32_t bits = 0, n_bits = 0;
        size_t n = 0;

        for (size_t i = 0; i < length; i++) {
                bits = bits << 6 | (uint32_t)base64_of(run[i]);
                n_bits += 6;
                if (n_bits >= 8) {
                        n_bits -= 8;
                        out[n++] = (char)(bits >> n_bits);
                }
        }
        return n;
}

size_t decode_base64(const char *text, size_t length, size_t at, char *out, struct place *ret)
{
        size_t from, n;

        while (at < length) {
                while (at < length && base64_of(text[at]) < 0)
                        at++;
                from = at;
                while (at < length && base64_of(text[at]) >= 0)
                        at++;
                if (at - from < BASE64_MIN)
                        continue;
                n = decode_run(text + from, at - from, out);
                while (n > 0 &&
                       ((unsigned char)out[n - 1] < ' ')) /* what fills up the last group */
                        n--;
                *ret = (struct place){ from, at };
                return n > 0 ? n : 1;
        }
        return 0;
}

/* The next byte that is written as two digits, perhaps behind "0x", "\x", a space, a comma or a
 * colon. Returns the length that it has in the text; 0: there is none. */
static size_t read_hex_byte(const char *s, size_t length, bool first, char *ret)
{
        size_t i = 0;

        while (!first && i < length && i < 2 && strchr(" ,:-", s[i]))
                i++;
        if (i + 1 < length && (s[i] == '0' || s[i] == '\\') && s[i + 1] == 'x')
                i += 2;
        if (i + 1 >= length || hex_of(s[i]) < 0 || hex_of(s[i + 1]) < 0)
                return 0;
        *ret = (char)(hex_of(s[i]) << 4 | hex_of(s[i + 1]));
        return i + 2;
}

size_t decode_hex(const char *text, size_t length, size_t at, char *out, struct place *ret)
{
        while (at < length) {
                size_t from = at, n = 0, size;

                if (from > 0 && isalnum((unsigned char)text[from - 1]) && hex_of(text[from]) >= 0) {
                        at++;
                        continue;
                }
                while ((size = read_hex_byte(text + at, length - at, n == 0, out + n)) > 0) {
                        at += size;
                        n++;
                }
                if (n >= HEX_MIN) {
                        *ret = (struct place){ from, at };
                        return n;
                }
                if (at == from)
                        at++;
        }
        return 0;
}

static size_t read_bits(const char *s, size_t length, char *ret)
{
        size_t i = 0;
        int byte = 0;

        if (length > 0 && (s[0] == ' ' || s[0] == ','))
                i++;
        if (i + 8 > length)
                return 0;
        for (size_t j = 0; j < 8; j++, i++) {
                if (s[i] != '0' && s[i] != '1')
                        return 0;
                byte = byte << 1 | (s[i] - '0');
        }
        *ret = (char)byte;
        return i;
}

size_t decode_binary(const char *text, size_t length, size_t at, char *out, struct place *ret)
{
        while (at < length) {
                size_t from = at, n = 0, size;

                while ((size = read_bits(text + at, length - at, out + n)) > 0) {
                        at += size;
                        n++;
                }
                if (n >= BITS_MIN) {
                        *ret = (struct place){ from, at };
                        return n;
                }
                if (at == from)
                        at++;
        }
        return 0;
}

/* Bytes as variation selectors: U+FE00 is 0, U+E0100 is 16. */
static size_t read_selector(const unsigned char *s, size_t length, char *ret)
{
        if (length >= 3 && s[0] == 0xef && s[1] == 0xb8 && s[2] < 0x90) {
                *ret = (char)(s[2] & 0xf);
                return 3;
        }
        if (length >= 4 && s[0] == 0xf3 && s[1] == 0xa0 && s[2] >= 0x84 && s[2] <= 0x87) {
                *ret = (char)(((s[2] - 0x84) << 6 | (s[3] & 0x3f)) + 16);
                return 4;
        }
        return 0;
}

size_t decode_selectors(const char *text, size_t length, size_t at, char *out, struct place *ret)
{
        while (at < length) {
                size_t from = at, n = 0, size;

                while ((size = read_selector((const unsigned char *)text + at, length - at,
                                             out + n)) > 0) {
                        at += size;
                        n++;
                }
                if (n >= SELECTORS_MIN) {
                        *ret = (struct place){ from, at };
                        return n;
                }
                if (at == from)
                        at++;
        }
        return 0;
}

/* ---- letters in other places ------------------------------------------------------------------
 */

/* The length of the character at the beginning of s if it is a letter or a digit. */
static size_t letter_size(const char *s, size_t length)
{
        unsigned char c = (unsigned char)s[0];
        size_t size = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;

        return length >= size && (c >= 0x80 || isalnum(c)) ? size : 0;
}

/* Takes letters that stand apart: "i g n o r e", "i-g-n-o-r-e a-l-l". A larger gap, or another
 * sign, ends a word. */
static size_t join(const char *text, size_t length, size_t *at, char *out)
{
        char separator = 0;
        size_t n = 0, i = *at;

        for (size_t size, gap; i < length && (size = letter_size(text + i, length - i)) > 0;) {
                gap = i + size;
                if (gap < length && letter_size(text + gap, length - gap) > 0)
                        break;
                memcpy(out + n, text + i, size);
                n += size;
                i = gap;
                while (gap < length && letter_size(text + gap, length - gap) == 0 && gap - i < 4)
                        gap++;
                if (gap == i)
                        break;
                separator = separator ? separator : text[i];
                if (gap < length && (gap - i > 1 || text[i] != separator))
                        out[n++] = ' ';
                i = gap;
        }
        *at = i;
        return n;
}

size_t decode_spaced(const char *text, size_t length, size_t at, char *out, struct place *ret)
{
        while (at < length) {
                size_t from = at, n = 0;

                if (from == 0 || letter_size(text + from - 1, 1) == 0)
                        n = join(text, length, &at, out);
                if (n >= SINGLE_MIN) {
                        *ret = (struct place){ from, at };
                        return n;
                }
                if (at == from) {
                        size_t size = letter_size(text + at, length - at);

                        at += size > 0 ? size : 1;
                }
        }
        return 0;
}

/* The end of the letters and digits from `at` on. */
static size_t end_of_word(const char *text, size_t length, size_t at)
{
        while (at < length && isalnum((unsigned char)text[at]))
                at++;
        return at;
}

/* Leaves hashes and keys as they are. */
size_t decode_leet(const char *text, size_t length, size_t at, char *out, struct place *ret)
{
        static const char from[] = "0134578@$!|9", to[] = "oieastbasiig";
        bool is_word = true;

        for (size_t i = at, end = at; i < length; i++) {
                const char *p = text[i] ? strchr(from, text[i]) : NULL;
                bool beside = (i > 0 && isalnum((unsigned char)text[i - 1])) ||
                              (i + 1 < length && isalnum((unsigned char)text[i + 1]));

                if (i >= end) {
                        end = end_of_word(text, length, i);
                        is_word = end - i <= LEET_WORD_MAX;
                }
                out[i - at] = p && beside && is_word ? to[p - from] : text[i];
        }
        *ret = (struct place){ at, length };
        return length - at;
}

size_t decode_rot13(const char *text, size_t length, size_t at, char *out, struct place *ret)
{
        for (size_t i = at; i < length; i++) {
                char c = text[i], base = c >= 'a' ? 'a' : 'A';

                out[i - at] = isalpha((unsigned char)c) ? (char)((c - base + 13) % 26 + base) : c;
        }
        *ret = (struct place){ at, length };
        return length - at;
}

size_t decode_reversed(const char *text, size_t length, size_t at, char *out, struct place *ret)
{
        size_t n = length - at;

        for (size_t i = at, size; i < length; i += size) {
                size = letter_size(text + i, length - i);
                size = size > 0 ? size : 1;
                n -= size;
                memcpy(out + n, text + i, size);
        }
        *ret = (struct place){ at, length };
        return length - at;
}

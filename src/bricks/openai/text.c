/* SPDX-License-Identifier: MIT */

#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "octet.h"
#include "util/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* --- from JSON ------------------------------------------------------------------------- */

static bool is_high(unsigned unit)
{
        return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low(unsigned unit)
{
        return unit >= 0xdc00 && unit <= 0xdfff;
}

static unsigned pair(unsigned high, unsigned low)
{
        return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

/* A half of a surrogate pair becomes three bytes, as if it were a character; mend() joins them. */
static char *put_character(char *to, unsigned c)
{
        if (c == 0) /* a string of protobuf-c cannot hold it */
                return to;
        return to + utf8_encode(c, to);
}

/* An escape \uXXXX, of which p is at the `u`, or two that are a surrogate pair. Returns its end. */
static const char *unescape_hex(char **to, const char *p, const char *end)
{
        unsigned c = scan_hex(p + 1), low;

        p += 5;
        if (is_high(c) && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
                low = scan_hex(p + 2);
                if (is_low(low)) {
                        c = pair(c, low);
                        p += 6;
                }
        }
        *to = put_character(*to, c);
        return p;
}

/* Copies the text of a string without its escapes, which never makes it longer. Returns the end. */
static char *unescape(char *to, const char *p, const char *end)
{
        static const char letters[] = "bfnrt", meanings[] = "\b\f\n\r\t";

        while (p < end) {
                const char *escape = memchr(p, '\\', (size_t)(end - p));
                size_t n = (size_t)((escape ? escape : end) - p);
                const char *letter;

                to = (char *)memcpy(to, p, n) + n;
                if (!escape)
                        break;
                p = escape + 1;
                if (*p == 'u') {
                        p = unescape_hex(&to, p, end);
                        continue;
                }
                letter = strchr(letters, *p);
                *to++ = letter ? meanings[letter - letters] : *p;
                p++;
        }
        return to;
}

/* --- to UTF-8 -------------------------------------------------------------------------- */

/* The half of a surrogate pair that is encoded at p; 0: none is. */
static unsigned half_at(const unsigned char *p, const unsigned char *end)
{
        if (end - p < 3 || p[0] != 0xed || p[1] < 0xa0 || p[1] > 0xbf || (p[2] & 0xc0) != 0x80)
                return 0;
        return 0xd000u | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
}

/* Whether what begins at p and is cut off by `end` could be the second half. */
static bool may_be_low(const unsigned char *p, const unsigned char *end)
{
        return p == end || (end - p < 3 && p[0] == 0xed && (end - p < 2 || p[1] >= 0xb0));
}

/*
 * The length of the character at p. Negative: so many bytes are no character; 0: it may go on after
 * `end`. As Unicode recommends, bytes that begin a character count as one mistake.
 */
static int character_at(const unsigned char *p, const unsigned char *end)
{
        unsigned char low = 0x80, high = 0xbf;
        int n;

        if (p[0] > 0 && p[0] < 0x80)
                return 1;
        if (p[0] < 0xc2 || p[0] > 0xf4)
                return -1;
        n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
        if (p[0] == 0xe0)
                low = 0xa0;
        if (p[0] == 0xf0)
                low = 0x90;
        if (p[0] == 0xf4)
                high = 0x8f;
        for (int i = 1; i < n; i++, low = 0x80, high = 0xbf) {
                if (p + i == end)
                        return 0;
                if (p[i] < low || p[i] > high)
                        return -i;
        }
        if (!half_at(p, end))
                return n;
        if (is_high(half_at(p, end)) && may_be_low(p + 3, end))
                return 0;
        return -3;
}

/* Whether eight bytes follow that are ASCII without NUL. */
static bool is_ascii(const unsigned char *p, const unsigned char *end)
{
        uint64_t word;

        if (end - p < 8)
                return false;
        word = octets_load((const char *)p);
        return !(word & OCTETS_HIGH) && !octets_find(word, 0);
}

/* Whether all of it is UTF-8. */
static bool is_valid(const char *bytes, size_t n)
{
        const unsigned char *p = (const unsigned char *)bytes, *end = p + n;

        while (p < end) {
                int k = is_ascii(p, end) ? 8 : character_at(p, end);

                if (k <= 0)
                        return false;
                p += k;
        }
        return true;
}

/* Copies bytes to `to`, which has room for three times as many. Returns the end, and in *p what has
 * been copied: all but the beginning of a character. */
static char *mend(char *to, const unsigned char **p, const unsigned char *end)
{
        while (*p < end) {
                unsigned high = half_at(*p, end), low = half_at(*p + (high ? 3 : 0), end);
                int n = character_at(*p, end);

                if (is_high(high) && is_low(low)) {
                        to = put_character(to, pair(high, low));
                        n = 6;
                } else if (n > 0) {
                        to = (char *)memcpy(to, *p, (size_t)n) + n;
                } else if (n == 0) {
                        break;
                } else {
                        if (**p != '\0')
                                to = stpcpy(to, REPLACEMENT);
                        n = -n;
                }
                *p += n;
        }
        return to;
}

/* --- a text that grows ------------------------------------------------------------------ */

/* Makes room for n more bytes and a NUL. */
static int reserve(struct text *text, size_t n)
{
        size_t size = text->n + n + 1;
        char *grown;

        if (size <= text->size)
                return 0;
        size += size / 2 + 64;
        grown = realloc(text->p, size);
        if (!grown)
                return -ENOMEM;
        text->p = grown;
        text->size = size;
        return 0;
}

/* The last n bytes in the buffer, behind the text, become a part of it. */
static int mend_last(struct text *text, size_t n)
{
        char *copy = malloc(n);
        const unsigned char *p, *end;
        int r;

        if (!copy)
                return -ENOMEM;
        p = memcpy(copy, text->p + text->n, n);
        end = p + n;
        r = reserve(text, 3 * n);
        if (r == 0) {
                text->n = (size_t)(mend(text->p + text->n, &p, end) - text->p);
                text->n_cut = (size_t)(end - p);
                memcpy(text->cut, p, text->n_cut);
        }
        free(copy);
        return r;
}

static int add(struct text *text, struct scan bytes, bool escaped)
{
        char *begin, *end;
        size_t n;
        int r;

        r = reserve(text, text->n_cut + (size_t)(bytes.end - bytes.p));
        if (r < 0)
                return r;
        begin = text->p + text->n;
        memcpy(begin, text->cut, text->n_cut);
        end = begin + text->n_cut;
        if (escaped)
                end = unescape(end, bytes.p, bytes.end);
        else
                end = (char *)memcpy(end, bytes.p, (size_t)(bytes.end - bytes.p)) +
                      (bytes.end - bytes.p);
        text->n_cut = 0;
        n = (size_t)(end - begin);
        if (is_valid(begin, n))
                text->n += n;
        else
                r = mend_last(text, n);
        text->p[text->n] = '\0';
        return r;
}

int text_add(struct text *text, struct scan string)
{
        if (!scan_is_string(string))
                return 0;
        return add(text, (struct scan){ string.p + 1, string.end - 1 }, true);
}

int text_add_bytes(struct text *text, const char *bytes, size_t n)
{
        return add(text, (struct scan){ bytes, bytes + n }, false);
}

int text_end(struct text *text)
{
        bool cut = text->n_cut > 0;

        text->n_cut = 0;
        return cut ? text_add_bytes(text, REPLACEMENT, strlen(REPLACEMENT)) : 0;
}

void text_clear(struct text *text)
{
        text->n = 0;
        if (text->p)
                text->p[0] = '\0';
}

void text_done(struct text *text)
{
        free(text->p);
        *text = (struct text){};
}

/* --- a text of limited length -------------------------------------------------------------- */

void text_cut(char *to, size_t size, const char *from)
{
        size_t n = utf8_prefix(from, strnlen(from, size), size - 1);

        memcpy(to, from, n);
        to[n] = '\0';
}

bool text_copy(char *to, size_t size, struct scan string)
{
        struct text text = {};

        to[0] = '\0';
        if (!scan_is_string(string))
                return false;
        if (text_add(&text, string) == 0 && text_end(&text) == 0)
                text_cut(to, size, text.p);
        text_done(&text);
        return true;
}

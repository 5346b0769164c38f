/* SPDX-License-Identifier: MIT */
#include "fold.h"

#include <string.h>

#include "han.h"
#include "unicode-table.h"
#include "unicode.h"

/* The flags of unicode_rows[].kind; its low bits are FOLD_*. */
enum { ROW_KIND = 3, ROW_UPPER = 4, ROW_DIGIT = 8 };

#define DIAERESIS 0x308
#define RING 0x30a

/* Hangul syllables are counted through their parts. */
enum { L_FIRST = 0x1100, L_N = 19, V_FIRST = 0x1161, V_N = 21, T_FIRST = 0x11a7, T_N = 28 };
#define SYLLABLE_FIRST 0xac00

static uint32_t peek(const char *text, size_t n, size_t *ret_length)
{
        *ret_length = 0;
        return n > 0 ? unicode_get(text, n, ret_length) : 0;
}

static size_t row_of(uint32_t c)
{
        return unicode_page[unicode_pages[c / UNICODE_PAGE]][c % UNICODE_PAGE];
}

/* Composes the parts of a syllable of Hangul. c is the first, of which *length bytes were read. */
static uint32_t compose_hangul(uint32_t c, const char *text, size_t n, size_t *length)
{
        size_t more;
        uint32_t next = peek(text + *length, n - *length, &more);

        if (c >= L_FIRST && c < L_FIRST + L_N && next >= V_FIRST && next < V_FIRST + V_N) {
                c = SYLLABLE_FIRST + ((c - L_FIRST) * V_N + (next - V_FIRST)) * T_N;
                *length += more;
                next = peek(text + *length, n - *length, &more);
        }
        if (c >= SYLLABLE_FIRST && c < SYLLABLE_FIRST + L_N * V_N * T_N &&
            (c - SYLLABLE_FIRST) % T_N == 0 && next > T_FIRST && next < T_FIRST + T_N) {
                c += next - T_FIRST;
                *length += more;
        }
        return c;
}

/* Composes a kana with the voicing mark after it, of either width. */
static uint32_t compose_kana(uint32_t c, const char *text, size_t n, size_t *length)
{
        size_t more;
        uint32_t next = peek(text + *length, n - *length, &more), hiragana = c;
        bool voiced = next == 0x3099 || next == 0xff9e, half = next == 0x309a || next == 0xff9f;
        bool katakana = c >= 0x30a1 && c <= 0x30f3;

        if (!voiced && !half)
                return c;
        if (katakana)
                hiragana -= 0x60;
        if (voiced && hiragana == 0x3046)
                c += 0x3094 - 0x3046;
        else if (voiced && ((hiragana >= 0x304b && hiragana <= 0x3062 && hiragana % 2 == 1) ||
                            (hiragana >= 0x3064 && hiragana <= 0x3069 && hiragana % 2 == 0)))
                c++;
        else if (hiragana >= 0x306f && hiragana <= 0x307d && hiragana % 3 == 0)
                c += voiced ? 1 : 2;
        else
                return c;
        *length += more;
        return c;
}

static void put_char(struct folded *f, uint32_t c)
{
        f->n = (uint8_t)unicode_put(f->text, c);
}

/* Most characters of a Chinese text are Han, and most of these stay what they are. */
static void fold_han(struct folded *f, const char *text, size_t length, uint32_t c)
{
        uint32_t simple = han_simplify(c);

        f->umlaut = 0;
        if (simple == c) {
                memcpy(f->text, text, length);
                f->n = (uint8_t)length;
        } else {
                put_char(f, simple);
        }
}

static void fold_unspaced(struct folded *f, const char *text, size_t n, size_t *length)
{
        size_t whole;
        uint32_t c = unicode_get(f->text, f->n, &whole);

        if (whole != f->n)
                return;
        if (c >= 0x3041 && c <= 0x30f3)
                c = compose_kana(c, text, n, length);
        else if ((c >= L_FIRST && c < L_FIRST + L_N) || (c >= SYLLABLE_FIRST && c <= 0xd7a3))
                c = compose_hangul(c, text, n, length);
        else
                c = han_simplify(c);
        put_char(f, c);
}

/* Muenchen is another spelling of the town with an u umlaut, Aarhus of the one with a ring. */
static char umlaut_of(uint32_t c, const char *rest, size_t n)
{
        size_t length;
        uint32_t next;

        switch (c | 0x20) {
        case 0xe4:
        case 0xf6:
        case 0xfc:
        case 0xf8:
                return 'e';
        case 0xe5:
                return 'a';
        case 'a':
        case 'o':
        case 'u':
                next = peek(rest, n, &length);
                return next == DIAERESIS ? 'e' : next == RING && (c | 0x20) == 'a' ? 'a' : 0;
        default:
                return 0;
        }
}

size_t fold_wide(const char *text, size_t n, struct folded *f)
{
        size_t length, row;
        uint32_t c;

        c = unicode_get(text, n, &length);
        row = row_of(c);
        f->kind = unicode_rows[row].kind & ROW_KIND;
        f->upper = unicode_rows[row].kind & ROW_UPPER;
        f->digit = unicode_rows[row].kind & ROW_DIGIT;
        f->n = unicode_rows[row].n;
        if (f->n == 0 && f->kind == FOLD_UNSPACED && c >= HAN_FIRST && c <= HAN_LAST) {
                fold_han(f, text, length, c);
                return length;
        }
        memcpy(f->text, unicode_rows[row].text, FOLD_SIZE_MAX);
        if (f->n == 0)
                put_char(f, c);
        f->umlaut = umlaut_of(c, text + length, n - length);
        if (f->kind == FOLD_UNSPACED)
                fold_unspaced(f, text, n, &length);
        return length;
}

const char *fold_version(void)
{
        return UNICODE_VERSION;
}

bool fold_has_han(void)
{
        return han_available();
}

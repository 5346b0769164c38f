/* SPDX-License-Identifier: MIT */

/*
 * Guesses the character set from how often the bytes of a text are those of common characters. Sets
 * of East Asia put common characters into ranges of their own; in Western sets most letters beyond
 * ASCII have one of ASCII beside them; Cyrillic words are of such letters only, most of them small.
 */

#include <stdbool.h>

#include "charset.h"

/* The share of common characters from which a set of two bytes is likely. */
#define LIKELY 0.75

/* The share of kana from which a text is Japanese. */
#define KANA_SHARE 0.15

enum kind { KIND_BAD, KIND_RARE, KIND_COMMON, KIND_KANA };

/* The kind of a pair of bytes, or of one byte: then *length is set to 1. */
typedef enum kind kind_func(unsigned char a, unsigned char b, int *length);

static bool within(unsigned char c, unsigned char first, unsigned char last)
{
        return c >= first && c <= last;
}

static enum kind big5_kind(unsigned char a, unsigned char b, int *length)
{
        if (!within(a, 0x81, 0xfe) || !(within(b, 0x40, 0x7e) || within(b, 0xa1, 0xfe)))
                return KIND_BAD;
        return within(a, 0xa1, 0xc6) ? KIND_COMMON : KIND_RARE;
}

static enum kind gb_kind(unsigned char a, unsigned char b, int *length)
{
        if (!within(a, 0x81, 0xfe) || !within(b, 0x30, 0xfe) || b == 0x7f)
                return KIND_BAD;
        return within(b, 0xa1, 0xfe) && (within(a, 0xb0, 0xd7) || a == 0xa1 || a == 0xa3)
                       ? KIND_COMMON
                       : KIND_RARE;
}

static enum kind korean_kind(unsigned char a, unsigned char b, int *length)
{
        if (!within(a, 0xa1, 0xfe) || !within(b, 0xa1, 0xfe))
                return KIND_BAD;
        return within(a, 0xb0, 0xc8) || a == 0xa1 || a == 0xa3 ? KIND_COMMON : KIND_RARE;
}

static enum kind euc_jp_kind(unsigned char a, unsigned char b, int *length)
{
        if (!within(b, 0xa1, 0xfe) || !(within(a, 0xa1, 0xfe) || a == 0x8e))
                return KIND_BAD;
        if (a == 0xa4 || a == 0xa5 || a == 0x8e)
                return KIND_KANA;
        return within(a, 0xb0, 0xcf) || a == 0xa1 || a == 0xa3 ? KIND_COMMON : KIND_RARE;
}

static enum kind shift_jis_kind(unsigned char a, unsigned char b, int *length)
{
        if (within(a, 0xa1, 0xdf)) {
                *length = 1;
                return KIND_RARE;
        }
        if (!(within(a, 0x81, 0x9f) || within(a, 0xe0, 0xfc)) || !within(b, 0x40, 0xfc) ||
            b == 0x7f)
                return KIND_BAD;
        if ((a == 0x82 && within(b, 0x9f, 0xf1)) || (a == 0x83 && within(b, 0x40, 0x96)))
                return KIND_KANA;
        return within(a, 0x88, 0x97) || within(a, 0x81, 0x82) ? KIND_COMMON : KIND_RARE;
}

/* The share of common characters; errors count twice. */
static double share(const unsigned char *s, size_t n, kind_func *kind_of, bool japanese)
{
        size_t counts[4] = {}, all;
        enum kind kind;
        int length;

        for (size_t i = 0; i < n; i += (size_t)length) {
                length = 1;
                if (s[i] < 0x80)
                        continue;
                length = 2;
                kind = kind_of(s[i], i + 1 < n ? s[i + 1] : 0, &length);
                counts[kind]++;
                if (kind == KIND_BAD)
                        length = 1;
        }
        all = counts[KIND_RARE] + counts[KIND_COMMON] + counts[KIND_KANA] + 2 * counts[KIND_BAD];
        if (all == 0 || (japanese && (double)counts[KIND_KANA] < KANA_SHARE * (double)all))
                return 0;
        return (double)(counts[KIND_COMMON] + counts[KIND_KANA]) / (double)all;
}

/* The share of bytes beyond ASCII that have none beside them. */
static double alone(const unsigned char *s, size_t n)
{
        size_t high = 0, single = 0;

        for (size_t i = 0; i < n; i++) {
                if (s[i] < 0x80)
                        continue;
                high++;
                single += (i == 0 || s[i - 1] < 0x80) && (i + 1 == n || s[i + 1] < 0x80);
        }
        return high > 0 ? (double)single / (double)high : 1;
}

static double between(const unsigned char *s, size_t n, unsigned char first, unsigned char last)
{
        size_t high = 0, found = 0;

        for (size_t i = 0; i < n; i++) {
                high += s[i] >= 0x80;
                found += within(s[i], first, last);
        }
        return high > 0 ? (double)found / (double)high : 0;
}

/* Vowels of Greek with an accent are capitals of Cyrillic, which do not follow small letters. */
static bool is_greek(const unsigned char *s, size_t n)
{
        size_t small = 0, accents = 0;

        for (size_t i = 1; i < n; i++) {
                small += s[i] >= 0xe0;
                accents += within(s[i], 0xdc, 0xdf) && s[i - 1] >= 0xe0;
        }
        return accents > small / 32;
}

static const char *one_byte(const unsigned char *s, size_t n)
{
        double windows = between(s, n, 0xe0, 0xff), koi = between(s, n, 0xc0, 0xdf);

        if (windows + koi < LIKELY)
                return "CP1252";
        if (windows <= koi)
                return "KOI8-R";
        return is_greek(s, n) ? "CP1253" : "CP1251";
}

const char *charset_guess(const char *data, size_t n)
{
        static const struct {
                const char *name;
                kind_func *kind;
                bool japanese;
        } sets[] = {
                /* Those that are common in later ones, too, come first. */
                { "CP949", korean_kind, false },   { "EUC-JP", euc_jp_kind, true },
                { "CP932", shift_jis_kind, true }, { "BIG5-HKSCS", big5_kind, false },
                { "GB18030", gb_kind, false },
        };
        const unsigned char *s = (const unsigned char *)data;
        double best_share = LIKELY, value;
        const char *best = NULL;

        if (alone(s, n) > 0.5)
                return "CP1252";
        for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
                value = share(s, n, sets[i].kind, sets[i].japanese);
                if (value > best_share) {
                        best_share = value;
                        best = sets[i].name;
                }
        }
        return best ?: one_byte(s, n);
}

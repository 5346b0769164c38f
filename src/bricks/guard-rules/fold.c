/* SPDX-License-Identifier: MIT */
#include "fold.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

/*
 * The characters from first to last are replaced by those of `to`, which is repeated if it is
 * shorter; NULL: they are dropped. Sorted. A lookalike is replaced only in a word that also has
 * Latin letters, so that Russian and Greek words do not change.
 */
static const struct fold {
        uint32_t first;
        uint32_t last;
        const char *to;
        bool lookalike;
} folds[] = {
        { 0x80, 0x84, NULL }, /* control characters */
        { 0x85, 0x85, "\n" },
        { 0x86, 0x9f, NULL },
        { 0xa0, 0xa0, " " },
        { 0xaa, 0xaa, "a" },
        { 0xab, 0xab, "\"" },
        { 0xad, 0xad, NULL }, /* soft hyphen */
        { 0xb2, 0xb3, "23" },
        { 0xb4, 0xb4, "'" },
        { 0xb9, 0xb9, "1" },
        { 0xba, 0xba, "o" },
        { 0xbb, 0xbb, "\"" },
        { 0xc0, 0xd6, "AAAAAAACEEEEIIIIDNOOOOO" }, /* Latin letters lose their accents */
        { 0xd8, 0xde, "OUUUUYT" },
        { 0xdf, 0xf6, "saaaaaaaceeeeiiiidnooooo" },
        { 0xf8, 0xff, "ouuuuyty" },
        { 0x100, 0x105, "Aa" },
        { 0x106, 0x10d, "Cc" },
        { 0x10e, 0x111, "Dd" },
        { 0x112, 0x11b, "Ee" },
        { 0x11c, 0x123, "Gg" },
        { 0x124, 0x127, "Hh" },
        { 0x128, 0x131, "Ii" },
        { 0x134, 0x135, "Jj" },
        { 0x136, 0x138, "Kkk" },
        { 0x139, 0x142, "Ll" },
        { 0x143, 0x14b, "NnNnNnnNn" },
        { 0x14c, 0x153, "Oo" },
        { 0x154, 0x159, "Rr" },
        { 0x15a, 0x161, "Ss" },
        { 0x162, 0x167, "Tt" },
        { 0x168, 0x173, "Uu" },
        { 0x174, 0x178, "WwYyY" },
        { 0x179, 0x17e, "Zz" },
        { 0x17f, 0x17f, "s" },
        { 0x1cd, 0x1dc, "AaIiOoUuUuUuUuUu" },
        { 0x200, 0x21b, "AaAaEeEeIiIiOoOoRrRrUuUuSsTt" },
        { 0x250, 0x250, "a" }, /* letters of phonetic alphabets, small capitals among them */
        { 0x251, 0x251, "a" },
        { 0x261, 0x262, "gG" },
        { 0x269, 0x26a, "iI" },
        { 0x274, 0x274, "N" },
        { 0x280, 0x280, "R" },
        { 0x28f, 0x28f, "Y" },
        { 0x299, 0x299, "B" },
        { 0x29c, 0x29c, "H" },
        { 0x29f, 0x29f, "L" },
        { 0x2b0, 0x2b0, "h" },
        { 0x2b2, 0x2b3, "jr" },
        { 0x2b7, 0x2b8, "wy" },
        { 0x2bc, 0x2bc, "'" },
        { 0x2e1, 0x2e3, "lsx" },
        { 0x300, 0x36f, NULL }, /* combining marks */
        { 0x391, 0x392, "AB", true },
        { 0x395, 0x397, "EZH", true },
        { 0x399, 0x39a, "IK", true },
        { 0x39c, 0x39d, "MN", true },
        { 0x39f, 0x39f, "O", true },
        { 0x3a1, 0x3a1, "P", true },
        { 0x3a4, 0x3a5, "TY", true },
        { 0x3a7, 0x3a7, "X", true },
        { 0x3b1, 0x3b1, "a", true },
        { 0x3b3, 0x3b3, "y", true },
        { 0x3b5, 0x3b5, "e", true },
        { 0x3b9, 0x3ba, "ik", true },
        { 0x3bd, 0x3bd, "v", true },
        { 0x3bf, 0x3bf, "o", true },
        { 0x3c1, 0x3c1, "p", true },
        { 0x3c4, 0x3c5, "tu", true },
        { 0x3c7, 0x3c7, "x", true },
        { 0x3f2, 0x3f3, "cj", true },
        { 0x405, 0x406, "SI", true },
        { 0x408, 0x408, "J", true },
        { 0x410, 0x410, "A", true },
        { 0x412, 0x412, "B", true },
        { 0x415, 0x415, "E", true },
        { 0x41a, 0x41a, "K", true },
        { 0x41c, 0x41e, "MHO", true },
        { 0x420, 0x422, "PCT", true },
        { 0x423, 0x423, "Y", true },
        { 0x425, 0x425, "X", true },
        { 0x430, 0x430, "a", true },
        { 0x435, 0x435, "e", true },
        { 0x43a, 0x43a, "k", true },
        { 0x43c, 0x43e, "mho", true },
        { 0x440, 0x443, "pcty", true },
        { 0x445, 0x445, "x", true },
        { 0x455, 0x457, "sii", true },
        { 0x458, 0x458, "j", true },
        { 0x461, 0x461, "w", true },
        { 0x475, 0x475, "v", true },
        { 0x4ae, 0x4af, "Yy", true },
        { 0x4ba, 0x4bb, "Hh", true },
        { 0x4bd, 0x4bd, "e", true },
        { 0x4c0, 0x4c0, "I", true },
        { 0x4cf, 0x4cf, "l", true },
        { 0x501, 0x501, "d", true },
        { 0x51b, 0x51d, "qWw", true },
        { 0x555, 0x555, "O", true },
        { 0x561, 0x561, "w", true },
        { 0x563, 0x563, "q", true },
        { 0x566, 0x566, "q", true },
        { 0x570, 0x570, "h", true },
        { 0x578, 0x578, "n", true },
        { 0x57c, 0x57d, "nu", true },
        { 0x581, 0x581, "g", true },
        { 0x584, 0x585, "fo", true },
        { 0x61c, 0x61c, NULL },
        { 0x115f, 0x1160, NULL }, /* Hangul fillers */
        { 0x1680, 0x1680, " " },
        { 0x17b4, 0x17b5, NULL },
        { 0x180b, 0x180f, NULL },
        { 0x1ab0, 0x1aff, NULL },
        { 0x1d00, 0x1d00, "A" },
        { 0x1d04, 0x1d05, "CD" },
        { 0x1d07, 0x1d07, "E" },
        { 0x1d0a, 0x1d0b, "JK" },
        { 0x1d0d, 0x1d0d, "M" },
        { 0x1d0f, 0x1d0f, "O" },
        { 0x1d18, 0x1d18, "P" },
        { 0x1d1b, 0x1d1c, "TU" },
        { 0x1d20, 0x1d22, "VWZ" },
        { 0x1d43, 0x1d43, "a" },
        { 0x1d47, 0x1d49, "bde" },
        { 0x1d4d, 0x1d4d, "g" },
        { 0x1d4f, 0x1d50, "km" },
        { 0x1d52, 0x1d52, "o" },
        { 0x1d56, 0x1d58, "ptu" },
        { 0x1d5b, 0x1d5b, "v" },
        { 0x1d62, 0x1d65, "iruv" },
        { 0x1dc0, 0x1dff, NULL },
        { 0x1e00, 0x1e01, "Aa" },
        { 0x1e02, 0x1e07, "Bb" },
        { 0x1e08, 0x1e09, "Cc" },
        { 0x1e0a, 0x1e13, "Dd" },
        { 0x1e14, 0x1e1d, "Ee" },
        { 0x1e1e, 0x1e1f, "Ff" },
        { 0x1e20, 0x1e21, "Gg" },
        { 0x1e22, 0x1e2b, "Hh" },
        { 0x1e2c, 0x1e2f, "Ii" },
        { 0x1e30, 0x1e35, "Kk" },
        { 0x1e36, 0x1e3d, "Ll" },
        { 0x1e3e, 0x1e43, "Mm" },
        { 0x1e44, 0x1e4b, "Nn" },
        { 0x1e4c, 0x1e53, "Oo" },
        { 0x1e54, 0x1e57, "Pp" },
        { 0x1e58, 0x1e5f, "Rr" },
        { 0x1e60, 0x1e69, "Ss" },
        { 0x1e6a, 0x1e71, "Tt" },
        { 0x1e72, 0x1e7b, "Uu" },
        { 0x1e7c, 0x1e7f, "Vv" },
        { 0x1e80, 0x1e89, "Ww" },
        { 0x1e8a, 0x1e8d, "Xx" },
        { 0x1e8e, 0x1e8f, "Yy" },
        { 0x1e90, 0x1e95, "Zz" },
        { 0x1ea0, 0x1eb7, "Aa" },
        { 0x1eb8, 0x1ec7, "Ee" },
        { 0x1ec8, 0x1ecb, "Ii" },
        { 0x1ecc, 0x1ee3, "Oo" },
        { 0x1ee4, 0x1ef1, "Uu" },
        { 0x1ef2, 0x1ef9, "Yy" },
        { 0x2000, 0x200a, " " },
        { 0x200b, 0x200f, NULL }, /* zero width, direction marks */
        { 0x2010, 0x2015, "-" },
        { 0x2018, 0x201b, "'" },
        { 0x201c, 0x201f, "\"" },
        { 0x2024, 0x2024, "." },
        { 0x2026, 0x2026, "." },
        { 0x2028, 0x2029, "\n" },
        { 0x202a, 0x202e, NULL }, /* directions */
        { 0x202f, 0x202f, " " },
        { 0x2032, 0x2032, "'" },
        { 0x2033, 0x2033, "\"" },
        { 0x2039, 0x203a, "'" },
        { 0x2044, 0x2044, "/" },
        { 0x205f, 0x205f, " " },
        { 0x2060, 0x206f, NULL }, /* invisible */
        { 0x2070, 0x2071, "0i" },
        { 0x2074, 0x2079, "456789" },
        { 0x207f, 0x207f, "n" },
        { 0x2080, 0x2089, "0123456789" },
        { 0x2090, 0x2093, "aeox" },
        { 0x2095, 0x209c, "hklmnpst" },
        { 0x20d0, 0x20ff, NULL },
        { 0x2102, 0x2102, "C" },
        { 0x210a, 0x210e, "gHHHh" },
        { 0x2110, 0x2113, "IILl" },
        { 0x2115, 0x2115, "N" },
        { 0x2119, 0x211d, "PQRRR" },
        { 0x2124, 0x2124, "Z" },
        { 0x2128, 0x2128, "Z" },
        { 0x212a, 0x212d, "KABC" },
        { 0x212f, 0x2131, "eEF" },
        { 0x2133, 0x2134, "Mo" },
        { 0x2139, 0x2139, "i" },
        { 0x2145, 0x2149, "Ddeij" },
        { 0x2160, 0x2160, "I" },
        { 0x2164, 0x2164, "V" },
        { 0x2169, 0x2169, "X" },
        { 0x216c, 0x216f, "LCDM" },
        { 0x2170, 0x2170, "i" },
        { 0x2174, 0x2174, "v" },
        { 0x2179, 0x2179, "x" },
        { 0x217c, 0x217f, "lcdm" },
        { 0x2212, 0x2212, "-" },
        { 0x2215, 0x2215, "/" },
        { 0x2460, 0x2468, "123456789" },
        { 0x249c, 0x24b5, "abcdefghijklmnopqrstuvwxyz" },
        { 0x24b6, 0x24e9, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" },
        { 0x24ea, 0x24ea, "0" },
        { 0x2776, 0x277e, "123456789" },
        { 0x2800, 0x2800, " " }, /* the empty Braille pattern */
        { 0x3000, 0x3000, " " },
        { 0x3001, 0x3002, ",." },
        { 0x300a, 0x300d, "\"" }, /* Chinese quotation marks */
        { 0x300e, 0x300f, "\"" },
        { 0x301d, 0x301f, "\"" },
        { 0x3164, 0x3164, NULL },
        { 0xfe00, 0xfe0f, NULL }, /* variation selectors */
        { 0xfe20, 0xfe2f, NULL },
        { 0xfe41, 0xfe44, "\"" },
        { 0xfe58, 0xfe58, "-" },
        { 0xfe63, 0xfe63, "-" },
        { 0xfeff, 0xfeff, NULL },
        { 0xff01, 0xff5e, /* full width */
          "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`"
          "abcdefghijklmnopqrstuvwxyz{|}~" },
        { 0xff61, 0xff61, "." },
        { 0xff62, 0xff63, "\"" },
        { 0xff64, 0xff64, "," },
        { 0xffa0, 0xffa0, NULL },
        { 0xfff9, 0xfffb, NULL },
        /* mathematical alphabets: bold, italic, script, Fraktur, ... */
        { 0x1d400, 0x1d6a3, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" },
        { 0x1d7ce, 0x1d7ff, "0123456789" },
        { 0x1f110, 0x1f129, "ABCDEFGHIJKLMNOPQRSTUVWXYZ" },
        { 0x1f130, 0x1f149, "ABCDEFGHIJKLMNOPQRSTUVWXYZ" },
        { 0x1f150, 0x1f169, "ABCDEFGHIJKLMNOPQRSTUVWXYZ" },
        { 0x1f170, 0x1f189, "ABCDEFGHIJKLMNOPQRSTUVWXYZ" },
        { 0x1f1e6, 0x1f1ff, "ABCDEFGHIJKLMNOPQRSTUVWXYZ" },
        { 0xe0001, 0xe0001, NULL },
        /* tags: an invisible copy of ASCII */
        { 0xe0020, 0xe007e,
          " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`"
          "abcdefghijklmnopqrstuvwxyz{|}~" },
        { 0xe007f, 0xe007f, NULL },
        { 0xe0100, 0xe01ef, NULL },
};

/* The alphabets with lookalikes are below this, and have a direct table. */
#define DIRECT_MAX 0x600

/* One more than the index of a character's fold; 0: it has none. */
static uint8_t direct[DIRECT_MAX];
static pthread_once_t direct_once = PTHREAD_ONCE_INIT;

static void direct_fill(void)
{
        for (size_t i = 0; folds[i].first < DIRECT_MAX; i++)
                for (uint32_t c = folds[i].first; c <= folds[i].last; c++)
                        direct[c] = (uint8_t)(i + 1);
}

static const struct fold *fold_find(uint32_t c)
{
        size_t low = 0, high = sizeof folds / sizeof folds[0];

        if (c < DIRECT_MAX)
                return direct[c] > 0 ? &folds[direct[c] - 1] : NULL;
        if (c >= 0x3400 && c < 0xfe00) /* Chinese and Korean, which have no folds */
                return NULL;
        while (low < high) {
                size_t middle = (low + high) / 2;

                if (c > folds[middle].last)
                        low = middle + 1;
                else if (c < folds[middle].first)
                        high = middle;
                else
                        return &folds[middle];
        }
        return NULL;
}

static char fold_to(const struct fold *fold, uint32_t c)
{
        size_t i = c - fold->first;

        return i == 0 ? fold->to[0] : fold->to[i % strlen(fold->to)];
}

/* Decodes a character of two or more bytes; *ret_size is its length. UINT32_MAX: not UTF-8. */
static uint32_t decode(const unsigned char *s, size_t length, size_t *ret_size)
{
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        size_t size = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
        uint32_t c = s[0] & (0xffu >> (size + 1));

        if (s[0] < 0xc2 || s[0] > 0xf4 || size > length)
                return UINT32_MAX;
        for (size_t i = 1; i < size; i++) {
                if ((s[i] & 0xc0) != 0x80)
                        return UINT32_MAX;
                c = c << 6 | (s[i] & 0x3f);
        }
        if (c < least[size] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
                return UINT32_MAX;
        *ret_size = size;
        return c;
}

static bool is_han(uint32_t c)
{
        return (c >= 0x3400 && c < 0xa000) || (c >= 0xf900 && c < 0xfb00) ||
               (c >= 0x20000 && c < 0x40000);
}

static bool is_letter(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Before the first lookalike of a word: finds the start of the word. */
static void begin_lookalike(struct folding *f)
{
        if (f->lookalike)
                return;
        f->word = f->n;
        while (f->word > 0 && is_letter(f->out[f->word - 1]))
                f->word--;
        f->latin = f->word < f->n;
        f->lookalike = true;
        f->first = f->n;
}

/* At the end of a word: changes its lookalikes if it also has Latin letters. */
static void end_word(struct folding *f)
{
        size_t n = f->word;

        if (!f->lookalike)
                return;
        f->lookalike = false;
        if (!f->latin)
                return;
        for (size_t i = f->word, size; i < f->n; i += size) {
                const unsigned char *s = (const unsigned char *)f->out + i;
                const struct fold *fold = NULL;
                uint32_t c = s[0];

                size = 1;
                if (c >= 0x80) {
                        c = decode(s, f->n - i, &size);
                        fold = fold_find(c);
                }
                if (f->origins)
                        memmove(f->origins + n, f->origins + i, size * sizeof *f->origins);
                if (fold) {
                        f->out[n++] = fold_to(fold, c);
                } else {
                        memmove(f->out + n, s, size);
                        n += size;
                }
        }
        f->n = n;
}

/* Appends the bytes of a character of the text. */
static void put(struct folding *f, const void *bytes, size_t size, uint32_t at)
{
        memmove(f->out + f->n, bytes, size);
        for (size_t i = 0; f->origins && i < size; i++)
                f->origins[f->n + i] = at;
        f->n += size;
}

/* Writes one space or newline for a run of them. Writes none at the ends of the text, and no space
 * beside a Chinese character, where it has no meaning. */
static void put_space(struct folding *f, bool han)
{
        if (f->space) {
                end_word(f);
                if (f->n > 0 && !(f->space == ' ' && (f->han || han)))
                        put(f, &f->space, 1, f->space_at);
        }
        f->space = 0;
        f->han = han;
}

static void begin_space(struct folding *f, char space, uint32_t at)
{
        if (!f->space)
                f->space_at = at;
        if (!f->space || space == '\n')
                f->space = space;
}

static void put_ascii(struct folding *f, char c, uint32_t at)
{
        if (c == '\n' || c == '\r') {
                begin_space(f, '\n', at);
        } else if (c == ' ' || c == '\t' || c == '\v' || c == '\f') {
                begin_space(f, ' ', at);
        } else if ((unsigned char)c > ' ' && c != 0x7f) {
                put_space(f, false);
                if (!is_letter(c))
                        end_word(f);
                else
                        f->latin = true;
                put(f, &c, 1, at);
        }
}

static void put_wide(struct folding *f, const unsigned char *s, size_t size, uint32_t c,
                     uint32_t at)
{
        const struct fold *fold = fold_find(c);

        if (fold && !fold->lookalike) {
                if (fold->to)
                        put_ascii(f, fold_to(fold, c), at);
                return;
        }
        put_space(f, is_han(c));
        if (fold)
                begin_lookalike(f);
        else if (c > 0x58f) /* not Latin, Greek, Cyrillic or Armenian: ends the word */
                end_word(f);
        put(f, s, size, at);
}

static bool is_plain(unsigned char c)
{
        return c > ' ' && c < 0x7f;
}

/* The fast path, for most of a text: characters that do not change, and single spaces between
 * them. */
static size_t put_plain(struct folding *f, const unsigned char *s, size_t length, uint32_t at)
{
        size_t i = 0;

        if (f->space || f->lookalike)
                return 0;
        for (; i < length; i++) {
                if (!is_plain(s[i]) &&
                    ((s[i] != ' ' && s[i] != '\n') || i == 0 || i + 1 == length ||
                     !is_plain(s[i - 1]) || !is_plain(s[i + 1])))
                        break;
                f->out[f->n + i] = (char)s[i];
        }
        for (size_t j = 0; f->origins && j < i; j++)
                f->origins[f->n + j] = at + (uint32_t)j;
        f->n += i;
        f->han = f->han && i == 0;
        return i;
}

bool fold_more(struct folding *f, const char *piece, size_t length, uint32_t at)
{
        const unsigned char *s = (const unsigned char *)piece;

        (void)pthread_once(&direct_once, direct_fill);
        for (size_t i = 0, size; i < length; i += size) {
                uint32_t place = at + (uint32_t)i;
                uint32_t c;

                if (s[i] < 0x80) {
                        size = put_plain(f, s + i, length - i, place);
                        if (size == 0) {
                                put_ascii(f, piece[i], place);
                                size = 1;
                        }
                        continue;
                }
                c = decode(s + i, length - i, &size);
                if (c == UINT32_MAX)
                        return false;
                put_wide(f, s + i, size, c, place);
        }
        return true;
}

void fold_end(struct folding *f)
{
        end_word(f);
}

size_t fold_settled(const struct folding *f)
{
        return f->lookalike ? f->first : f->n;
}

size_t fold_text(const char *text, size_t length, char *out)
{
        struct folding f = { .out = out };

        if (!fold_more(&f, text, length, 0))
                return SIZE_MAX;
        fold_end(&f);
        return f.n;
}

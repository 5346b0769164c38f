/* SPDX-License-Identifier: MIT */
#include "feature.h"

#include <stdbool.h>
#include <stdlib.h>

#include "util/utf8.h"

#define RAW_MAX (2 * FEATURES_TEXT_MAX + 1) /* two for each letter */

enum kind { KIND_NONE, KIND_LETTER, KIND_DIGIT, KIND_CHARACTER, KIND_MARK };

enum { SALT_WORD = 1, SALT_TRIGRAM, SALT_CHARACTER, SALT_PAIR };

struct letter {
        uint32_t c; /* folded */
        uint16_t start, end;
        enum kind kind;
};

struct reader {
        struct letter letters[FEATURES_TEXT_MAX];
        size_t n_letters;
        struct feature raw[RAW_MAX];
        size_t n_raw;
};

/* ---- characters ----------------------------------------------------------------------------- */

static bool between(uint32_t c, uint32_t first, uint32_t last)
{
        return c >= first && c <= last;
}

/* Latin letters of U+00E0 to U+00FF without their accents; '.' stays as it is. */
static uint32_t without_accent(uint32_t c)
{
        static const char plain[] = "aaaaaa.ceeeeiiii.nooooo.ouuuuy.y";

        return plain[c - 0xe0] == '.' ? c : (uint32_t)plain[c - 0xe0];
}

static uint32_t fold(uint32_t c)
{
        if (between(c, 0xff01, 0xff5e))
                c -= 0xfee0;
        if (between(c, 'A', 'Z'))
                return c + 0x20;
        if (between(c, 0xc0, 0xde) && c != 0xd7)
                c += 0x20;
        if (between(c, 0xe0, 0xff))
                return without_accent(c);
        if (between(c, 0x100, 0x17f) && !between(c, 0x130, 0x148))
                return c | 1;
        if (between(c, 0x391, 0x3a9) || between(c, 0x410, 0x42f))
                return c + 0x20;
        if (c == 0x401 || c == 0x451) /* Cyrillic io */
                return 0x435;
        return between(c, 0x400, 0x40f) ? c + 0x50 : c;
}

/* Scripts that are written without spaces, Hangul, whose words have many endings, and pictures. */
static bool is_character(uint32_t c)
{
        return between(c, 0x0e00, 0x0eff) || between(c, 0x1000, 0x109f) ||
               between(c, 0x1780, 0x17ff) || between(c, 0x3041, 0x30ff) ||
               between(c, 0x3400, 0x9fff) || between(c, 0xac00, 0xd7a3) ||
               between(c, 0xf900, 0xfaff) || between(c, 0x1f300, 0x1faff) ||
               between(c, 0x20000, 0x3ffff) || between(c, 0x3005, 0x3007);
}

static bool is_letter(uint32_t c)
{
        return between(c, 'a', 'z') ||
               (between(c, 0xaa, 0x1fff) && c != 0xab && c != 0xbb && c != 0xd7 && c != 0xf7);
}

static enum kind kind_of(uint32_t c)
{
        if (between(c, '0', '9'))
                return KIND_DIGIT;
        if (between(c, 0x300, 0x36f) || c == '\'' || c == 0x2019) /* accents, apostrophes */
                return KIND_MARK;
        if (is_character(c))
                return KIND_CHARACTER;
        return is_letter(c) ? KIND_LETTER : KIND_NONE;
}

/* Marks are left out; a number becomes one '#'. */
static void read_letters(struct reader *reader, const char *text, size_t length)
{
        enum kind before = KIND_NONE;
        size_t n;

        for (size_t i = 0; i < length; i += n) {
                struct letter *letter = &reader->letters[reader->n_letters];

                n = utf8_next(text + i, length - i, &letter->c);
                letter->c = fold(letter->c);
                letter->kind = kind_of(letter->c);
                if (letter->kind == KIND_MARK ||
                    (letter->kind == KIND_DIGIT && before == KIND_DIGIT))
                        continue;
                before = letter->kind;
                if (letter->kind == KIND_DIGIT)
                        letter->c = '#';
                letter->start = (uint16_t)i;
                letter->end = (uint16_t)(i + n);
                reader->n_letters++;
        }
}

/* ---- features ------------------------------------------------------------------------------- */

static uint32_t hash(const struct letter *letters, size_t n, uint32_t salt)
{
        uint32_t h = 2166136261u ^ salt * 97;

        for (size_t i = 0; i < n; i++)
                for (unsigned shift = 0; shift < 24; shift += 8)
                        h = (h ^ (letters[i].c >> shift & 0xff)) * 16777619;
        return h;
}

static void add(struct reader *reader, uint32_t h, const struct letter *first,
                const struct letter *last)
{
        if (reader->n_raw < RAW_MAX)
                reader->raw[reader->n_raw++] = (struct feature){
                        .hash = h,
                        .count = 1,
                        .start = first->start,
                        .length = (uint16_t)(last->end - first->start),
                };
}

/* The word is between two letters that are none, so that trigrams know its ends. */
static void add_word(struct reader *reader, const struct letter *word, size_t n)
{
        struct letter window[3] = { { .c = ' ' }, word[0], { .c = ' ' } };

        add(reader, hash(word, n, SALT_WORD), word, &word[n - 1]);
        for (size_t i = 1; i <= n; i++) {
                window[2].c = i < n ? word[i].c : ' ';
                add(reader, hash(window, 3, SALT_TRIGRAM), word, &word[n - 1]);
                window[0] = window[1];
                window[1] = window[2];
        }
}

static void add_characters(struct reader *reader, const struct letter *run, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                add(reader, hash(&run[i], 1, SALT_CHARACTER), &run[i], &run[i]);
                if (i + 1 < n)
                        add(reader, hash(&run[i], 2, SALT_PAIR), &run[i], &run[i + 1]);
        }
}

static void add_all(struct reader *reader)
{
        const struct letter *letters = reader->letters;
        size_t n;

        for (size_t i = 0; i < reader->n_letters; i += n) {
                enum kind kind = letters[i].kind;

                for (n = 1; i + n < reader->n_letters && letters[i + n].kind == kind; n++)
                        ;
                if (kind == KIND_CHARACTER)
                        add_characters(reader, &letters[i], n);
                else if (kind != KIND_NONE)
                        add_word(reader, &letters[i], n);
        }
}

static int by_hash(const void *a, const void *b)
{
        const struct feature *x = a, *y = b;

        return (x->hash > y->hash) - (x->hash < y->hash);
}

void features_of(const char *text, size_t length, struct features *ret)
{
        struct reader reader __attribute__((uninitialized)); /* to clear it would take longest */

        reader.n_letters = reader.n_raw = ret->n = 0;
        read_letters(&reader, text, length < FEATURES_TEXT_MAX ? length : FEATURES_TEXT_MAX);
        add_all(&reader);
        qsort(reader.raw, reader.n_raw, sizeof reader.raw[0], by_hash);
        for (size_t i = 0; i < reader.n_raw; i++) {
                struct feature *last = ret->n > 0 ? &ret->list[ret->n - 1] : NULL;

                if (last && last->hash == reader.raw[i].hash)
                        last->count++;
                else if (ret->n < FEATURES_MAX)
                        ret->list[ret->n++] = reader.raw[i];
        }
}

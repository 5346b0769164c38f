/* SPDX-License-Identifier: MIT */
#include "ngrams.h"

#include <string.h>

#define STEM 5         /* characters that a word shares with its other forms */
#define SEGMENT_MAX 96 /* a sentence without an end is cut: a word counts 2, a character 1 */

/* Tells kinds of n-grams with the same parts apart. */
enum {
        SALT_WORD = 0x5bd1e995,
        SALT_PAIR = 0x1b873593,
        SALT_GAP = 0xcc9e2d51,
        SALT_TRIPLE = 0x165667b1,
        SALT_WIDE = 0x3c6ef372,
        SALT_WIDE_GAP = 0x61c88647,
        SALT_SEGMENT = 0x27d4eb2f,
};

enum kind { KIND_NONE, KIND_WORD, KIND_WIDE, KIND_SIGN, KIND_DOT, KIND_LINE };

static const uint8_t ascii_kinds[0x80] = {
        ['0' ... '9'] = KIND_WORD, ['a' ... 'z'] = KIND_WORD, ['A' ... 'Z'] = KIND_WORD,
        ['\n'] = KIND_LINE,        ['.'] = KIND_DOT,          ['!'] = KIND_DOT,
        ['?'] = KIND_DOT,          ['"'] = KIND_SIGN,         ['\''] = KIND_SIGN,
        ['`'] = KIND_SIGN,         [':'] = KIND_SIGN,         ['<'] = KIND_SIGN,
        ['>'] = KIND_SIGN,         ['{'] = KIND_SIGN,         ['}'] = KIND_SIGN,
        ['['] = KIND_SIGN,         [']'] = KIND_SIGN,         ['('] = KIND_SIGN,
        [')'] = KIND_SIGN,         ['='] = KIND_SIGN,         ['#'] = KIND_SIGN,
        ['|'] = KIND_SIGN,         ['$'] = KIND_SIGN,         ['@'] = KIND_SIGN,
};

static uint32_t mix(uint32_t hash, uint32_t value)
{
        hash = (hash ^ value) * 0x85ebca6b;
        return hash ^ hash >> 13;
}

static void flush(struct ngrams *g)
{
        if (g->n > 0)
                g->sink->take(g->user, g->batch, g->n);
        g->n = 0;
}

static inline void add(struct ngrams *g, uint32_t hash, uint32_t from, uint32_t to)
{
        uint32_t *seen = &g->seen[hash / (UINT32_MAX / NGRAMS_SEEN + 1)];
        uint32_t mixed = hash + g->salt;

        if (*seen == mixed)
                return;
        *seen = mixed;
        if (g->n == NGRAMS_BATCH)
                flush(g);
        g->batch[g->n++] = (struct ngram){ hash, from, to };
}

static void next_token(struct ngrams *g, uint32_t hash, uint32_t from)
{
        g->before[1] = g->before[0];
        g->before[0] = (struct ngrams_token){ hash, from };
}

static void next_wide(struct ngrams *g, uint32_t hash, uint32_t from)
{
        memmove(g->wide + 1, g->wide, 3 * sizeof *g->wide);
        g->wide[0] = (struct ngrams_token){ hash, from };
}

/* The token that is next to those before it. to: its end. */
static void add_token(struct ngrams *g, uint32_t hash, uint32_t from, uint32_t to)
{
        const struct ngrams_token *b = g->before;

        if (b[0].hash)
                add(g, mix(b[0].hash ^ SALT_PAIR, hash), b[0].from, to);
        if (b[1].hash) {
                add(g, mix(b[1].hash ^ SALT_GAP, hash), b[1].from, to);
                add(g, mix(mix(b[1].hash ^ SALT_TRIPLE, b[0].hash), hash), b[1].from, to);
        }
        next_token(g, hash, from);
}

static void end_segment(struct ngrams *g, uint32_t at)
{
        if (g->size == 0)
                return;
        flush(g);
        g->sink->segment(g->user, at);
        memset(g->before, 0, sizeof g->before);
        memset(g->wide, 0, sizeof g->wide);
        g->size = 0;
        g->salt += SALT_SEGMENT;
}

static void grow(struct ngrams *g, uint32_t size, uint32_t at)
{
        g->size += size;
        if (g->size >= SEGMENT_MAX)
                end_segment(g, at);
}

static void end_word(struct ngrams *g, uint32_t at)
{
        if (g->length == 0)
                return;
        if (g->length <= STEM)
                g->stem = g->word;
        add(g, mix(g->word, SALT_WORD), g->from, at);
        if (g->length > STEM)
                add(g, mix(g->stem, SALT_WORD), at, at);
        add_token(g, g->stem, g->from, at);
        memset(g->wide, 0, sizeof g->wide);
        g->wide[0] = g->before[0];
        g->length = 0;
        grow(g, 2, at);
}

static inline uint32_t add_to_word(uint32_t word, uint32_t c)
{
        return (word + c) * 0x85ebca6b;
}

static void begin_word(struct ngrams *g, uint32_t at)
{
        if (g->length > 0)
                return;
        g->from = at;
        g->word = SALT_WORD;
}

static void add_letter(struct ngrams *g, uint32_t c, uint32_t at)
{
        begin_word(g, at);
        g->word = add_to_word(g->word, c);
        if (++g->length == STEM)
                g->stem = g->word;
}

/* A character that is a word, or a sign that is one. */
static void add_wide(struct ngrams *g, uint32_t c, uint32_t at, uint32_t to)
{
        const struct ngrams_token *w = g->wide;
        uint32_t hash = mix(SALT_WIDE, c);

        add(g, hash, at, to);
        for (size_t i = 0; i < 3 && w[i].hash; i++) {
                hash = mix(hash, w[i].hash);
                add(g, hash, w[i].from, to);
        }
        if (w[3].hash)
                add(g, mix(mix(mix(mix(SALT_WIDE_GAP, c), w[0].hash), w[2].hash), w[3].hash),
                    w[3].from, to);
        next_token(g, mix(mix(SALT_WIDE, c), w[0].hash), at);
        next_wide(g, c, at);
        grow(g, 1, to);
}

static void add_sign(struct ngrams *g, uint32_t c, uint32_t at)
{
        uint32_t hash = mix(SALT_WORD, c);

        if (g->before[0].hash == hash)
                return;
        add_token(g, hash, at, at + 1);
        next_wide(g, c, at);
        g->size += g->size > 0;
}

/* Letters of scripts with spaces between words are words; what is left has no meaning here. */
static enum kind kind_of(uint32_t c)
{
        if (c < 0x80)
                return ascii_kinds[c];
        if ((c >= 0x0e00 && c < 0x1000) || (c >= 0x1100 && c < 0x1200) ||
            (c >= 0x1780 && c < 0x1800) || (c >= 0x3041 && c < 0xa4d0) ||
            (c >= 0xac00 && c < 0xd7b0) || (c >= 0xf900 && c < 0xfb00) ||
            (c >= 0x20000 && c < 0x40000))
                return KIND_WIDE;
        if (c == 0x61f || c == 0x6d4 || c == 0x964) /* full stops and the question mark */
                return KIND_DOT;
        if (c < 0xc0 || c == 0x60c || c == 0x61b || (c >= 0x2000 && c < 0x2c00) ||
            (c >= 0x3000 && c < 0x3041) || c >= 0xfe00)
                return KIND_NONE;
        return KIND_WORD;
}

static uint32_t normal_ascii(uint32_t c)
{
        return c <= '9' ? '0' : c | 0x20;
}

/* One form for both cases, for all digits, and for the spellings of a letter in Arabic. 0: a mark
 * that does not count. */
static uint32_t normal(uint32_t c)
{
        if (c < 0x80)
                return normal_ascii(c);
        if (c >= 0x410 && c <= 0x42f)
                return c + 0x20;
        if (c >= 0x400 && c <= 0x40f)
                c += 0x50;
        if (c == 0x451)
                return 0x435;
        if (c >= 0x391 && c <= 0x3a9)
                return c + 0x20;
        if ((c >= 0x64b && c <= 0x65f) || c == 0x670 || c == 0x640)
                return 0;
        if (c == 0x622 || c == 0x623 || c == 0x625)
                return 0x627;
        return c == 0x649 ? 0x64a : c == 0x629 ? 0x647 : c;
}

static void add_character(struct ngrams *g, uint32_t c, uint32_t at, uint32_t to)
{
        enum kind kind = kind_of(c);

        if (g->dot && kind != KIND_WORD)
                end_segment(g, at);
        g->dot = false;
        if (kind == KIND_WORD) {
                c = normal(c);
                if (c > 0)
                        add_letter(g, c, at);
                return;
        }
        if (c == '\'' && g->length > 0) /* don't, l'instruction; or the end of a quotation */
                kind = KIND_NONE;
        end_word(g, at);
        if (kind == KIND_WIDE)
                add_wide(g, c, at, to);
        else if (kind == KIND_SIGN || c == '?')
                add_sign(g, c, at);
        if (kind == KIND_LINE)
                end_segment(g, at);
        g->dot = kind == KIND_DOT;
}

/* The text is valid UTF-8. */
static uint32_t decode(const unsigned char *s, size_t *ret_size)
{
        if (s[0] < 0xe0) {
                *ret_size = 2;
                return (s[0] & 0x1fu) << 6 | (s[1] & 0x3fu);
        }
        if (s[0] < 0xf0) {
                *ret_size = 3;
                return (s[0] & 0xfu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);
        }
        *ret_size = 4;
        return (s[0] & 7u) << 18 | (s[1] & 0x3fu) << 12 | (s[2] & 0x3fu) << 6 | (s[3] & 0x3fu);
}

void ngrams_begin(struct ngrams *g, const struct ngrams_sink *sink, void *user)
{
        memset(g, 0, offsetof(struct ngrams, batch));
        g->sink = sink;
        g->user = user;
        g->salt = SALT_SEGMENT;
}

/* Takes the ASCII letters and digits at the beginning of a text. Returns how many there are. */
static size_t push_letters(struct ngrams *g, const unsigned char *s, size_t length, uint32_t at)
{
        uint32_t word, n = g->length;
        size_t i = 0;

        begin_word(g, at);
        word = g->word;
        do {
                word = add_to_word(word, normal_ascii(s[i]));
                if (++n == STEM)
                        g->stem = word;
        } while (++i < length && s[i] < 0x80 && ascii_kinds[s[i]] == KIND_WORD);
        g->word = word;
        g->length = n;
        g->dot = false;
        return i;
}

void ngrams_push(struct ngrams *g, const char *text, size_t length, uint32_t at)
{
        const unsigned char *s = (const unsigned char *)text;

        for (size_t i = 0, size; i < length; i += size) {
                uint32_t c = s[i];

                size = 1;
                if (c < 0x80 && ascii_kinds[c] == KIND_WORD) {
                        size = push_letters(g, s + i, length - i, at + (uint32_t)i);
                        continue;
                }
                if (c >= 0x80)
                        c = decode(s + i, &size);
                add_character(g, c, at + (uint32_t)i, at + (uint32_t)(i + size));
        }
}

void ngrams_end(struct ngrams *g, uint32_t at)
{
        end_word(g, at);
        end_segment(g, at);
}

/* SPDX-License-Identifier: MIT */
#include "decode.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "decode-text.h"
#include "fold.h"

#define LEET_SHARE 32 /* bytes of a text to one digit inside of a word, at most */

/* ---- which there may be -----------------------------------------------------------------------
 */

enum class {
        CLASS_OTHER,
        CLASS_LETTER,
        CLASS_WIDE, /* of another script: counts as a letter */
        CLASS_DIGIT,
        CLASS_SPACE,
        CLASS_SIGN,
        CLASS_MARK,
};

static const uint8_t classes[256] = {
        [0 ... ' '] = CLASS_SPACE,    ['0' ... '9'] = CLASS_DIGIT,  ['A' ... 'Z'] = CLASS_LETTER,
        ['a' ... 'z'] = CLASS_LETTER, [0x80 ... 0xff] = CLASS_WIDE, ['%'] = CLASS_MARK,
        ['&'] = CLASS_MARK,           ['\\'] = CLASS_MARK,          ['@'] = CLASS_SIGN,
        ['$'] = CLASS_SIGN,           ['!'] = CLASS_SIGN,           ['|'] = CLASS_SIGN,
};

struct census {
        size_t run;     /* letters and digits in a row */
        bool has_digit; /* the run has one */
        size_t ascii;   /* of the run, those at its end that are ASCII */
        size_t longest; /* of ascii */
        size_t marks;   /* of escapes */
        size_t inside;  /* digits and signs beside letters */
        size_t single;  /* letters alone, in a row */
        size_t most_single;
        size_t breaks;    /* < and * between letters */
        size_t digits;    /* groups of 2, 4 or 8 with a digit */
        size_t selectors; /* first bytes of variation selectors */
        bool has_wide;
};

static void end_ascii(struct census *s)
{
        s->longest = s->ascii > s->longest ? s->ascii : s->longest;
        s->ascii = 0;
}

/* Letters and digits end. wide: their last byte is one of another script. */
static void end_run(struct census *s, bool wide)
{
        s->single = s->run == 1 ? s->single + 1 : s->run > 1 && !wide ? 0 : s->single;
        s->most_single = s->single > s->most_single ? s->single : s->most_single;
        s->digits += s->has_digit && (s->run == 2 || s->run == 4 || s->run == 8);
        s->has_digit = false;
        s->run = 0;
        end_ascii(s);
}

/* The beginning of %69, &#105;, &lt;, \x69 or \u0069. */
static bool is_escape(const unsigned char *s, size_t length)
{
        if (length < 3)
                return false;
        if (s[0] == '%')
                return isxdigit(s[1]) && isxdigit(s[2]);
        return s[0] == '&' ? s[1] == '#' || s[1] == 'l' || s[1] == 'g' || s[1] == 'q'
                           : s[1] == 'x' || (s[1] | 0x20) == 'u';
}

static void count_wide(struct census *s, const unsigned char *text, size_t length)
{
        end_ascii(s);
        s->has_wide = true;
        s->selectors += text[0] == 0xf3 || (text[0] == 0xef && length > 1 && text[1] == 0xb8);
}

static void count_sign(struct census *s, const unsigned char *text, size_t length, enum class last)
{
        if (s->run > 0)
                end_run(s, text[-1] >= 0x80);
        if (classes[text[0]] == CLASS_MARK)
                s->marks += is_escape(text, length);
        s->breaks += last == CLASS_LETTER && (text[0] == '*' || text[0] == '<');
}

static void count(struct census *s, const unsigned char *text, size_t length)
{
        enum class last = CLASS_SPACE;

        for (size_t i = 0, n; i < length; i += n) {
                enum class class = classes[text[i]];

                n = 1;
                if (class == CLASS_WIDE) {
                        count_wide(s, text + i, length - i);
                        class = CLASS_LETTER;
                } else if (class == CLASS_LETTER) {
                        while (i + n < length && classes[text[i + n]] == CLASS_LETTER)
                                n++;
                        s->ascii += n;
                } else if (class == CLASS_DIGIT) {
                        s->has_digit = true;
                        s->ascii++;
                } else {
                        count_sign(s, text + i, length - i, last);
                }
                if (class == CLASS_LETTER || class == CLASS_DIGIT) {
                        s->run += n;
                        s->inside += last != class && (last == CLASS_DIGIT ||
                                                       last == CLASS_LETTER || last == CLASS_SIGN);
                }
                last = class;
        }
        if (s->run > 0)
                end_run(s, true);
}

/* Characters of other scripts, one at a time between signs. */
static bool is_spaced_wide(const unsigned char *text, size_t length)
{
        size_t n = 0;

        for (size_t i = 0; i + 4 < length && n < 4; i++)
                n += text[i] >= 0xe3 && text[i] < 0xf0 && text[i + 3] < 0x40 && text[i + 3] > ' ' &&
                     text[i + 4] >= 0xe3;
        return n >= 4;
}

uint32_t encodings_of(const char *text, size_t length)
{
        struct census s = {};
        uint32_t set = 0;

        count(&s, (const unsigned char *)text, length);
        if (s.marks > 0 || s.breaks > 1)
                set |= 1u << ENCODING_ESCAPES;
        if (s.longest >= BASE64_MIN)
                set |= 1u << ENCODING_BASE64 | 1u << ENCODING_HEX;
        if (s.digits >= HEX_MIN)
                set |= 1u << ENCODING_HEX;
        if (s.digits >= BITS_MIN)
                set |= 1u << ENCODING_BINARY;
        if (s.selectors >= SELECTORS_MIN)
                set |= 1u << ENCODING_SELECTORS;
        if (s.most_single >= 6 ||
            (s.has_wide && is_spaced_wide((const unsigned char *)text, length)))
                set |= 1u << ENCODING_SPACED;
        if (s.inside >= 4 && s.inside * LEET_SHARE >= length)
                set |= 1u << ENCODING_LEET;
        return set;
}

/* ---- finding them -----------------------------------------------------------------------------
 */

const char *encoding_name(enum encoding encoding)
{
        static const char *const names[] = { "",       "escapes",   "base64", "hex",
                                             "binary", "selectors", "spaced", "leetspeak",
                                             "rot13",  "reversed" };

        return names[encoding];
}

/* Bytes that are a text that somebody could read. */
static bool is_readable(const char *text, size_t length)
{
        size_t letters = 0, odd = 0;
        char folded[256];

        for (size_t i = 0; i < length; i++) {
                unsigned char c = (unsigned char)text[i];

                letters += isalpha(c) || c >= 0x80 || c == ' ';
                odd += (c < ' ' && c != '\n' && c != '\t' && c != '\r') || c == 0x7f;
        }
        if (length < 6 || odd > 0 || letters * 10 < length * 7)
                return false;
        for (size_t i = 0; i < length;) { /* UTF-8, in pieces that fit */
                size_t n = length - i < sizeof folded ? length - i : sizeof folded;

                while (n > 1 && i + n < length && ((unsigned char)text[i + n] & 0xc0) == 0x80)
                        n--;
                if (fold_text(text + i, n, folded) == SIZE_MAX)
                        return false;
                i += n;
        }
        return true;
}

void decoder_begin(struct decoder *d, const char *text, size_t length, uint32_t encodings)
{
        *d = (struct decoder){ .text = text,
                               .length = length < DECODED_MAX ? length : DECODED_MAX,
                               .encodings = encodings };
        while (d->length < length && d->length > 0 &&
               ((unsigned char)text[d->length] & 0xc0) == 0x80)
                d->length--;
}

/* The functions that take a text apart, each from `at` on. They return 0 when there is no more. */
static const struct {
        enum encoding encoding;
        decode_fn *function;
} steps[] = {
        { ENCODING_ESCAPES, decode_escapes },
        { ENCODING_BASE64, decode_base64 },
        { ENCODING_HEX, decode_hex },
        { ENCODING_BINARY, decode_binary },
        { ENCODING_SELECTORS, decode_selectors },
        { ENCODING_SPACED, decode_spaced },
        { ENCODING_LEET, decode_leet },
        { ENCODING_ROT13, decode_rot13 },
        { ENCODING_REVERSED, decode_reversed },
};

static bool next_of(struct decoder *d, size_t step, struct decoded *ret)
{
        while (d->at < d->length) {
                struct place place;
                size_t n = steps[step].function(d->text, d->length, d->at, d->memory, &place);

                if (n == 0)
                        return false;
                d->at = place.to;
                if (!is_readable(d->memory, n))
                        continue;
                *ret = (struct decoded){ steps[step].encoding, d->memory, n, place.from, place.to };
                return true;
        }
        return false;
}

bool decoder_next(struct decoder *d, struct decoded *ret)
{
        if (d->encodings != 0 && !d->memory)
                d->memory = malloc(d->length + 1);
        for (size_t i = 0; i < sizeof steps / sizeof steps[0] && d->memory; i++) {
                uint32_t bit = 1u << steps[i].encoding;

                if (!(d->encodings & bit))
                        continue;
                if (d->used < DECODED_MAX && d->count < DECODED_TEXTS && next_of(d, i, ret)) {
                        d->used += ret->length;
                        d->count++;
                        return true;
                }
                d->encodings &= ~bit;
                d->at = 0;
        }
        return false;
}

void decoder_end(struct decoder *d)
{
        free(d->memory);
        d->memory = NULL;
}

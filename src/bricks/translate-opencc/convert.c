/* SPDX-License-Identifier: MIT */
#include "convert.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <opencc.h>

#include "util/utf8.h"
#include "web-address.h"

#define LOOKED_AT 4096       /* bytes of a text whose variety is to be found out */
#define TRADITIONAL_SHARE 30 /* one in so many of its Han characters is changed */
#define KANA_SHARE 4         /* one in so many letters makes a text Japanese */

struct converter {
        pthread_mutex_t lock; /* of loading, and of opencc_error(), which all threads share */
        opencc_t own;
        opencc_t models[MODELS]; /* NULL: not loaded yet. Atomic */
};

static opencc_t load(const char *name, struct convert_error *error)
{
        opencc_t model = opencc_open(name);

        if (model != (opencc_t)-1)
                return model;
        (void)snprintf(error->text, sizeof error->text, "%s", opencc_error());
        error->text[strcspn(error->text, "\n")] = '\0';
        return NULL;
}

/* NULL: see *error. */
static opencc_t model_of(struct converter *converter, size_t index, struct convert_error *error)
{
        opencc_t model = __atomic_load_n(&converter->models[index], __ATOMIC_ACQUIRE);
        char name[32];

        if (model)
                return model;
        (void)snprintf(name, sizeof name, "%s.json", models[index].name);
        (void)pthread_mutex_lock(&converter->lock);
        model = converter->models[index];
        if (!model) {
                model = load(name, error);
                __atomic_store_n(&converter->models[index], model, __ATOMIC_RELEASE);
        }
        (void)pthread_mutex_unlock(&converter->lock);
        return model;
}

int converter_new(const char *file, struct converter **ret, struct convert_error *error)
{
        struct converter *converter = calloc(1, sizeof *converter);

        if (!converter)
                return -ENOMEM;
        (void)pthread_mutex_init(&converter->lock, NULL);
        if (!model_of(converter, model_find("t2s"), error) ||
            (file && !(converter->own = load(file, error)))) {
                converter_free(converter);
                return -ENOENT;
        }
        *ret = converter;
        return 0;
}

void converter_free(struct converter *converter)
{
        if (!converter)
                return;
        for (size_t i = 0; i < MODELS; i++)
                if (converter->models[i])
                        (void)opencc_close(converter->models[i]);
        if (converter->own)
                (void)opencc_close(converter->own);
        (void)pthread_mutex_destroy(&converter->lock);
        free(converter);
}

/* ---- converting ----------------------------------------------------------------------------- */

int conversion_prepare(const struct conversion *conversion, struct convert_error *error)
{
        for (size_t i = 0; i < conversion->n; i++)
                if (!model_of(conversion->converter, conversion->route[i], error))
                        return -ENOENT;
        return 0;
}

static int step(opencc_t model, char **text)
{
        char *made = opencc_convert_utf8(model, *text, strlen(*text));

        if (!made)
                return -EINVAL;
        free(*text);
        *text = strdup(made);
        opencc_convert_utf8_free(made);
        return *text ? 0 : -ENOMEM;
}

/* Adds to a stream what a text becomes. */
static int add_converted(const struct conversion *conversion, const char *text, size_t length,
                         FILE *to)
{
        struct converter *converter = conversion->converter;
        char *made = strndup(text, length);
        int r = made ? 0 : -ENOMEM;

        if (r == 0 && conversion->own)
                r = step(converter->own, &made);
        for (size_t i = 0; r == 0 && i < conversion->n; i++)
                r = step(
                        __atomic_load_n(&converter->models[conversion->route[i]], __ATOMIC_ACQUIRE),
                        &made);
        if (r == 0)
                (void)fputs(made, to);
        free(made);
        return r;
}

/* Bytes before the first web address, whose length is *ret. */
static size_t before_address(const char *text, size_t length, size_t *ret)
{
        size_t i = 0;

        for (*ret = 0; i < length; i++)
                if ((*ret = web_address(text + i, length - i)) > 0)
                        break;
        return i;
}

int conversion_run(const struct conversion *conversion, const char *text, size_t length, char **ret)
{
        size_t size, n, address;
        FILE *made;
        int r = 0;

        *ret = NULL;
        if (!utf8_valid(text, length)) /* OpenCC reads on behind a text that ends in a character */
                return -EINVAL;
        made = open_memstream(ret, &size);
        if (!made)
                return -ENOMEM;
        for (; r == 0 && length > 0; text += n + address, length -= n + address) {
                n = before_address(text, length, &address);
                r = add_converted(conversion, text, n, made);
                (void)fwrite(text + n, 1, address, made);
        }
        if (r == 0 && ferror(made))
                r = -ENOMEM;
        if (fclose(made) != 0 && r == 0)
                r = -ENOMEM;
        if (r < 0) {
                free(*ret);
                *ret = NULL;
        }
        return r;
}

/* ---- looking at a text ---------------------------------------------------------------------- */

/* The next character; a byte that is not UTF-8 is 0xfffd. */
static uint32_t take(const char **p, const char *end)
{
        uint32_t c;

        *p += utf8_next(*p, (size_t)(end - *p), &c);
        return c;
}

static bool is_han(uint32_t c)
{
        return (c >= 0x3400 && c < 0xa000) || (c >= 0xf900 && c < 0xfb00) ||
               (c >= 0x20000 && c < 0x40000) || c == 0x3005 || c == 0x3007;
}

static bool is_kana(uint32_t c)
{
        return (c >= 0x3041 && c < 0x3100 && c != 0x30fb) || (c >= 0xff66 && c < 0xffa0);
}

/* Of the scripts that a Chinese text does not consist of; punctuation and symbols are none. */
static bool is_other_letter(uint32_t c)
{
        if (c < 0x80)
                return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        return (c >= 0xc0 && c < 0x2000) || is_kana(c) || (c >= 0xac00 && c < 0xd7b0);
}

struct letters {
        size_t han, kana, other; /* other: with kana */
};

static struct letters count_letters(const char *text, size_t length)
{
        struct letters letters = { 0 };
        const char *end = text + length;

        while (text < end) {
                uint32_t c = take(&text, end);

                letters.han += is_han(c);
                letters.kana += is_kana(c);
                letters.other += is_other_letter(c);
        }
        return letters;
}

static size_t count_differences(const char *a, const char *b)
{
        const char *a_end = a + strlen(a), *b_end = b + strlen(b);
        size_t n = 0;

        while (a < a_end && b < b_end)
                n += take(&a, a_end) != take(&b, b_end);
        return n;
}

/* n, or so many bytes less that no character is cut. */
static size_t whole_characters(const char *text, size_t n)
{
        size_t least = n - 3;

        while (n > least && ((unsigned char)text[n] & 0xc0) == 0x80)
                n--;
        return n;
}

bool converter_detect(struct converter *converter, const char *text, size_t length,
                      enum variety *ret)
{
        struct conversion t2s = { converter, false, { model_find("t2s") }, 1 };
        char *before, *after = NULL;
        struct letters letters;

        if (length > LOOKED_AT)
                length = whole_characters(text, LOOKED_AT);
        letters = count_letters(text, length);
        *ret = VARIETY_HANS;
        if (letters.han == 0)
                return letters.other == 0;
        if (letters.kana * KANA_SHARE >= letters.han + letters.kana)
                return false;
        before = strndup(text, length);
        if (before && conversion_run(&t2s, text, length, &after) == 0 &&
            count_differences(before, after) * TRADITIONAL_SHARE >= letters.han)
                *ret = VARIETY_HANT;
        free(before);
        free(after);
        return true;
}

/* ---- pieces --------------------------------------------------------------------------------- */

/* Bytes of the end of a sentence that the text begins with. No phrase of OpenCC's goes across it.
 */
static size_t sentence_end(const char *text, size_t length)
{
        static const char *const ends[] = { "\n", "。", "！", "？" };

        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
                size_t n = strlen(ends[i]);

                if (n <= length && memcmp(text, ends[i], n) == 0)
                        return n;
        }
        return 0;
}

size_t convert_piece(const char *text, size_t length, size_t min)
{
        size_t max = length <= CONVERT_PIECE ? length : whole_characters(text, CONVERT_PIECE);
        size_t i = 0;

        while (i < max) {
                size_t n = sentence_end(text + i, max - i);

                i += n > 0 ? n : 1;
                if (n > 0 && i >= min && sentence_end(text + i, max - i) == 0)
                        return i;
        }
        return max;
}

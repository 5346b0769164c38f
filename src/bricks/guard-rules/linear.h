/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The linear model: says how probable it is that a text is an attack, and of which kind, from its
 * n-grams. It judges windows of 1, 2 and 4 sentences, and the worst of them counts, so that an
 * attack inside of a long document is not diluted. Immutable; any thread may use it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ngrams.h"

#define LINEAR_LABELS 4 /* of a model, the harmless one included */
#define LINEAR_LABEL_SIZE 32
#define LINEAR_FILE_MAX (16 << 20) /* bytes */

/* The file: this header in little endian, the weights, the terms, and the texts of the terms. */
struct linear_header {
        char magic[8]; /* LINEAR_MAGIC */
        uint32_t version;
        uint32_t n_labels; /* the first is that of harmless texts */
        uint32_t bits;     /* there are 2^bits buckets of LINEAR_LABELS weights */
        uint32_t n_terms;
        uint32_t terms_size; /* bytes of their texts */
        float scale;         /* of the weights */
        float bias[LINEAR_LABELS];
        float slope; /* the margin becomes a probability: 1 / (1 + e^-(slope * margin + offset)) */
        float offset;
        char labels[LINEAR_LABELS][LINEAR_LABEL_SIZE]; /* NUL-terminated */
};

/* An n-gram with a large weight, of the texts that the model was trained with. */
struct linear_term {
        uint32_t hash; /* in ascending order */
        uint32_t text; /* offset of its text, which is NUL-terminated */
};

#define LINEAR_MAGIC "BRICKLIN"
#define LINEAR_VERSION 2
#define LINEAR_BITS_MIN 8
#define LINEAR_BITS_MAX 20
#define LINEAR_NUMBER_MAX 1e6f /* of the header's floats; training gives much smaller ones */

struct linear {
        struct linear_header header;
        const int8_t (*weights)[LINEAR_LABELS];
        const struct linear_term *terms;
        const char *texts;
        void *memory;
};

/* Takes over bytes, which are from malloc(). NULL: no model; *ret_error says why, and bytes are
 * freed. */
struct linear *linear_parse(void *bytes, size_t size, const char **ret_error);

/* Reads a file. NULL: *ret_error says why, and is valid until the thread's next call. */
struct linear *linear_read(const char *path, const char **ret_error);
struct linear *linear_free(struct linear *linear);

/* A window's sums are divided by the root of the number of its n-grams and this. */
#define LINEAR_FEW 60

static inline uint32_t linear_bucket(uint32_t hash, uint32_t bits)
{
        return (hash * 0x9e3779b1) >> (32 - bits);
}

/* Of many windows one looks bad by chance: what a margin loses that ends with sentence n >= 1. It
 * is bounded, so that nobody hides an attack behind many sentences. */
static inline float linear_doubt(size_t n)
{
        static const float doubts[] = { 0, 0.21f, 0.33f, 0.42f, 0.48f, 0.54f, 0.58f, 0.62f };

        return doubts[n < 8 ? n - 1 : 7];
}

/* The sums of a text up to the end of a sentence. They wrap in a very long text: only the
 * difference of two marks is of use, and that of a window's marks is small. */
struct linear_mark {
        uint32_t sums[LINEAR_LABELS];
        uint32_t count;
        uint32_t at; /* offset in the folded text */
};

struct linear_window {
        float margin;   /* above 0: rather an attack */
        uint32_t label; /* the most probable kind of attack; 0: no window yet */
        uint32_t from;  /* place in the folded text */
        uint32_t to;
};

#define LINEAR_MARKS 8 /* more than the sentences of a window, and a power of two */

/* The state of judging one text. */
struct linear_scan {
        const struct linear *model;
        struct ngrams ngrams;
        struct linear_mark now;
        struct linear_mark marks[LINEAR_MARKS]; /* [segment % LINEAR_MARKS]: where it begins */
        uint32_t n_segments;
        struct linear_window worst;
};

void linear_begin(struct linear_scan *scan, const struct linear *model);
void linear_push(struct linear_scan *scan, const char *folded, size_t length, uint32_t at);
void linear_end(struct linear_scan *scan, uint32_t at);

/* The probability that a window is an attack. */
double linear_probability(const struct linear *model, const struct linear_window *window);

/*
 * Writes "a, b, c": the n-grams of a window that weighed most for its label, as far as the model
 * has their texts. These are texts of the training, never of the user.
 */
void linear_explain(const struct linear *model, const struct linear_window *window,
                    const char *folded, char *out, size_t size);

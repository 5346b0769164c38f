/* SPDX-License-Identifier: MIT */
#include "train.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "fold.h"
#include "linear.h"

#define RATE 0.2f    /* of learning */
#define DECAY 0.001f /* of a weight, when it is changed */
#define DROPPED                                                                                   \
        0x80000000     /* of 2^32: how many n-grams of a text are left out in a round, so that no \
                          weight relies on another one */
#define WHOLE_ROUNDS 2 /* texts are learnt as a whole before their worst windows are */
#define FOLD_RUN 16    /* neighbouring texts are alike: so many go into the same fold */
#define FOLDS 5
#define HARMLESS_SHARE 0.75
#define SEEN_MIN 2 /* texts that an n-gram must be in: of one alone, nothing can be learnt */
#define TERMS_MAX 6000
#define TERM_SIZE_MAX 48 /* bytes of its text */
#define TERM_SEEN_MIN 3  /* texts that have it */

struct segment {
        uint32_t end; /* index of an n-gram */
};

struct sample {
        uint32_t label;
        size_t first; /* index of its first n-gram */
        size_t n;
        size_t first_segment;
        size_t n_segments;
};

struct term {
        uint32_t hash;
        uint32_t text; /* index */
        uint32_t from; /* place in the folded text */
        uint32_t to;
        uint32_t seen;
        int weight;
};

struct trainer {
        const struct texts *texts;
        const struct train_options *options;
        uint32_t labels[LINEAR_LABELS]; /* [label of the texts]: label of the model */

        struct sample *samples; /* [text] */
        uint32_t *buckets;      /* [n-gram] */
        size_t n_buckets, buckets_size;
        uint32_t *segments; /* [segment]: how many n-grams of the sample end with it */
        size_t n_segments, segments_size;
        struct term *terms;
        size_t n_terms, terms_size;
        size_t current; /* text */
        bool out_of_memory;

        uint8_t *seen; /* [bucket]: texts that have it, up to SEEN_MIN */
        float (*weights)[LINEAR_LABELS];
        float (*squares)[LINEAR_LABELS]; /* sums of the gradients' squares */
        float bias[LINEAR_LABELS];
        uint32_t random;
};

/* ---- n-grams of the texts ---------------------------------------------------------------------
 */

static bool reserve(struct trainer *t, void *array, size_t n, size_t *capacity, size_t size)
{
        void *p;

        if (n <= *capacity)
                return true;
        memcpy(&p, array, sizeof p); /* array points to a pointer of another type */
        p = reallocarray(p, n * 2, size);
        if (!p) {
                t->out_of_memory = true;
                return false;
        }
        memcpy(array, &p, sizeof p);
        *capacity = n * 2;
        return true;
}

static void on_ngrams(void *user, const struct ngram *list, size_t n)
{
        struct trainer *t = user;

        if (!reserve(t, &t->buckets, t->n_buckets + n, &t->buckets_size, sizeof *t->buckets) ||
            !reserve(t, &t->terms, t->n_terms + n, &t->terms_size, sizeof *t->terms))
                return;
        for (size_t i = 0; i < n; i++) {
                t->buckets[t->n_buckets++] = linear_bucket(list[i].hash, t->options->bits);
                if (t->samples[t->current].label > 0 && list[i].from < list[i].to &&
                    list[i].to - list[i].from <= TERM_SIZE_MAX)
                        t->terms[t->n_terms++] = (struct term){
                                list[i].hash, (uint32_t)t->current, list[i].from, list[i].to, 1, 0
                        };
        }
}

static void on_segment(void *user, uint32_t end)
{
        struct trainer *t = user;

        if (reserve(t, &t->segments, t->n_segments + 1, &t->segments_size, sizeof *t->segments))
                t->segments[t->n_segments++] = (uint32_t)(t->n_buckets -
                                                          t->samples[t->current].first);
}

static int read_sample(struct trainer *t, size_t index)
{
        static const struct ngrams_sink sink = { on_ngrams, on_segment };
        const struct labelled_text *text = &t->texts->list[index];
        struct sample *sample = &t->samples[index];
        char *folded = malloc(text->length + 1);
        struct ngrams ngrams;
        size_t n;

        if (!folded)
                return -ENOMEM;
        n = fold_text(text->text, text->length, folded);
        *sample = (struct sample){ .label = t->labels[text->label],
                                   .first = t->n_buckets,
                                   .first_segment = t->n_segments };
        t->current = index;
        ngrams_begin(&ngrams, &sink, t);
        ngrams_push(&ngrams, folded, n, 0);
        ngrams_end(&ngrams, (uint32_t)n);
        sample->n = t->n_buckets - sample->first;
        sample->n_segments = t->n_segments - sample->first_segment;
        free(folded);
        return t->out_of_memory ? -ENOMEM : 0;
}

/* Counts the texts of each bucket. last: [bucket], zeroed. */
static void count_texts(struct trainer *t, uint32_t *last)
{
        for (size_t i = 0; i < t->texts->n; i++) {
                const struct sample *s = &t->samples[i];

                for (size_t j = 0; j < s->n; j++) {
                        uint32_t bucket = t->buckets[s->first + j];

                        if (last[bucket] != i + 1 && t->seen[bucket] < SEEN_MIN)
                                t->seen[bucket]++;
                        last[bucket] = (uint32_t)i + 1;
                }
        }
}

/* ---- learning ---------------------------------------------------------------------------------
 */

static uint32_t draw(struct trainer *t)
{
        t->random ^= t->random << 13;
        t->random ^= t->random >> 17;
        t->random ^= t->random << 5;
        return t->random;
}

/* The same on all machines, unlike that of libm. */
static float exponential(float x)
{
        double y = x < -60 ? -60 : x > 60 ? 60 : (double)x, n = floor(y * 1.4426950408889634 + 0.5);
        double r = y - n * 0.6931471805599453, sum = 1;

        for (int i = 9; i > 0; i--)
                sum = 1 + sum * r / i;
        return (float)ldexp(sum, (int)n);
}

struct range {
        size_t from; /* n-grams of a sample */
        size_t to;
};

/* An n-gram that was not learnt says nothing, and few n-grams say less than many. */
static float norm_of(const struct trainer *t, const struct sample *s, struct range range)
{
        size_t n = 0;

        for (size_t i = range.from; i < range.to; i++)
                n += t->seen[t->buckets[s->first + i]] >= SEEN_MIN;
        return 1 / sqrtf((float)n + LINEAR_FEW);
}

static void scores_of(const struct trainer *t, const struct sample *s, struct range range,
                      float scores[LINEAR_LABELS])
{
        float sums[LINEAR_LABELS] = {};
        float norm = norm_of(t, s, range);

        for (size_t i = range.from; i < range.to; i++)
                for (size_t j = 0; j < LINEAR_LABELS; j++)
                        sums[j] += t->weights[t->buckets[s->first + i]][j];
        for (size_t j = 0; j < LINEAR_LABELS; j++)
                scores[j] = sums[j] * norm + t->bias[j];
}

static float margin_of(const struct trainer *t, const float scores[LINEAR_LABELS])
{
        float margin = scores[1];

        for (size_t j = 2; j < t->texts->n_labels; j++)
                if (scores[j] > margin)
                        margin = scores[j];
        return margin - scores[0];
}

/* As linear.c judges. */
static float worst_window(const struct trainer *t, const struct sample *s, struct range *ret)
{
        const uint32_t *ends = t->segments + s->first_segment;
        float worst = 0, scores[LINEAR_LABELS];
        bool found = false;

        for (size_t i = 0; i < s->n_segments; i++) {
                for (size_t n = 1; n <= 4 && n <= i + 1; n *= 2) {
                        struct range range = { i + 1 > n ? ends[i - n] : 0, ends[i] };
                        float margin;

                        scores_of(t, s, range, scores);
                        margin = margin_of(t, scores) - linear_doubt(i + 1);
                        if (found && margin <= worst)
                                continue;
                        found = true;
                        worst = margin;
                        *ret = range;
                }
        }
        return worst;
}

static void learn(struct trainer *t, const struct sample *s, struct range range)
{
        float scores[LINEAR_LABELS] = {}, gradient[LINEAR_LABELS] = {}, sum = 0, highest;
        float norm = norm_of(t, s, range);
        size_t n_labels = t->texts->n_labels;

        scores_of(t, s, range, scores);
        highest = scores[0];
        for (size_t j = 1; j < n_labels; j++)
                highest = scores[j] > highest ? scores[j] : highest;
        for (size_t j = 0; j < n_labels; j++)
                sum += scores[j] = exponential(scores[j] - highest);
        for (size_t j = 0; j < n_labels; j++) {
                gradient[j] = scores[j] / sum - (j == s->label);
                t->bias[j] -= 0.002f * gradient[j];
        }
        for (size_t i = range.from; i < range.to; i++) {
                uint32_t bucket = t->buckets[s->first + i];

                if (t->seen[bucket] < SEEN_MIN || draw(t) < DROPPED)
                        continue;
                for (size_t j = 0; j < n_labels; j++) {
                        float *w = &t->weights[bucket][j], *g = &t->squares[bucket][j];
                        float step = gradient[j] * norm + DECAY * *w;

                        *g += step * step;
                        *w -= RATE * step / (sqrtf(*g) + 0.02f);
                }
        }
}

static bool is_in_fold(size_t index)
{
        return index / FOLD_RUN % FOLDS == 0;
}

/* Learns all texts, or all but those of the fold. */
static void learn_all(struct trainer *t, uint32_t *order, bool without_fold)
{
        size_t n = t->texts->n;

        memset(t->weights, 0, sizeof *t->weights << t->options->bits);
        memset(t->squares, 0, sizeof *t->squares << t->options->bits);
        memset(t->bias, 0, sizeof t->bias);
        t->random = 2463534242;
        for (size_t i = 0; i < n; i++)
                order[i] = (uint32_t)i;
        for (unsigned round = 0; round < t->options->rounds; round++) {
                for (size_t i = n; i > 1; i--) {
                        size_t other = draw(t) % i;
                        uint32_t swap = order[i - 1];

                        order[i - 1] = order[other];
                        order[other] = swap;
                }
                for (size_t i = 0; i < n; i++) {
                        const struct sample *s = &t->samples[order[i]];
                        struct range range = { 0, s->n };

                        if (s->n == 0 || (without_fold && is_in_fold(order[i])))
                                continue;
                        if (round >= WHOLE_ROUNDS && s->n_segments > 1)
                                worst_window(t, s, &range);
                        learn(t, s, range);
                }
        }
}

/* One step of Platt's scaling. margins: [text]. */
static void scale(const struct trainer *t, const float *margins, const size_t counts[2],
                  double *slope, double *offset)
{
        double by_slope = 0, by_offset = 0;

        for (size_t i = 0; i < t->texts->n; i++) {
                const struct sample *s = &t->samples[i];
                double margin = (double)margins[i], error;

                if (!is_in_fold(i) || s->n == 0)
                        continue;
                error = 1 / (1 + (double)exponential((float)-(*slope * margin + *offset))) -
                        (s->label > 0);
                error *= s->label > 0 ? 2 - 2 * HARMLESS_SHARE : 2 * HARMLESS_SHARE;
                error /= (double)counts[s->label > 0];
                by_slope += error * margin;
                by_offset += error;
        }
        *slope -= 0.3 * by_slope;
        *offset -= 0.3 * by_offset;
}

/* Platt's scaling on texts that were not learnt: what share of the texts with a margin are attacks.
 * Both kinds weigh as if HARMLESS_SHARE of all texts were harmless. */
static int calibrate(const struct trainer *t, float *ret_slope, float *ret_offset)
{
        float *margins = calloc(t->texts->n, sizeof *margins);
        double slope = 1, offset = 0;
        size_t counts[2] = { 0, 0 };

        if (!margins)
                return -ENOMEM;
        for (size_t i = 0; i < t->texts->n; i++) {
                const struct sample *s = &t->samples[i];
                struct range range;

                if (!is_in_fold(i) || s->n == 0)
                        continue;
                margins[i] = worst_window(t, s, &range);
                counts[s->label > 0]++;
        }
        for (int step = 0; step < 300 && counts[0] > 0 && counts[1] > 0; step++)
                scale(t, margins, counts, &slope, &offset);
        free(margins);
        *ret_slope = (float)slope;
        *ret_offset = (float)offset;
        return 0;
}

/* ---- terms ------------------------------------------------------------------------------------
 */

static int by_hash(const void *a, const void *b)
{
        const struct term *x = a, *y = b;

        if (x->hash != y->hash)
                return x->hash < y->hash ? -1 : 1;
        if (x->text != y->text)
                return x->text < y->text ? -1 : 1;
        return (x->from > y->from) - (x->from < y->from);
}

static int by_weight(const void *a, const void *b)
{
        const struct term *x = a, *y = b;

        if (x->weight != y->weight)
                return x->weight > y->weight ? -1 : 1;
        return (x->hash > y->hash) - (x->hash < y->hash);
}

/* Leaves one of each n-gram, with the number of texts that have it, the heaviest first. */
static void choose_terms(struct trainer *t, const int8_t (*weights)[LINEAR_LABELS])
{
        size_t n = 0;

        if (t->n_terms == 0)
                return;
        qsort(t->terms, t->n_terms, sizeof *t->terms, by_hash);
        for (size_t i = 0; i < t->n_terms; i++) {
                struct term *last = n > 0 ? &t->terms[n - 1] : NULL;

                if (!last || last->hash != t->terms[i].hash) {
                        t->terms[n++] = t->terms[i];
                } else if (last->text != t->terms[i].text) {
                        last->seen++;
                        last->text = t->terms[i].text;
                        last->from = t->terms[i].from;
                        last->to = t->terms[i].to;
                }
        }
        t->n_terms = 0;
        for (size_t i = 0; i < n; i++) {
                struct term *term = &t->terms[i];
                const int8_t *w = weights[linear_bucket(term->hash, t->options->bits)];

                for (size_t j = 1; j < t->texts->n_labels; j++)
                        if (w[j] - w[0] > term->weight)
                                term->weight = w[j] - w[0];
                if (term->seen >= TERM_SEEN_MIN && term->weight > 0)
                        t->terms[t->n_terms++] = *term;
        }
        qsort(t->terms, t->n_terms, sizeof *t->terms, by_weight);
        if (t->n_terms > TERMS_MAX)
                t->n_terms = TERMS_MAX;
        qsort(t->terms, t->n_terms, sizeof *t->terms, by_hash);
}

/* ---- writing ----------------------------------------------------------------------------------
 */

static void quantize(const struct trainer *t, int8_t (*out)[LINEAR_LABELS], float *ret_scale)
{
        size_t n = (size_t)1 << t->options->bits;
        float highest = 1e-6f;

        for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < LINEAR_LABELS; j++)
                        highest = fmaxf(highest, fabsf(t->weights[i][j]));
        *ret_scale = highest / 127;
        for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < LINEAR_LABELS; j++)
                        out[i][j] = (int8_t)floorf(t->weights[i][j] / *ret_scale + 0.5f);
}

/* Writes the texts of the terms, folded, in lower case and on one line. Returns their size. */
static size_t write_terms(const struct trainer *t, struct linear_term *terms, char *out)
{
        size_t size = 0;

        for (size_t i = 0; i < t->n_terms; i++) {
                const struct term *term = &t->terms[i];
                const struct labelled_text *text = &t->texts->list[term->text];
                char *folded = malloc(text->length + 1);

                if (!folded)
                        return SIZE_MAX;
                (void)fold_text(text->text, text->length, folded);
                terms[i] = (struct linear_term){ term->hash, (uint32_t)size };
                for (uint32_t j = term->from; j < term->to; j++) {
                        char c = folded[j];

                        out[size++] = c == '\n' ? ' ' : c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
                }
                out[size++] = '\0';
                free(folded);
        }
        return size;
}

static int write_model(struct trainer *t, struct linear_header *h, void **ret, size_t *ret_size)
{
        size_t weights = (sizeof(int8_t[LINEAR_LABELS])) << t->options->bits;
        size_t terms = TERMS_MAX * sizeof(struct linear_term);
        size_t most = sizeof *h + weights + terms + TERMS_MAX * (TERM_SIZE_MAX + 1), n;
        char *bytes = calloc(1, most);
        struct linear_term *list;

        if (!bytes)
                return -ENOMEM;
        quantize(t, (void *)(bytes + sizeof *h), &h->scale);
        choose_terms(t, (void *)(bytes + sizeof *h));
        h->n_terms = (uint32_t)t->n_terms;
        terms = t->n_terms * sizeof *list;
        list = (void *)(bytes + sizeof *h + weights);
        n = write_terms(t, list, bytes + sizeof *h + weights + terms);
        if (n == SIZE_MAX) {
                free(bytes);
                return -ENOMEM;
        }
        h->terms_size = (uint32_t)n;
        memcpy(bytes, h, sizeof *h);
        *ret = bytes;
        *ret_size = sizeof *h + weights + terms + n;
        return 0;
}

/* The harmless label becomes the first. */
static const char *order_labels(struct trainer *t, struct linear_header *h)
{
        uint32_t next = 1;
        bool found = false;

        for (size_t i = 0; i < t->texts->n_labels; i++) {
                bool harmless = strcmp(t->texts->labels[i], t->options->harmless) == 0;

                if (!harmless && next == LINEAR_LABELS)
                        break;
                t->labels[i] = harmless ? 0 : next++;
                found = found || harmless;
                memcpy(h->labels[t->labels[i]], t->texts->labels[i], LINEAR_LABEL_SIZE);
        }
        if (!found)
                return "no text has the label of harmless ones";
        return next < 2 ? "all texts are harmless" : NULL;
}

static int make(struct trainer *t, struct linear_header *h, void **ret, size_t *ret_size)
{
        uint32_t *order = malloc(t->texts->n * sizeof *order);
        uint32_t *last;
        int r = 0;

        t->samples = calloc(t->texts->n, sizeof *t->samples);
        t->seen = calloc((size_t)1 << t->options->bits, sizeof *t->seen);
        last = calloc((size_t)1 << t->options->bits, sizeof *last);
        t->weights = malloc(sizeof *t->weights << t->options->bits);
        t->squares = malloc(sizeof *t->squares << t->options->bits);
        if (!order || !last || !t->seen || !t->samples || !t->weights || !t->squares)
                r = -ENOMEM;
        for (size_t i = 0; i < t->texts->n && r == 0; i++)
                r = read_sample(t, i);
        if (r == 0) {
                count_texts(t, last);
                learn_all(t, order, true);
                r = calibrate(t, &h->slope, &h->offset);
        }
        if (r == 0) {
                learn_all(t, order, false);
                memcpy(h->bias, t->bias, sizeof h->bias);
                r = write_model(t, h, ret, ret_size);
        }
        free(order);
        free(last);
        return r;
}

int train(const struct texts *texts, const struct train_options *options, void **ret,
          size_t *ret_size, const char **ret_error)
{
        struct linear_header h = { .version = LINEAR_VERSION,
                                   .n_labels = (uint32_t)texts->n_labels,
                                   .bits = options->bits };
        struct trainer t = { .texts = texts, .options = options };
        int r;

        memcpy(h.magic, LINEAR_MAGIC, sizeof h.magic);
        *ret_error = order_labels(&t, &h);
        if (*ret_error)
                return -EINVAL;
        r = make(&t, &h, ret, ret_size);
        free(t.samples);
        free(t.buckets);
        free(t.segments);
        free(t.terms);
        free(t.seen);
        free(t.weights);
        free(t.squares);
        return r;
}

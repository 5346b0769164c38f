/* SPDX-License-Identifier: MIT */
#include "linear.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"

static_assert(sizeof(struct linear_header) ==
                      28 + 4 + 4 * LINEAR_LABELS + 8 + LINEAR_LABELS * LINEAR_LABEL_SIZE,
              "the header has no padding");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file is in little endian");

#define EXPLAINED 3 /* n-grams */

/* ---- the file ---------------------------------------------------------------------------------
 */

static const char *check_labels(const struct linear_header *h)
{
        static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";

        if (h->n_labels < 2 || h->n_labels > LINEAR_LABELS)
                return "it has no number of labels that this version can use";
        for (size_t i = 0; i < h->n_labels; i++) {
                size_t n = strnlen(h->labels[i], LINEAR_LABEL_SIZE);

                if (n == 0 || n == LINEAR_LABEL_SIZE || strspn(h->labels[i], letters) != n)
                        return "a label is no name";
        }
        return NULL;
}

/* Larger numbers overflow where they are multiplied, and infinity less infinity is no margin. */
static bool is_number(float number)
{
        return fabsf(number) <= LINEAR_NUMBER_MAX; /* false for a NaN */
}

static bool has_numbers(const struct linear_header *h)
{
        for (size_t i = 0; i < LINEAR_LABELS; i++)
                if (!is_number(h->bias[i]))
                        return false;
        return is_number(h->scale) && is_number(h->slope) && is_number(h->offset);
}

static const char *check_header(const struct linear_header *h)
{
        if (memcmp(h->magic, LINEAR_MAGIC, sizeof h->magic) != 0)
                return "not a model that brickctl train has written";
        if (h->version != LINEAR_VERSION)
                return "its format is of another version of brickd: train it again";
        if (h->bits < LINEAR_BITS_MIN || h->bits > LINEAR_BITS_MAX)
                return "it has too few or too many weights";
        if (!has_numbers(h))
                return "a number in it is not finite or too large";
        return check_labels(h);
}

static const char *check_terms(const struct linear *l)
{
        const struct linear_header *h = &l->header;

        if (h->n_terms > 0 && (h->terms_size == 0 || l->texts[h->terms_size - 1] != '\0'))
                return "its terms have no end";
        for (size_t i = 0; i < h->n_terms; i++) {
                if (l->terms[i].text >= h->terms_size)
                        return "a term is outside of it";
                if (i > 0 && l->terms[i].hash <= l->terms[i - 1].hash)
                        return "its terms are not in order";
        }
        return NULL;
}

/* Finds the parts behind the header. */
static const char *lay_out(struct linear *l, size_t size)
{
        const struct linear_header *h = &l->header;
        uint64_t weights = (UINT64_C(1) << h->bits) * LINEAR_LABELS;
        uint64_t terms = (uint64_t)h->n_terms * sizeof *l->terms;
        const char *bytes = l->memory;

        if (size != sizeof *h + weights + terms + h->terms_size)
                return "it is cut off or too long";
        l->weights = (const void *)(bytes + sizeof *h);
        l->terms = (const void *)(bytes + sizeof *h + weights);
        l->texts = bytes + sizeof *h + weights + terms;
        return check_terms(l);
}

struct linear *linear_parse(void *bytes, size_t size, const char **ret_error)
{
        struct linear *l = calloc(1, sizeof *l);

        if (!l) {
                free(bytes);
                *ret_error = "out of memory";
                return NULL;
        }
        l->memory = bytes;
        if (size < sizeof l->header) {
                *ret_error = "not a model that brickctl train has written";
                return linear_free(l);
        }
        memcpy(&l->header, bytes, sizeof l->header);
        *ret_error = check_header(&l->header);
        if (!*ret_error)
                *ret_error = lay_out(l, size);
        return *ret_error ? linear_free(l) : l;
}

struct linear *linear_read(const char *path, const char **ret_error)
{
        size_t size;
        char *bytes = file_read(path, LINEAR_FILE_MAX, &size);

        if (!bytes) {
                *ret_error = errno == EFBIG    ? "larger than 16 MiB"
                             : errno == EINVAL ? "not a regular file"
                                               : strerror(errno);
                return NULL;
        }
        return linear_parse(bytes, size, ret_error);
}

struct linear *linear_free(struct linear *l)
{
        if (!l)
                return NULL;
        free(l->memory);
        free(l);
        return NULL;
}

/* ---- judging ----------------------------------------------------------------------------------
 */

typedef int8_t weights_t __attribute__((vector_size(LINEAR_LABELS)));
typedef uint32_t sums_t __attribute__((vector_size(4 * LINEAR_LABELS)));

static void on_ngrams(void *user, const struct ngram *list, size_t n)
{
        struct linear_scan *s = user;
        const int8_t(*weights)[LINEAR_LABELS] = s->model->weights;
        uint32_t bits = s->model->header.bits, count = s->now.count;
        sums_t sums;

        memcpy(&sums, s->now.sums, sizeof sums);
        for (size_t i = 0; i < n; i++) {
                uint32_t all;
                weights_t w;

                memcpy(&all, weights[linear_bucket(list[i].hash, bits)], sizeof all);
                memcpy(&w, &all, sizeof w);
                count += all != 0; /* what was never learnt says nothing */
                sums += __builtin_convertvector(w, sums_t);
        }
        memcpy(s->now.sums, &sums, sizeof sums);
        s->now.count = count;
}

static float sum_of(const struct linear_mark *from, const struct linear_mark *to, uint32_t label)
{
        return (float)(int32_t)(to->sums[label] - from->sums[label]);
}

/* Compares what lies between two marks with the worst window. */
static void judge_window(struct linear_scan *s, const struct linear_mark *from)
{
        const struct linear_header *h = &s->model->header;
        float norm = h->scale / sqrtf((float)(s->now.count - from->count) + LINEAR_FEW);
        float harmless = sum_of(from, &s->now, 0) * norm + h->bias[0] + linear_doubt(s->n_segments);

        for (uint32_t i = 1; i < h->n_labels; i++) {
                float margin = sum_of(from, &s->now, i) * norm + h->bias[i] - harmless;

                if (s->worst.label == 0 || margin > s->worst.margin)
                        s->worst = (struct linear_window){ margin, i, from->at, s->now.at };
        }
}

static void on_segment(void *user, uint32_t end)
{
        struct linear_scan *s = user;

        s->now.at = end;
        s->n_segments++;
        for (uint32_t n = 1; n <= 4 && n <= s->n_segments; n *= 2)
                judge_window(s, &s->marks[(s->n_segments - n) % LINEAR_MARKS]);
        s->marks[s->n_segments % LINEAR_MARKS] = s->now;
}

static const struct ngrams_sink scan_sink = { on_ngrams, on_segment };

void linear_begin(struct linear_scan *s, const struct linear *model)
{
        s->model = model;
        s->now = s->marks[0] = (struct linear_mark){};
        s->n_segments = 0;
        s->worst = (struct linear_window){};
        ngrams_begin(&s->ngrams, &scan_sink, s);
}

void linear_push(struct linear_scan *s, const char *folded, size_t length, uint32_t at)
{
        ngrams_push(&s->ngrams, folded, length, at);
}

void linear_end(struct linear_scan *s, uint32_t at)
{
        ngrams_end(&s->ngrams, at);
}

double linear_probability(const struct linear *model, const struct linear_window *window)
{
        if (window->label == 0)
                return 0;
        return 1 /
               (1 + exp(-(double)(model->header.slope * window->margin + model->header.offset)));
}

/* ---- explaining -------------------------------------------------------------------------------
 */

struct reason {
        int weight;
        const char *text;
};

struct explanation {
        const struct linear *model;
        uint32_t label;
        struct reason reasons[EXPLAINED]; /* the heaviest first */
};

static const char *text_of(const struct linear *l, uint32_t hash)
{
        size_t low = 0, high = l->header.n_terms;

        while (low < high) {
                size_t middle = (low + high) / 2;

                if (l->terms[middle].hash == hash)
                        return l->texts + l->terms[middle].text;
                if (l->terms[middle].hash < hash)
                        low = middle + 1;
                else
                        high = middle;
        }
        return NULL;
}

/* Keeps the heaviest. A reason that is a part of another one is not given twice. */
static void add_reason(struct explanation *e, struct reason reason)
{
        for (size_t i = 0; i < EXPLAINED && e->reasons[i].text; i++)
                if (strstr(e->reasons[i].text, reason.text))
                        return;
        for (size_t i = 0; i < EXPLAINED; i++) {
                struct reason other = e->reasons[i];

                if (reason.weight <= other.weight)
                        continue;
                e->reasons[i] = reason;
                if (!other.text || strstr(reason.text, other.text))
                        return;
                reason = other;
        }
}

static void on_explained(void *user, const struct ngram *list, size_t n)
{
        struct explanation *e = user;

        for (size_t i = 0; i < n; i++) {
                const int8_t *w =
                        e->model->weights[linear_bucket(list[i].hash, e->model->header.bits)];
                int weight = w[e->label] - w[0];
                const char *text;

                if (list[i].from == list[i].to || weight <= e->reasons[EXPLAINED - 1].weight)
                        continue;
                text = text_of(e->model, list[i].hash);
                if (text)
                        add_reason(e, (struct reason){ weight, text });
        }
}

static void on_explained_segment(void *user, uint32_t end)
{
}

void linear_explain(const struct linear *model, const struct linear_window *window,
                    const char *folded, char *out, size_t size)
{
        static const struct ngrams_sink sink = { on_explained, on_explained_segment };
        struct explanation e = { .model = model, .label = window->label };
        struct ngrams ngrams;
        size_t n = 0;

        ngrams_begin(&ngrams, &sink, &e);
        ngrams_push(&ngrams, folded + window->from, window->to - window->from, window->from);
        ngrams_end(&ngrams, window->to);
        out[0] = '\0';
        for (size_t i = 0; i < EXPLAINED && e.reasons[i].text && n < size; i++)
                n += (size_t)snprintf(out + n, size - n, "%s%s", i > 0 ? ", " : "",
                                      e.reasons[i].text);
}

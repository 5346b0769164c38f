/* SPDX-License-Identifier: MIT */
#include "literals.h"

#include <ctype.h>
#include <stdlib.h>

#define NONE UINT32_MAX

struct literals {
        const struct literal *list;
        uint8_t class[256]; /* class 0: bytes that are in no literal */
        size_t n_classes;
        size_t n_states;
        uint16_t *next;  /* [state * n_classes + class]; state 0 is the root; until all is made */
        uint32_t *steps; /* as next, for scanning: see step_of() */
        uint32_t *out;   /* [state]: a literal that ends here, or NONE */
        uint16_t *dict;  /* [state]: the longest proper suffix that ends a literal, or 0 */
        uint32_t *twin;  /* [literal]: another one with the same text, or NONE */
        uint8_t *ending; /* [state]: out or dict is set */
        uint16_t *begun; /* [state]: see literals_begun() */
};

struct literals *literals_free(struct literals *l)
{
        if (!l)
                return NULL;
        free(l->next);
        free(l->steps);
        free(l->out);
        free(l->dict);
        free(l->twin);
        free(l->ending);
        free(l->begun);
        free(l);
        return NULL;
}

/* Classes of bytes keep the table small: about a hundred columns instead of 256. */
static size_t classify(struct literals *l, size_t n)
{
        size_t bytes = 0;

        l->n_classes = 1;
        for (size_t i = 0; i < n; i++) {
                bytes += l->list[i].length;
                for (size_t j = 0; j < l->list[i].length; j++) {
                        unsigned char c = (unsigned char)l->list[i].text[j];

                        /* There are fewer than 256 classes, because upper and lower case share one.
                         */
                        if (l->class[c] == 0)
                                l->class[tolower(c)] = l->class[toupper(c)] =
                                        (uint8_t)l->n_classes++;
                }
        }
        return bytes;
}

static void insert(struct literals *l, uint32_t index)
{
        const struct literal *literal = &l->list[index];
        uint16_t state = 0;

        for (size_t i = 0; i < literal->length; i++) {
                uint8_t class = l->class[(unsigned char)literal->text[i]];
                uint16_t *next = &l->next[state * l->n_classes + class];

                if (*next == 0)
                        *next = (uint16_t)l->n_states++;
                state = *next;
                if (literal->kind == 0)
                        l->begun[state] = (uint16_t)(i + 1);
        }
        l->twin[index] = l->out[state];
        l->out[state] = index;
}

/* Completes the states breadth first. A state takes its missing transitions from its longest proper
 * suffix, which is less deep and therefore already complete. */
static void complete(struct literals *l, uint16_t *queue, uint16_t *fail)
{
        size_t head = 0, tail = 0;

        queue[tail++] = 0;
        while (head < tail) {
                uint16_t state = queue[head++];
                uint16_t suffix = fail[state];

                if (state != 0)
                        l->dict[state] = l->out[suffix] != NONE ? suffix : l->dict[suffix];
                l->ending[state] = l->out[state] != NONE || l->dict[state] != 0;
                if (l->begun[state] == 0)
                        l->begun[state] = l->begun[suffix];
                for (size_t c = 0; c < l->n_classes; c++) {
                        uint16_t *next = &l->next[state * l->n_classes + c];
                        uint16_t other = state ? l->next[suffix * l->n_classes + c] : 0;

                        if (*next == 0) {
                                *next = other;
                                continue;
                        }
                        fail[*next] = other;
                        queue[tail++] = *next;
                }
        }
}

/* Where a state's row begins, which saves the scan a multiplication, and whether it is ending. */
static uint32_t step_of(const struct literals *l, uint16_t state)
{
        return (uint32_t)(state * l->n_classes) << 1 | l->ending[state];
}

struct literals *literals_new(const struct literal *list, size_t n)
{
        struct literals *l = calloc(1, sizeof *l);
        uint16_t *queue, *fail;
        size_t states;

        if (!l)
                return NULL;
        l->list = list;
        l->n_states = 1;
        states = classify(l, n) + 1;
        l->next = calloc(states * l->n_classes, sizeof *l->next);
        l->steps = calloc(states * l->n_classes, sizeof *l->steps);
        l->out = malloc(states * sizeof *l->out);
        l->dict = calloc(states, sizeof *l->dict);
        l->twin = malloc((n + 1) * sizeof *l->twin);
        l->ending = calloc(states, sizeof *l->ending);
        l->begun = calloc(states, sizeof *l->begun);
        queue = calloc(states, sizeof *queue);
        fail = calloc(states, sizeof *fail);
        if (l->next && l->steps && l->out && l->dict && l->twin && l->ending && l->begun && queue &&
            fail) {
                for (size_t i = 0; i < states; i++)
                        l->out[i] = NONE;
                for (size_t i = 0; i < n; i++)
                        insert(l, (uint32_t)i);
                complete(l, queue, fail);
                for (size_t i = 0; i < l->n_states * l->n_classes; i++)
                        l->steps[i] = step_of(l, l->next[i]);
                free(l->next);
                l->next = NULL;
        } else {
                l = literals_free(l);
        }
        free(queue);
        free(fail);
        return l;
}

static void report(const struct literals *l, uint16_t state, size_t end, literal_hit_fn *hit,
                   void *user)
{
        if (l->out[state] == NONE)
                state = l->dict[state];
        for (; state != 0; state = l->dict[state])
                for (uint32_t i = l->out[state]; i != NONE; i = l->twin[i])
                        hit(user, &l->list[i], end);
}

void literals_scan_piece(const struct literals *l, uint32_t *state, const char *piece,
                         size_t length, literal_hit_fn *hit, void *user)
{
        const uint32_t *steps = l->steps;
        uint32_t row = *state, step;

        for (size_t i = 0; i < length; i++) {
                step = steps[row + l->class[(unsigned char)piece[i]]];
                row = step >> 1;
                if (step & 1)
                        report(l, (uint16_t)(row / l->n_classes), i + 1, hit, user);
        }
        *state = row;
}

void literals_scan(const struct literals *l, const char *text, size_t length, literal_hit_fn *hit,
                   void *user)
{
        uint32_t state = 0;

        literals_scan_piece(l, &state, text, length, hit, user);
}

size_t literals_begun(const struct literals *l, uint32_t state)
{
        return l->begun[state / l->n_classes];
}

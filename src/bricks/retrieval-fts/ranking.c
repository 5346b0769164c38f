/* SPDX-License-Identifier: MIT */
#include "ranking.h"

#include <stdlib.h>
#include <string.h>

#include "rowid.h"
#include "schema.h"

/* The usual constant: high places differ little, so that one ranking alone does not decide. */
#define FUSE_K 60

#define NONE (-1)

struct ranking *ranking_new(size_t max)
{
        struct ranking *ranking = calloc(1, sizeof *ranking + max * sizeof *ranking->items);

        if (ranking) {
                ranking->max = max;
                ranking->open.rowid = NONE;
        }
        return ranking;
}

struct ranking *ranking_free(struct ranking *ranking)
{
        if (!ranking)
                return NULL;
        for (size_t i = 0; i < ranking->n; i++)
                free(ranking->items[i].marks);
        free(ranking->open.marks);
        free(ranking);
        return NULL;
}

/* Takes the candidate's marks. */
static void insert(struct ranking *ranking, const struct candidate *candidate)
{
        size_t at = ranking->n;

        while (at > 0 && ranking->items[at - 1].score < candidate->score)
                at--;
        if (at == ranking->max) {
                free(candidate->marks);
                return;
        }
        if (ranking->n < ranking->max)
                ranking->n++;
        else
                free(ranking->items[ranking->n - 1].marks);
        memmove(ranking->items + at + 1, ranking->items + at,
                (ranking->n - at - 1) * sizeof *ranking->items);
        ranking->items[at] = *candidate;
}

/* Makes the candidate the best one of its document. */
static bool open_set(struct candidate *open, const struct candidate *candidate)
{
        struct marks *marks = open->marks;

        if (candidate->marks && !marks) {
                marks = malloc(sizeof *marks);
                if (!marks)
                        return false;
        }
        *open = *candidate;
        open->marks = marks;
        if (candidate->marks) {
                marks->n = candidate->marks->n;
                memcpy(marks->items, candidate->marks->items, marks->n * sizeof *marks->items);
        }
        return true;
}

bool ranking_add(struct ranking *ranking, const struct candidate *candidate)
{
        struct candidate *open = &ranking->open;
        bool same = open->rowid != NONE &&
                    rowid_document(open->rowid) == rowid_document(candidate->rowid);

        if (ranking->n == ranking->max &&
            candidate->score <= ranking->items[ranking->max - 1].score)
                return true;
        if (same && candidate->score <= open->score)
                return true;
        if (!same)
                ranking_end(ranking);
        return open_set(open, candidate);
}

void ranking_end(struct ranking *ranking)
{
        if (ranking->open.rowid != NONE)
                insert(ranking, &ranking->open);
        ranking->open = (struct candidate){ .rowid = NONE };
}

/* The place of a document, from 0; ranking->n: it is not there. */
static size_t place_of(const struct ranking *ranking, int64_t rowid)
{
        size_t i = 0;

        while (i < ranking->n && rowid_document(ranking->items[i].rowid) != rowid_document(rowid))
                i++;
        return i;
}

/* What the place in a ranking is worth. */
static double worth(const struct ranking *ranking, size_t place)
{
        return place < ranking->n ? ranking->items[place].weight / (double)(FUSE_K + 1 + place) : 0;
}

static void fuse_into(struct ranking *ret, struct ranking *ranking, const struct ranking *other,
                      bool is_second)
{
        struct candidate fused;
        double here, there;

        for (size_t i = 0; i < ranking->n; i++) {
                here = worth(ranking, i);
                there = worth(other, place_of(other, ranking->items[i].rowid));
                if (there > here || (there == here && is_second))
                        continue; /* it comes with the other one */
                fused = ranking->items[i];
                fused.score = here + there;
                ranking->items[i].marks = NULL;
                insert(ret, &fused);
        }
}

struct ranking *ranking_fuse(struct ranking *a, struct ranking *b)
{
        struct ranking *ret = ranking_new(a->n + b->n);

        if (ret) {
                fuse_into(ret, a, b, false);
                fuse_into(ret, b, a, true);
        }
        return ret;
}

/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "serve/deadlines.h"
#include "serve/served.h"
#include "util/clock.h"
#include "util/line-limit.h"
#include "util/log.h"

static void heap_set(struct deadlines *deadlines, size_t i, struct served *call)
{
        deadlines->heap[i] = call;
        call->deadline_index = i;
}

static void heap_up(struct deadlines *deadlines, size_t i)
{
        struct served *call = deadlines->heap[i];

        for (; i > 1 && deadlines->heap[i / 2]->base.deadline > call->base.deadline; i /= 2)
                heap_set(deadlines, i, deadlines->heap[i / 2]);
        heap_set(deadlines, i, call);
}

static void heap_down(struct deadlines *deadlines, size_t i)
{
        struct served *call = deadlines->heap[i];
        size_t child;

        while ((child = 2 * i) <= deadlines->n) {
                if (child < deadlines->n && deadlines->heap[child + 1]->base.deadline <
                                                    deadlines->heap[child]->base.deadline)
                        child++;
                if (deadlines->heap[child]->base.deadline >= call->base.deadline)
                        break;
                heap_set(deadlines, i, deadlines->heap[child]);
                i = child;
        }
        heap_set(deadlines, i, call);
}

void deadlines_add(struct deadlines *deadlines, struct served *call)
{
        if (deadlines->n + 1 >= deadlines->size) {
                size_t size = deadlines->size > 0 ? deadlines->size * 2 : 64;
                struct served **heap = reallocarray(deadlines->heap, size, sizeof *heap);

                if (!heap) {
                        static struct line_limit limit = LINE_LIMIT_INIT;

                        if (line_limit_take(&limit) >= 0)
                                log_error("Out of memory: a call runs without its timeout");
                        return;
                }
                deadlines->heap = heap;
                deadlines->size = size;
        }
        heap_set(deadlines, ++deadlines->n, call);
        heap_up(deadlines, deadlines->n);
}

void deadlines_remove(struct deadlines *deadlines, struct served *call)
{
        size_t i = call->deadline_index;
        struct served *last;

        if (i == 0)
                return;
        call->deadline_index = 0;
        last = deadlines->heap[deadlines->n--];
        if (last == call)
                return;
        heap_set(deadlines, i, last);
        heap_up(deadlines, i);
        heap_down(deadlines, last->deadline_index);
}

void deadlines_expire(struct deadlines *deadlines)
{
        uint64_t now = clock_now();

        while (deadlines_next(deadlines) <= now) {
                struct served *call = deadlines->heap[1];

                deadlines_remove(deadlines, call);
                call->port->serve->expire(call, "Deadline Exceeded");
        }
}

uint64_t deadlines_next(const struct deadlines *deadlines)
{
        return deadlines->n > 0 ? deadlines->heap[1]->base.deadline : UINT64_MAX;
}

void deadlines_done(struct deadlines *deadlines)
{
        free(deadlines->heap);
}

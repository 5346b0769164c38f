/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "rpc/call.h"
#include "rpc/timeouts.h"
#include "util/clock.h"
#include "util/log.h"

static void heap_set(struct timeouts *timeouts, size_t i, struct rpc_call *call)
{
        timeouts->heap[i] = call;
        call->timeout_index = i;
}

static void heap_up(struct timeouts *timeouts, size_t i)
{
        struct rpc_call *call = timeouts->heap[i];

        for (; i > 1 && timeouts->heap[i / 2]->base.deadline > call->base.deadline; i /= 2)
                heap_set(timeouts, i, timeouts->heap[i / 2]);
        heap_set(timeouts, i, call);
}

static void heap_down(struct timeouts *timeouts, size_t i)
{
        struct rpc_call *call = timeouts->heap[i];
        size_t child;

        while ((child = 2 * i) <= timeouts->n) {
                if (child < timeouts->n &&
                    timeouts->heap[child + 1]->base.deadline < timeouts->heap[child]->base.deadline)
                        child++;
                if (timeouts->heap[child]->base.deadline >= call->base.deadline)
                        break;
                heap_set(timeouts, i, timeouts->heap[child]);
                i = child;
        }
        heap_set(timeouts, i, call);
}

void timeouts_add(struct timeouts *timeouts, struct rpc_call *call)
{
        if (timeouts->n + 1 >= timeouts->size) {
                size_t size = timeouts->size > 0 ? timeouts->size * 2 : 64;
                struct rpc_call **heap = reallocarray(timeouts->heap, size, sizeof *heap);

                if (!heap) {
                        log_error("Out of memory: a call runs without its timeout");
                        return;
                }
                timeouts->heap = heap;
                timeouts->size = size;
        }
        heap_set(timeouts, ++timeouts->n, call);
        heap_up(timeouts, timeouts->n);
}

void timeouts_remove(struct timeouts *timeouts, struct rpc_call *call)
{
        size_t i = call->timeout_index;
        struct rpc_call *last;

        if (i == 0)
                return;
        call->timeout_index = 0;
        last = timeouts->heap[timeouts->n--];
        if (last == call)
                return;
        heap_set(timeouts, i, last);
        heap_up(timeouts, i);
        heap_down(timeouts, last->timeout_index);
}

void timeouts_expire(struct timeouts *timeouts)
{
        uint64_t now = clock_now();

        while (timeouts_next(timeouts) <= now) {
                struct rpc_call *call = timeouts->heap[1];

                timeouts_remove(timeouts, call);
                rpc_call_expire(call);
        }
}

uint64_t timeouts_next(const struct timeouts *timeouts)
{
        return timeouts->n > 0 ? timeouts->heap[1]->base.deadline : UINT64_MAX;
}

void timeouts_done(struct timeouts *timeouts)
{
        free(timeouts->heap);
}

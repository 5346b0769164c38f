/* SPDX-License-Identifier: MIT */
#include "module/span.h"

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include "util/clock.h"
#include "util/random.h"

#define RING_SIZE 4096U /* a power of two */
#define RING_MANY (RING_SIZE / 8)

/*
 * Vyukov's bounded queue: `turn` says whose a place is. It is free for the record of number n when
 * turn == n, and holds it when turn == n + 1; taken, it is free for that of number n + RING_SIZE.
 */
struct place {
        atomic_size_t turn;
        struct span_record record;
};

struct tracer {
        uint64_t threshold; /* of random numbers: below it, a trace is recorded */
        sem_t many;
        atomic_uint_fast64_t dropped;
        _Alignas(64) atomic_size_t next; /* number of the next record that comes */
        _Alignas(64) size_t taken;       /* the taker's */
        struct place ring[RING_SIZE];
};

int tracer_new(struct tracer **ret, double sample)
{
        struct tracer *tracer = aligned_alloc(_Alignof(struct tracer), sizeof *tracer);

        if (!tracer)
                return -ENOMEM;
        tracer->threshold = sample >= 1 ? UINT64_MAX : (uint64_t)(sample * 0x1p64);
        atomic_init(&tracer->dropped, 0);
        atomic_init(&tracer->next, 0);
        tracer->taken = 0;
        (void)sem_init(&tracer->many, 0, 0);
        for (size_t i = 0; i < RING_SIZE; i++)
                atomic_init(&tracer->ring[i].turn, i);
        *ret = tracer;
        return 0;
}

struct tracer *tracer_free(struct tracer *tracer)
{
        if (!tracer)
                return NULL;
        (void)sem_destroy(&tracer->many);
        free(tracer);
        return NULL;
}

static bool is_chosen(const struct tracer *tracer)
{
        return tracer->threshold == UINT64_MAX || random_u64() < tracer->threshold;
}

/* No id is zero. */
static uint64_t make_id(void)
{
        uint64_t id = random_u64();

        return id ? id : 1;
}

void span_begin(struct span *span, struct tracer *tracer, const struct trace_context *parent,
                uint64_t now)
{
        span->tracer = tracer;
        span->began = now;
        if (parent) {
                span->context = *parent;
                span->parent = parent->span;
        } else {
                span->context = (struct trace_context){
                        .trace = { random_u64(), make_id() },
                        .flags = TRACE_RANDOM | (is_chosen(tracer) ? TRACE_SAMPLED : 0),
                };
                span->parent = 0;
        }
        span->context.span = make_id();
}

/* The place of the record that comes next; NULL: it is not free. */
static struct place *claim_place(struct tracer *tracer, size_t *ret_number)
{
        size_t number = atomic_load_explicit(&tracer->next, memory_order_relaxed);

        for (;;) {
                struct place *place = &tracer->ring[number % RING_SIZE];
                size_t turn = atomic_load_explicit(&place->turn, memory_order_acquire);

                if (turn == number) {
                        if (atomic_compare_exchange_weak_explicit(&tracer->next, &number,
                                                                  number + 1, memory_order_relaxed,
                                                                  memory_order_relaxed)) {
                                *ret_number = number;
                                return place;
                        }
                } else if ((ptrdiff_t)(turn - number) < 0) {
                        return NULL;
                } else {
                        number = atomic_load_explicit(&tracer->next, memory_order_relaxed);
                }
        }
}

void span_end(const struct span_record *record)
{
        struct tracer *tracer = record->span.tracer;
        size_t number = 0;
        struct place *place;

        place = claim_place(tracer, &number);
        if (!place) {
                (void)atomic_fetch_add_explicit(&tracer->dropped, 1, memory_order_relaxed);
                return;
        }
        place->record = *record;
        atomic_store_explicit(&place->turn, number + 1, memory_order_release);
        if (number % RING_MANY == RING_MANY - 1)
                tracer_wake(tracer);
}

void tracer_wait(struct tracer *tracer, uint64_t ns)
{
        uint64_t end = clock_now() + ns;
        struct timespec limit = { .tv_sec = (time_t)(end / NSEC_PER_SEC),
                                  .tv_nsec = (long)(end % NSEC_PER_SEC) };

        (void)sem_clockwait(&tracer->many, CLOCK_MONOTONIC, &limit);
}

bool tracer_take(struct tracer *tracer, struct span_record *ret)
{
        size_t number = tracer->taken;
        struct place *place = &tracer->ring[number % RING_SIZE];

        if (atomic_load_explicit(&place->turn, memory_order_acquire) != number + 1)
                return false;
        *ret = place->record;
        atomic_store_explicit(&place->turn, number + RING_SIZE, memory_order_release);
        tracer->taken++;
        return true;
}

void tracer_wake(struct tracer *tracer)
{
        (void)sem_post(&tracer->many);
}

uint64_t tracer_dropped(const struct tracer *tracer)
{
        return atomic_load_explicit(&tracer->dropped, memory_order_relaxed);
}

/* SPDX-License-Identifier: MIT */

/* Metrics of calls and bricks. */

#include <stddef.h>

#include "manager/metrics-page.h"
#include "manager/tally.h"
#include "util/grpc-status.h"

/* --- calls ------------------------------------------------------------------------------------ */

static bool has_method(const struct tally_brick *brick, unsigned method)
{
        return brick->methods & (1u << method) ||
               stats_get(&brick->counters.methods[method].begun) > 0;
}

static void each_method(struct page *p, void (*put)(struct page *p, const struct tally_brick *brick,
                                                    unsigned method))
{
        for (size_t i = 0; i < p->tally->n_bricks; i++)
                for (unsigned m = 0; m < STATS_METHODS; m++)
                        if (has_method(p->tally->bricks[i], m))
                                put(p, p->tally->bricks[i], m);
}

/* The line for success exists from the start with 0, so that the first call shows as an increase.
 */
static void put_requests_of(struct page *p, const struct tally_brick *brick, unsigned method)
{
        for (unsigned status = 0; status < STATS_STATUSES; status++)
                for (unsigned c = 0; c < STATS_CLASSES; c++) {
                        uint64_t n = stats_get(&brick->counters.methods[method].ended[status][c]);

                        if (n == 0 && (status > 0 || c != STATS_CLASS_GOOD))
                                continue;
                        page_begin(p, "");
                        page_label_method(p, brick, method);
                        page_label(p, "code", grpc_status_to_string(status));
                        page_label(p, "error", stats_class_to_string(c));
                        page_end(p, n);
                }
}

static void put_requests(struct page *p)
{
        each_method(p, put_requests_of);
}

static void put_lost_of(struct page *p, const struct tally_brick *brick, unsigned method)
{
        page_begin(p, "");
        page_label_method(p, brick, method);
        page_end(p, stats_get(&brick->lost[method]));
}

static void put_lost(struct page *p)
{
        each_method(p, put_lost_of);
}

static void put_durations_of(struct page *p, const struct tally_brick *brick, unsigned method)
{
        page_histogram(p, brick, method, &brick->counters.methods[method].duration);
}

static void put_durations(struct page *p)
{
        each_method(p, put_durations_of);
}

static void put_first_of(struct page *p, const struct tally_brick *brick, unsigned method)
{
        page_histogram(p, brick, method, &brick->counters.methods[method].first);
}

static void put_first(struct page *p)
{
        each_method(p, put_first_of);
}

static void put_gaps_of(struct page *p, const struct tally_brick *brick, unsigned method)
{
        page_histogram(p, brick, method, &brick->counters.methods[method].gap);
}

static void put_gaps(struct page *p)
{
        each_method(p, put_gaps_of);
}

/* One counter of each method; offset: where it is in struct stats_method. */
static void put_counter(struct page *p, size_t offset)
{
        for (size_t i = 0; i < p->tally->n_bricks; i++)
                for (unsigned m = 0; m < STATS_METHODS; m++) {
                        const struct tally_brick *brick = p->tally->bricks[i];
                        const char *method = (const char *)&brick->counters.methods[m];

                        if (!has_method(brick, m))
                                continue;
                        page_begin(p, "");
                        page_label_method(p, brick, m);
                        page_end(p,
                                 stats_get((const stats_counter *)(const void *)(method + offset)));
                }
}

static void put_received(struct page *p)
{
        put_counter(p, offsetof(struct stats_method, received));
}

static void put_received_bytes(struct page *p)
{
        put_counter(p, offsetof(struct stats_method, received_bytes));
}

static void put_sent(struct page *p)
{
        put_counter(p, offsetof(struct stats_method, sent));
}

static void put_sent_bytes(struct page *p)
{
        put_counter(p, offsetof(struct stats_method, sent_bytes));
}

/* --- bricks ----------------------------------------------------------------------------------- */

static void put_in_flight(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_bricks; i++)
                if (p->tally->bricks[i]->live) {
                        page_begin(p, "");
                        page_label_brick(p, p->tally->bricks[i]);
                        page_end(p, p->tally->bricks[i]->in_flight);
                }
}

static void put_queued(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_bricks; i++)
                if (p->tally->bricks[i]->live) {
                        page_begin(p, "");
                        page_label_brick(p, p->tally->bricks[i]);
                        page_end(p, p->tally->bricks[i]->queued);
                }
}

static void put_healthy(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_bricks; i++) {
                const struct tally_brick *brick = p->tally->bricks[i];

                if (brick->healthy + brick->sick == 0)
                        continue;
                page_begin(p, "");
                page_label_brick(p, brick);
                page_end(p, brick->sick == 0);
        }
}

static void put_queue_wait(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_bricks; i++)
                page_histogram(p, p->tally->bricks[i], NO_METHOD,
                               &p->tally->bricks[i]->counters.queue_wait);
}

static void put_inner_result(struct page *p, const struct tally_brick *brick, const char *result,
                             uint64_t n)
{
        page_begin(p, "");
        page_label_brick(p, brick);
        page_label(p, "result", result);
        page_end(p, n);
}

static void put_inner(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_bricks; i++) {
                const struct tally_brick *brick = p->tally->bricks[i];
                uint64_t failed = stats_get(&brick->counters.inner_failed);
                uint64_t all = stats_get(&brick->counters.inner);

                put_inner_result(p, brick, "ok", all > failed ? all - failed : 0);
                put_inner_result(p, brick, "failed", failed);
        }
}

/* --- backends --------------------------------------------------------------------------------- */

static void each_backend(struct page *p,
                         void (*put)(struct page *p, const struct tally_brick *brick,
                                     const struct tally_backend *backend))
{
        for (size_t i = 0; i < p->tally->n_bricks; i++)
                for (size_t k = 0; k < p->tally->bricks[i]->n_backends; k++)
                        put(p, p->tally->bricks[i], &p->tally->bricks[i]->backends[k]);
}

static void begin_backend(struct page *p, const struct tally_brick *brick,
                          const struct tally_backend *backend)
{
        page_begin(p, "");
        page_label_brick(p, brick);
        page_label(p, "backend", backend->name);
}

static void put_backend_result(struct page *p, const struct tally_brick *brick,
                               const struct tally_backend *backend)
{
        uint64_t failed = stats_get(&backend->counters.failures);
        uint64_t all = stats_get(&backend->counters.calls);

        begin_backend(p, brick, backend);
        page_label(p, "result", "ok");
        page_end(p, all > failed ? all - failed : 0);
        begin_backend(p, brick, backend);
        page_label(p, "result", "failed");
        page_end(p, failed);
}

static void put_backend_calls(struct page *p)
{
        each_backend(p, put_backend_result);
}

static void put_backend_in_flight_of(struct page *p, const struct tally_brick *brick,
                                     const struct tally_backend *backend)
{
        if (!backend->live)
                return;
        begin_backend(p, brick, backend);
        page_end(p, backend->in_flight);
}

static void put_backend_in_flight(struct page *p)
{
        each_backend(p, put_backend_in_flight_of);
}

static void put_backend_ready_of(struct page *p, const struct tally_brick *brick,
                                 const struct tally_backend *backend)
{
        if (!backend->live || backend->state == BACKEND_NONE)
                return;
        begin_backend(p, brick, backend);
        page_end(p, backend->state == BACKEND_READY);
}

static void put_backend_ready(struct page *p)
{
        each_backend(p, put_backend_ready_of);
}

const struct metric metrics_of_bricks[] = {
        { "brickd_requests_total", "counter", "Calls that have ended.", put_requests },
        { "brickd_requests_lost_total", "counter", "Calls that were in a worker when it died.",
          put_lost },
        { "brickd_request_duration_seconds", "histogram",
          "Time from the arrival of a call to its end.", put_durations },
        { "brickd_first_message_seconds", "histogram",
          "Time from the arrival of a call to the first message of its stream.", put_first },
        { "brickd_message_gap_seconds", "histogram",
          "Time from one message of a stream to the next.", put_gaps },
        { "brickd_messages_received_total", "counter", "Request messages.", put_received },
        { "brickd_received_bytes_total", "counter", "Bytes of request messages.",
          put_received_bytes },
        { "brickd_messages_sent_total", "counter", "Reply messages.", put_sent },
        { "brickd_sent_bytes_total", "counter", "Bytes of reply messages.", put_sent_bytes },
        { "brickd_brick_in_flight", "gauge", "Calls that are in the brick.", put_in_flight },
        { "brickd_brick_queued", "gauge", "Calls that wait for the brick.", put_queued },
        { "brickd_brick_queue_wait_seconds", "histogram",
          "Time that queued calls have waited for the brick.", put_queue_wait },
        { "brickd_brick_healthy", "gauge", "1 if the brick is healthy in all workers, else 0.",
          put_healthy },
        { "brickd_brick_inner_calls_total", "counter", "Calls from other bricks that have ended.",
          put_inner },
        { "brickd_backend_calls_total", "counter", "Calls to the backend that have ended.",
          put_backend_calls },
        { "brickd_backend_in_flight", "gauge", "Calls that are in the backend.",
          put_backend_in_flight },
        { "brickd_backend_ready", "gauge", "1 if all workers are connected to the backend, else 0.",
          put_backend_ready },
        {},
};

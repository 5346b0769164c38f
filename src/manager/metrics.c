/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio_ext.h>
#include <string.h>
#include <sys/resource.h>

#include "conf/conf.h"
#include "conf/names.h"
#include "config.h"
#include "manager/manager.h"
#include "manager/proc.h"
#include "manager/tally.h"
#include "util/clock.h"
#include "util/grpc-status.h"

/* The text format of Prometheus, version 0.0.4. */

struct worker {
        const struct slot *slot; /* has a process */
        bool known;              /* what /proc tells of it */
        struct proc proc;
};

struct page {
        FILE *f;
        const struct manager *m;
        const struct tally *tally;
        struct worker *workers;
        size_t n_workers;
        struct proc self;
        const char *name; /* of the family that is being written */
        bool labelled;    /* the line has a label */
};

/* --- lines ------------------------------------------------------------------------------------ */

static void begin(struct page *p, const char *suffix)
{
        (void)fprintf(p->f, "%s%s", p->name, suffix);
        p->labelled = false;
}

static void label(struct page *p, const char *key, const char *value)
{
        size_t plain;

        (void)fprintf(p->f, "%c%s=\"", p->labelled ? ',' : '{', key);
        while (value[plain = strcspn(value, "\n\"\\")]) {
                (void)fwrite(value, 1, plain, p->f);
                (void)fprintf(p->f, "\\%c", value[plain] == '\n' ? 'n' : value[plain]);
                value += plain + 1;
        }
        (void)fprintf(p->f, "%s\"", value);
        p->labelled = true;
}

static void label_number(struct page *p, const char *key, unsigned number)
{
        char value[16];

        (void)snprintf(value, sizeof value, "%u", number);
        label(p, key, value);
}

static void end(struct page *p, uint64_t value)
{
        (void)fprintf(p->f, "%s %" PRIu64 "\n", p->labelled ? "}" : "", value);
}

static void end_seconds(struct page *p, uint64_t ns)
{
        (void)fprintf(p->f, "%s %" PRIu64 ".%09" PRIu64 "\n", p->labelled ? "}" : "",
                      ns / NSEC_PER_SEC, ns % NSEC_PER_SEC);
}

static void end_double(struct page *p, double value)
{
        (void)fprintf(p->f, "%s %.6f\n", p->labelled ? "}" : "", value);
}

static void value(struct page *p, uint64_t number)
{
        begin(p, "");
        end(p, number);
}

static void labels_of_brick(struct page *p, const struct tally_brick *brick)
{
        label(p, "brick", brick->name);
        label(p, "type", brick_type_to_string(brick->type));
}

static void labels_of_method(struct page *p, const struct tally_brick *brick, unsigned method)
{
        labels_of_brick(p, brick);
        label(p, "method", brick_method_to_string(method));
}

#define NO_METHOD STATS_METHODS

static void begin_histogram(struct page *p, const char *suffix, const struct tally_brick *brick,
                            unsigned method)
{
        begin(p, suffix);
        if (method == NO_METHOD)
                labels_of_brick(p, brick);
        else
                labels_of_method(p, brick, method);
}

/* Not before there is something in it: a brick has many. */
static void put_histogram(struct page *p, const struct tally_brick *brick, unsigned method,
                          const struct stats_histogram *h)
{
        uint64_t count = 0;
        char bound[32];

        if (stats_observed(h) == 0)
                return;

        for (size_t i = 0; i <= STATS_BUCKETS; i++) {
                count = stats_sum(count, stats_get(&h->buckets[i]));
                if (i < STATS_BUCKETS)
                        (void)snprintf(bound, sizeof bound, "%g",
                                       (double)stats_bounds[i] / (double)NSEC_PER_SEC);
                begin_histogram(p, "_bucket", brick, method);
                label(p, "le", i < STATS_BUCKETS ? bound : "+Inf");
                end(p, count);
        }
        begin_histogram(p, "_sum", brick, method);
        end_seconds(p, stats_get(&h->sum));
        begin_histogram(p, "_count", brick, method);
        end(p, count);
}

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

/* A good end is there from the beginning, so that the first one shows as an increase. */
static void put_requests_of(struct page *p, const struct tally_brick *brick, unsigned method)
{
        for (unsigned status = 0; status < STATS_STATUSES; status++)
                for (unsigned c = 0; c < STATS_CLASSES; c++) {
                        uint64_t n = stats_get(&brick->counters.methods[method].ended[status][c]);

                        if (n == 0 && (status > 0 || c != STATS_CLASS_GOOD))
                                continue;
                        begin(p, "");
                        labels_of_method(p, brick, method);
                        label(p, "code", grpc_status_to_string(status));
                        label(p, "error", stats_class_to_string(c));
                        end(p, n);
                }
}

static void put_requests(struct page *p)
{
        each_method(p, put_requests_of);
}

static void put_lost_of(struct page *p, const struct tally_brick *brick, unsigned method)
{
        begin(p, "");
        labels_of_method(p, brick, method);
        end(p, stats_get(&brick->lost[method]));
}

static void put_lost(struct page *p)
{
        each_method(p, put_lost_of);
}

static void put_durations_of(struct page *p, const struct tally_brick *brick, unsigned method)
{
        put_histogram(p, brick, method, &brick->counters.methods[method].duration);
}

static void put_durations(struct page *p)
{
        each_method(p, put_durations_of);
}

static void put_first_of(struct page *p, const struct tally_brick *brick, unsigned method)
{
        put_histogram(p, brick, method, &brick->counters.methods[method].first);
}

static void put_first(struct page *p)
{
        each_method(p, put_first_of);
}

static void put_gaps_of(struct page *p, const struct tally_brick *brick, unsigned method)
{
        put_histogram(p, brick, method, &brick->counters.methods[method].gap);
}

static void put_gaps(struct page *p)
{
        each_method(p, put_gaps_of);
}

/* One counter of each method. */
static void put_counter(struct page *p, size_t offset)
{
        for (size_t i = 0; i < p->tally->n_bricks; i++)
                for (unsigned m = 0; m < STATS_METHODS; m++) {
                        const struct tally_brick *brick = p->tally->bricks[i];
                        const char *method = (const char *)&brick->counters.methods[m];

                        if (!has_method(brick, m))
                                continue;
                        begin(p, "");
                        labels_of_method(p, brick, m);
                        end(p, stats_get((const stats_counter *)(const void *)(method + offset)));
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

static void put_identities(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_identities; i++) {
                const struct tally_identity *identity = &p->tally->identities[i];

                if (i == 0 && identity->requests == 0)
                        continue; /* all have found a place */
                begin(p, "");
                label(p, "identity", identity->name);
                end(p, identity->requests);
        }
}

/* --- bricks ----------------------------------------------------------------------------------- */

static void put_in_flight(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_bricks; i++)
                if (p->tally->bricks[i]->live) {
                        begin(p, "");
                        labels_of_brick(p, p->tally->bricks[i]);
                        end(p, p->tally->bricks[i]->in_flight);
                }
}

static void put_queued(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_bricks; i++)
                if (p->tally->bricks[i]->live) {
                        begin(p, "");
                        labels_of_brick(p, p->tally->bricks[i]);
                        end(p, p->tally->bricks[i]->queued);
                }
}

static void put_healthy(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_bricks; i++) {
                const struct tally_brick *brick = p->tally->bricks[i];

                if (brick->healthy + brick->sick == 0)
                        continue;
                begin(p, "");
                labels_of_brick(p, brick);
                end(p, brick->sick == 0);
        }
}

static void put_queue_wait(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_bricks; i++)
                put_histogram(p, p->tally->bricks[i], NO_METHOD,
                              &p->tally->bricks[i]->counters.queue_wait);
}

static void put_inner_result(struct page *p, const struct tally_brick *brick, const char *result,
                             uint64_t n)
{
        begin(p, "");
        labels_of_brick(p, brick);
        label(p, "result", result);
        end(p, n);
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

/* --- ports ------------------------------------------------------------------------------------ */

static void put_unrouted(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_ports; i++)
                for (unsigned status = 1; status < STATS_STATUSES; status++) {
                        const struct tally_port *port = p->tally->ports[i];
                        uint64_t n = stats_get(&port->counters.unrouted[status]);

                        if (n == 0)
                                continue;
                        begin(p, "");
                        label(p, "port", port->listen);
                        label(p, "code", grpc_status_to_string(status));
                        end(p, n);
                }
}

static void put_rejected(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_ports; i++)
                for (unsigned reason = 0; reason < STATS_REASONS; reason++) {
                        begin(p, "");
                        label(p, "port", p->tally->ports[i]->listen);
                        label(p, "reason", stats_reason_to_string(reason));
                        end(p, stats_get(&p->tally->ports[i]->counters.rejected[reason]));
                }
}

static void put_connections(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_ports; i++)
                if (p->tally->ports[i]->live) {
                        begin(p, "");
                        label(p, "port", p->tally->ports[i]->listen);
                        end(p, p->tally->ports[i]->connections);
                }
}

static void put_accepted(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_ports; i++) {
                begin(p, "");
                label(p, "port", p->tally->ports[i]->listen);
                end(p, stats_get(&p->tally->ports[i]->counters.accepted));
        }
}

static void put_certificates(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_ports; i++)
                if (p->tally->ports[i]->certificate_ends > 0) {
                        begin(p, "");
                        label(p, "port", p->tally->ports[i]->listen);
                        end(p, p->tally->ports[i]->certificate_ends);
                }
}

static void put_builtin(struct page *p)
{
        for (unsigned m = 0; m < STATS_BUILTIN_METHODS; m++)
                for (unsigned status = 0; status < STATS_STATUSES; status++) {
                        uint64_t n = stats_get(&p->tally->builtin.calls[m][status]);

                        if (n == 0 && status > 0)
                                continue;
                        begin(p, "");
                        label(p, "method", stats_builtin_to_string(m));
                        label(p, "code", grpc_status_to_string(status));
                        end(p, n);
                }
}

static void put_builtin_open(struct page *p)
{
        for (unsigned m = 0; m < STATS_BUILTIN_METHODS; m++) {
                begin(p, "");
                label(p, "method", stats_builtin_to_string(m));
                end(p, p->tally->open[m]);
        }
}

/* --- workers ---------------------------------------------------------------------------------- */

static void put_workers(struct page *p)
{
        for (unsigned state = PROCESS_STARTING; state < PROCESS_EXITED; state++) {
                size_t n = 0;

                for (size_t i = 0; i < p->n_workers; i++)
                        n += p->workers[i].slot->process->state == state;
                begin(p, "");
                label(p, "state", process_state_to_string(state));
                end(p, n);
        }
}

static void put_restarts(struct page *p)
{
        value(p, p->tally->restarts);
}

static void begin_worker(struct page *p, const struct worker *worker)
{
        begin(p, "");
        label_number(p, "generation", worker->slot->workers->spawn.generation);
        label_number(p, "worker", worker->slot->index);
}

static void put_start(struct page *p)
{
        for (size_t i = 0; i < p->n_workers; i++) {
                const struct process *process = p->workers[i].slot->process;

                if (process->ready == 0)
                        continue;
                begin_worker(p, &p->workers[i]);
                end_seconds(p, process->ready - process->since);
        }
}

static void put_worker_resident(struct page *p)
{
        for (size_t i = 0; i < p->n_workers; i++) {
                if (!p->workers[i].known)
                        continue;
                begin_worker(p, &p->workers[i]);
                end(p, p->workers[i].proc.resident);
        }
}

static void put_worker_cpu(struct page *p)
{
        for (size_t i = 0; i < p->n_workers; i++) {
                if (!p->workers[i].known)
                        continue;
                begin_worker(p, &p->workers[i]);
                end_double(p, p->workers[i].proc.cpu);
        }
}

static void put_worker_fds(struct page *p)
{
        for (size_t i = 0; i < p->n_workers; i++) {
                if (!p->workers[i].known)
                        continue;
                begin_worker(p, &p->workers[i]);
                end(p, p->workers[i].proc.fds);
        }
}

/* --- the main process ------------------------------------------------------------------------- */

static void put_build(struct page *p)
{
        begin(p, "");
        label(p, "version", BRICKD_VERSION);
        end(p, 1);
}

static void put_generation(struct page *p)
{
        value(p, p->m->current ? p->m->current->number : 0);
}

static void put_reloads(struct page *p)
{
        begin(p, "");
        label(p, "result", "ok");
        end(p, p->m->reloads);
        begin(p, "");
        label(p, "result", "failed");
        end(p, p->m->reloads_failed);
}

static void put_reload_ok(struct page *p)
{
        value(p, p->m->verdict.generation == 0 || p->m->verdict.ok);
}

static void put_reload_time(struct page *p)
{
        if (p->m->verdict.generation > 0)
                value(p, (uint64_t)p->m->verdict.time);
}

static void put_log_dropped(struct page *p)
{
        value(p, p->tally->log_dropped + log_dropped());
}

static void put_cpu(struct page *p)
{
        begin(p, "");
        end_double(p, p->self.cpu);
}

static void put_resident(struct page *p)
{
        value(p, p->self.resident);
}

static void put_virtual(struct page *p)
{
        value(p, p->self.virtual);
}

static void put_fds(struct page *p)
{
        value(p, p->self.fds);
}

static void put_max_fds(struct page *p)
{
        struct rlimit files;

        if (getrlimit(RLIMIT_NOFILE, &files) == 0)
                value(p, files.rlim_cur);
}

static void put_start_time(struct page *p)
{
        value(p, (uint64_t)p->m->start_time);
}

/* --- the whole -------------------------------------------------------------------------------- */

static const struct {
        const char *name;
        const char *type;
        const char *help;
        void (*put)(struct page *p);
} families[] = {
        { "brickd_requests_total", "counter", "Calls that have ended.", put_requests },
        { "brickd_requests_lost_total", "counter", "Calls that were in a worker when it died.",
          put_lost },
        { "brickd_request_duration_seconds", "histogram", "From the arrival of a call to its end.",
          put_durations },
        { "brickd_first_message_seconds", "histogram",
          "From the arrival of a call to the first message of its stream.", put_first },
        { "brickd_message_gap_seconds", "histogram", "From one message of a stream to the next.",
          put_gaps },
        { "brickd_messages_received_total", "counter", "Request messages.", put_received },
        { "brickd_received_bytes_total", "counter", "Bytes of request messages.",
          put_received_bytes },
        { "brickd_messages_sent_total", "counter", "Reply messages.", put_sent },
        { "brickd_sent_bytes_total", "counter", "Bytes of reply messages.", put_sent_bytes },
        { "brickd_identity_requests_total", "counter", "Calls by who has made them.",
          put_identities },
        { "brickd_brick_in_flight", "gauge", "Calls that the brick holds.", put_in_flight },
        { "brickd_brick_queued", "gauge", "Calls that wait for the brick.", put_queued },
        { "brickd_brick_queue_wait_seconds", "histogram",
          "How long calls have waited for the brick, if they had to.", put_queue_wait },
        { "brickd_brick_healthy", "gauge", "Whether the brick says that it is healthy.",
          put_healthy },
        { "brickd_brick_inner_calls_total", "counter", "Calls by other bricks that have ended.",
          put_inner },
        { "brickd_unrouted_requests_total", "counter",
          "Calls that were refused before they had a brick.", put_unrouted },
        { "brickd_rejected_total", "counter", "Calls and connections that were refused.",
          put_rejected },
        { "brickd_connections", "gauge", "Open connections.", put_connections },
        { "brickd_connections_accepted_total", "counter", "Connections accepted.", put_accepted },
        { "brickd_certificate_expiry_timestamp_seconds", "gauge",
          "When the certificate that new connections get expires.", put_certificates },
        { "brickd_builtin_requests_total", "counter",
          "Health checks and reflection calls that have ended.", put_builtin },
        { "brickd_builtin_open", "gauge", "Health watches and reflection streams that are open.",
          put_builtin_open },
        { "brickd_workers", "gauge", "Worker processes.", put_workers },
        { "brickd_worker_restarts_total", "counter", "Workers started in place of one that died.",
          put_restarts },
        { "brickd_worker_start_seconds", "gauge", "What the worker took to become ready.",
          put_start },
        { "brickd_worker_resident_memory_bytes", "gauge", "Resident memory of the worker.",
          put_worker_resident },
        { "brickd_worker_cpu_seconds_total", "counter", "Processor time of the worker.",
          put_worker_cpu },
        { "brickd_worker_open_fds", "gauge", "Open descriptors of the worker.", put_worker_fds },
        { "brickd_generation", "gauge", "The generation of the configuration that serves.",
          put_generation },
        { "brickd_reloads_total", "counter", "Reloads of the configuration.", put_reloads },
        { "brickd_last_reload_successful", "gauge", "Whether the last reload succeeded.",
          put_reload_ok },
        { "brickd_last_reload_timestamp_seconds", "gauge", "When the last reload ended.",
          put_reload_time },
        { "brickd_log_lines_dropped_total", "counter",
          "Lines of the log that could not be written in time.", put_log_dropped },
        { "brickd_build_info", "gauge", "The version of brickd.", put_build },
        { "process_cpu_seconds_total", "counter", "Processor time of the main process.", put_cpu },
        { "process_resident_memory_bytes", "gauge", "Resident memory of the main process.",
          put_resident },
        { "process_virtual_memory_bytes", "gauge", "Virtual memory of the main process.",
          put_virtual },
        { "process_open_fds", "gauge", "Open descriptors of the main process.", put_fds },
        { "process_max_fds", "gauge", "Most descriptors that the main process may open.",
          put_max_fds },
        { "process_start_time_seconds", "gauge", "When the main process was started.",
          put_start_time },
};

static void add_workers(struct page *p, const struct generation *g)
{
        for (size_t i = 0; g && i < g->workers.n; i++) {
                const struct slot *slot = &g->workers.slots[i];
                struct worker *worker = &p->workers[p->n_workers];

                if (!slot->process)
                        continue;
                worker->slot = slot;
                worker->known = proc_read(&worker->proc, slot->process->pid) == 0;
                p->n_workers++;
        }
}

static size_t count_slots(const struct generation *g)
{
        return g ? g->workers.n : 0;
}

static int find_workers(struct page *p)
{
        size_t n = count_slots(p->m->current) + count_slots(p->m->next);

        for (const struct generation *g = p->m->old; g; g = g->next)
                n += g->workers.n;
        p->workers = calloc(n + 1, sizeof *p->workers);
        if (!p->workers)
                return -ENOMEM;
        add_workers(p, p->m->current);
        add_workers(p, p->m->next);
        for (const struct generation *g = p->m->old; g; g = g->next)
                add_workers(p, g);
        return 0;
}

static int add_to_tally(struct tally *tally, const struct generation *g, bool current)
{
        int r = 0;

        for (size_t i = 0; r == 0 && g && g->conf && i < g->workers.n; i++) {
                const struct process *process = g->workers.slots[i].process;

                if (process)
                        r = tally_add(tally, g->conf, process->stats,
                                      current && process->state == PROCESS_READY ? TALLY_SERVES
                                                                                 : TALLY_LIVE);
        }
        return r;
}

int manager_tally(const struct manager *m, struct tally **ret)
{
        _cleanup_(tally_freep) struct tally *tally = NULL;
        int r;

        r = tally_copy(&tally, m->tally);
        if (r == 0)
                r = add_to_tally(tally, m->current, true);
        if (r == 0)
                r = add_to_tally(tally, m->next, false);
        for (const struct generation *g = m->old; r == 0 && g; g = g->next)
                r = add_to_tally(tally, g, false);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(tally);
        return 0;
}

int manager_metrics(const struct manager *m, char **ret, size_t *ret_length)
{
        _cleanup_(tally_freep) struct tally *tally = NULL;
        _cleanup_free_ struct worker *workers = NULL;
        struct page p = { .m = m };
        int r;

        r = manager_tally(m, &tally);
        if (r < 0)
                return r;
        p.tally = tally;
        r = find_workers(&p);
        if (r < 0)
                return r;
        workers = p.workers;
        (void)proc_read(&p.self, getpid());
        p.f = open_memstream(ret, ret_length);
        if (!p.f)
                return -ENOMEM;
        (void)__fsetlocking(p.f, FSETLOCKING_BYCALLER); /* nobody else has it */
        for (size_t i = 0; i < ELEMENTSOF(families); i++) {
                p.name = families[i].name;
                (void)fprintf(p.f, "# HELP %s %s\n# TYPE %s %s\n", p.name, families[i].help, p.name,
                              families[i].type);
                families[i].put(&p);
        }
        return fclose(p.f) == 0 ? 0 : -ENOMEM;
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/log.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/diag.h"
#include "conf/names.h"
#include "conf/node.h"
#include "module/entry.h"
#include "module/instance.h"
#include "module/runner.h"
#include "rpc/builtin.h"
#include "rpc/certificate.h"
#include "rpc/connection.h"
#include "rpc/deadlines.h"
#include "rpc/decrypt.h"
#include "rpc/gather.h"
#include "rpc/goaway.h"
#include "rpc/inspect.h"
#include "rpc/linger.h"
#include "rpc/listen.h"
#include "rpc/memory.h"
#include "rpc/port.h"
#include "rpc/server.h"
#include "rpc/stall.h"
#include "rpc/tls.h"
#include "shared/balance.h"
#include "util/clock.h"
#include "util/log.h"

/* While stopping: so long without a call, and clients have read their last answers. */
#define LINGER_NS (250 * NSEC_PER_MSEC)

/* So long a reply may wait for others while calls are worked on. */
#define GATHER_NS (200 * NSEC_PER_USEC)

/* So long until a request is posted again for which there was no memory. */
#define RETRY_NS (100 * NSEC_PER_MSEC)

/* The core's version behind Debian's libgrpc29, for which the interposition in listen.c is known to
 * work. */
#define CORE_VERSION "29.0.0"

/*
 * absl::SetMutexDeadlockDetectionMode(). Debian's Abseil is built for debugging, and looks for
 * deadlocks whenever the core takes a lock: a tenth of a small call. Another Abseil has this by
 * another name, or no need of it.
 */
extern void set_deadlock_detection(int mode) __asm__(
        "_ZN4absl7debian329SetMutexDeadlockDetectionModeENS0_15OnDeadlockCycleE")
        __attribute__((weak));
#define DEADLOCKS_IGNORED 0

/* This thread handles the events. */
static _Thread_local bool polling;

bool rpc_is_polling(void)
{
        return polling;
}

/* --- the core's own lines ----------------------------------------------------------------------
 */

/* Bad clients can make the core log: so many lines a second, not more. */
#define CORE_LINES_PER_SECOND 10

static void core_log(gpr_log_func_args *args)
{
        static atomic_uint_fast64_t second;
        static atomic_uint lines;
        uint64_t now = clock_now() / NSEC_PER_SEC;

        if (atomic_exchange(&second, now) != now)
                atomic_store(&lines, 0);
        if (atomic_fetch_add(&lines, 1) >= CORE_LINES_PER_SECOND)
                return;
        log_fields(args->severity == GPR_LOG_SEVERITY_ERROR ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG,
                   NULL, 0, "gRPC: %s", args->message);
}

/* So often a line about clients that make calls wait. */
#define IDLE_INTERVAL_NS (10 * NSEC_PER_SEC)

void rpc_log_idle(struct rpc_call *call, const char *why)
{
        struct rpc *rpc = call->port->rpc;
        const struct instance *instance = call->base.instance;
        uint64_t now = clock_now();
        char others[64] = "";
        struct brick_str peer;

        if (rpc->idle_logged != 0 && now - rpc->idle_logged < IDLE_INTERVAL_NS) {
                rpc->idle_unlogged++;
                return;
        }
        if (rpc->idle_unlogged > 0)
                (void)snprintf(others, sizeof others, "; %u more since the last such line",
                               rpc->idle_unlogged);
        peer = call->base.transport->peer(&call->base);
        log_warning("Ended a call of %.*s (%s): %s%s", (int)peer.len, peer.ptr,
                    instance ? instance->conf->name : call->method->path, why, others);
        rpc->idle_logged = now;
        rpc->idle_unlogged = 0;
}

/* --- recycled calls ----------------------------------------------------------------------------
 */

/* More than are under way at most times; what a burst needed goes back to the system. */
#define CALLS_KEPT 1024

struct rpc_call *rpc_take_call(struct rpc *rpc)
{
        struct rpc_call *call;

        if (!rpc->free)
                rpc->free = atomic_exchange_explicit(&rpc->returned, NULL, memory_order_acquire);
        call = rpc->free;
        if (call) {
                rpc->free = call->next_free;
                (void)atomic_fetch_sub_explicit(&rpc->kept, 1, memory_order_relaxed);
        }
        return call;
}

void rpc_give_call(struct rpc *rpc, struct rpc_call *call)
{
        if (atomic_fetch_add_explicit(&rpc->kept, 1, memory_order_relaxed) >= CALLS_KEPT) {
                (void)atomic_fetch_sub_explicit(&rpc->kept, 1, memory_order_relaxed);
                rpc_call_destroy(call);
                return;
        }
        if (polling) {
                call->next_free = rpc->free;
                rpc->free = call;
                return;
        }
        call->next_free = atomic_load_explicit(&rpc->returned, memory_order_relaxed);
        while (!atomic_compare_exchange_weak_explicit(&rpc->returned, &call->next_free, call,
                                                      memory_order_release, memory_order_relaxed))
                ;
}

static void free_calls(struct rpc *rpc)
{
        struct rpc_call *call;

        while ((call = rpc_take_call(rpc)))
                rpc_call_destroy(call);
}

/* --- the polling thread --------------------------------------------------------------------------
 */

/* When there is something to do though nothing happens: a call's time is over, or what could not be
 * posted is to be tried again. */
static gpr_timespec next_look(const struct rpc *rpc)
{
        uint64_t ns;

        if (rpc->deadlines.n == 0 && rpc->unposted == 0)
                return gpr_inf_future(GPR_CLOCK_MONOTONIC);
        ns = deadlines_next(&rpc->deadlines);
        if (rpc->unposted > 0 && ns > clock_now() + RETRY_NS)
                ns = clock_now() + RETRY_NS;
        return (gpr_timespec){
                .tv_sec = (int64_t)(ns / NSEC_PER_SEC),
                .tv_nsec = (int32_t)(ns % NSEC_PER_SEC),
                .clock_type = GPR_CLOCK_MONOTONIC,
        };
}

static void on_wake(struct rpc_call *call, bool ok)
{
}

/* The polling thread has something to run. The core has no event of an application's own; an empty
 * batch of a call that goes nowhere is one. */
static void wake(void *user)
{
        static struct rpc_tag tag = { on_wake, NULL };
        struct rpc *rpc = user;

        (void)grpc_call_start_batch(rpc->waker, NULL, 0, &tag, NULL);
}

/* Waits for one event, handles it, and runs what is queued. False: the completion queue has been
 * shut down and is empty. */
static bool poll_once(struct rpc *rpc, gpr_timespec timeout)
{
        grpc_event event;

        /* With replies held back it only looks. The core's own wait would send them first, but not
           when another thread polls in its place. */
        if (runner_has_work(&runner_polling) || gather_held())
                timeout = gpr_time_0(GPR_CLOCK_MONOTONIC);
        gather_begin();
        event = grpc_completion_queue_next(rpc->queue, timeout, NULL);
        if (event.type == GRPC_OP_COMPLETE) {
                struct rpc_tag *tag = event.tag;

                tag->done(tag->call, event.success);
        } else {
                gather_flush();
        }
        if (runner_has_work(&runner_polling))
                runner_run(&runner_polling);
        gather_end();
        return event.type != GRPC_QUEUE_SHUTDOWN;
}

static void *poll_run(void *arg)
{
        struct rpc *rpc = arg;

        polling = true;
        runner_enter(wake, rpc);
        entry_watch_thread();
        entry_guard_stack();
        while (poll_once(rpc, next_look(rpc))) {
                if (rpc->deadlines.n > 0)
                        deadlines_expire(&rpc->deadlines);
                if (rpc->unposted > 0)
                        port_post_again(rpc);
        }
        runner_leave();
        gather_leave();
        return NULL;
}

/*
 * Unfinished requests may take half of it, and the client that has the most of them is closed then.
 * The core keeps to the whole: it reads less, takes no new connections, and at last ends whatever
 * connections it has.
 */
static void limit_memory(struct rpc *rpc)
{
        rpc->quota = grpc_resource_quota_create("worker");
        grpc_resource_quota_resize(rpc->quota, (size_t)rpc->conf->memory);
        inspect_limit((uint64_t)rpc->conf->memory / 2, connection_shed);
}

/* --- building ------------------------------------------------------------------------------------
 */

int rpc_new(struct rpc **ret, const struct conf *conf, const struct stats *stats, struct auth *auth,
            struct tracer *tracer, bool first)
{
        const grpc_completion_queue_attributes attributes = {
                GRPC_CQ_CURRENT_VERSION,
                GRPC_CQ_NEXT,
                GRPC_CQ_NON_LISTENING,
                NULL,
        };
        _cleanup_(rpc_freep) struct rpc *rpc = calloc(1, sizeof *rpc);
        int r;

        if (!rpc)
                return -ENOMEM;
        rpc->conf = conf;
        rpc->stats = stats;
        rpc->auth = auth;
        rpc->tracer = tracer;
        rpc->first = first;
        unread_init(&rpc->unread);
        stall_init(rpc);
        if (conf->gather_writes)
                gather_enable(GATHER_NS);
        gpr_set_log_function(core_log);
        gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
        if (strcmp(grpc_version_string(), CORE_VERSION) != 0)
                log_warning("libgrpc is version %s; brickd is made for %s", grpc_version_string(),
                            CORE_VERSION);
        if (set_deadlock_detection)
                set_deadlock_detection(DEADLOCKS_IGNORED);
        grpc_init();
        limit_memory(rpc);
        rpc->queue = grpc_completion_queue_create_for_next(NULL);
        rpc->shutdown_queue = grpc_completion_queue_create(
                grpc_completion_queue_factory_lookup(&attributes), &attributes, NULL);
        rpc->nowhere = grpc_lame_client_channel_create("", GRPC_STATUS_UNAVAILABLE, "");
        rpc->waker = grpc_channel_create_call(rpc->nowhere, NULL, GRPC_PROPAGATE_DEFAULTS,
                                              rpc->queue, grpc_slice_from_static_string("/"), NULL,
                                              gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        rpc->ports = calloc(conf->n_ports + 1, sizeof *rpc->ports);
        if (!rpc->ports || !decrypt_init())
                return -ENOMEM;
        r = builtin_new(&rpc->builtin, conf, stats, auth);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(rpc);
        return 0;
}

int rpc_start(struct rpc *rpc, struct balance *balance)
{
        int r;

        connection_share(balance);
        memory_look();
        for (size_t i = 0; i < rpc->n_ports; i++) {
                grpc_server_start(rpc->ports[i]->server);
                r = port_post_requests(rpc->ports[i]);
                if (r < 0)
                        return r;
        }
        r = builtin_start(rpc->builtin);
        if (r < 0)
                return r;
        r = -pthread_create(&rpc->thread, NULL, poll_run, rpc);
        if (r < 0)
                return r;
        rpc->running = true;
        balance_join(balance);
        return 0;
}

void rpc_look(struct rpc *rpc, bool accepts)
{
        uint64_t now = clock_now();

        connection_look(now);
        linger_look(now);
        memory_look();
        if (!atomic_load(&rpc->stopping))
                stall_look(rpc);
        if (!accepts)
                return;
        listen_look();
        for (size_t i = 0; i < rpc->n_ports; i++)
                if (rpc->ports[i]->tls)
                        tls_look(rpc->ports[i]->tls);
}

/* --- stopping ------------------------------------------------------------------------------------
 */

void rpc_retire(struct rpc *rpc)
{
        listen_pause();
        goaway_all();
        builtin_retire(rpc->builtin);
}

unsigned rpc_connections(const struct rpc *rpc)
{
        return listen_connections();
}

unsigned rpc_in_flight(const struct rpc *rpc)
{
        return atomic_load(&rpc->in_flight);
}

void rpc_leave(struct rpc *rpc)
{
        builtin_leave(rpc->builtin);
}

void rpc_stop(struct rpc *rpc)
{
        if (atomic_exchange(&rpc->stopping, true))
                return;
        builtin_stop(rpc->builtin);
        for (size_t i = 0; i < rpc->n_ports; i++)
                if (rpc->ports[i]->server)
                        grpc_server_shutdown_and_notify(rpc->ports[i]->server, rpc->shutdown_queue,
                                                        rpc->ports[i]);
}

void rpc_cancel(struct rpc *rpc)
{
        if (rpc->cancelled)
                return;
        rpc->cancelled = true;
        for (size_t i = 0; i < rpc->n_ports; i++)
                if (rpc->ports[i]->server)
                        grpc_server_cancel_all_calls(rpc->ports[i]->server);
        /* The core does not close a connection while it has something to write. */
        linger_disconnect();
}

/* The core waits seconds for peers that are idle or silent; brickd waits only for calls, its own
 * streams, which it has ended, and the last bytes of what it answered. */
static void cancel_if_idle(struct rpc *rpc)
{
        uint64_t now = clock_now();

        if (rpc_in_flight(rpc) > 0 || !builtin_idle(rpc->builtin) || gather_stalled() > 0)
                rpc->idle_since = 0;
        else if (rpc->idle_since == 0)
                rpc->idle_since = now;
        if (rpc->idle_since != 0 &&
            (now - rpc->idle_since >= LINGER_NS || rpc_connections(rpc) == 0))
                rpc_cancel(rpc);
}

bool rpc_step(struct rpc *rpc)
{
        const gpr_timespec now = gpr_time_0(GPR_CLOCK_MONOTONIC);
        grpc_event event;
        bool down = true;

        while ((event = grpc_completion_queue_next(rpc->shutdown_queue, now, NULL)).type ==
               GRPC_OP_COMPLETE)
                ((struct rpc_port *)event.tag)->down = true;
        cancel_if_idle(rpc);
        for (size_t i = 0; i < rpc->n_ports; i++)
                down = down && (rpc->ports[i]->down || !rpc->ports[i]->server);
        return down && atomic_load(&rpc->posted) == 0 && rpc_in_flight(rpc) == 0 &&
               builtin_idle(rpc->builtin);
}

/* Servers that never got their polling thread: the core still wants them shut down in order. */
static void stop_unpolled(struct rpc *rpc)
{
        polling = true;
        runner_enter(wake, rpc);
        rpc_stop(rpc);
        while (!rpc_step(rpc))
                (void)poll_once(rpc, gpr_time_from_millis(1, GPR_TIMESPAN));
        runner_leave();
        polling = false;
}

struct rpc *rpc_free(struct rpc *rpc)
{
        if (!rpc)
                return NULL;

        if (!rpc->running &&
            rpc->builtin) /* without it rpc_new() failed, and there are no servers */
                stop_unpolled(rpc);
        (void)builtin_free(rpc->builtin);
        grpc_call_unref(rpc->waker);
        grpc_channel_destroy(rpc->nowhere);
        grpc_completion_queue_shutdown(rpc->queue);
        if (rpc->running)
                (void)pthread_join(rpc->thread, NULL);
        grpc_completion_queue_shutdown(rpc->shutdown_queue);
        for (size_t i = 0; i < rpc->n_ports; i++)
                port_free(rpc->ports[i]);
        free_calls(rpc);
        grpc_completion_queue_destroy(rpc->queue);
        grpc_completion_queue_destroy(rpc->shutdown_queue);
        grpc_resource_quota_unref(rpc->quota);
        grpc_shutdown();
        unread_done(&rpc->unread);
        deadlines_done(&rpc->deadlines);
        free(rpc->ports);
        free(rpc);
        return NULL;
}

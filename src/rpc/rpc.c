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
#include "rpc/batch.h"
#include "rpc/builtin.h"
#include "rpc/close.h"
#include "rpc/connection.h"
#include "rpc/decrypt.h"
#include "rpc/gather.h"
#include "rpc/goaway.h"
#include "rpc/guest.h"
#include "rpc/inspect.h"
#include "rpc/linger.h"
#include "rpc/port.h"
#include "rpc/receive.h"
#include "rpc/server.h"
#include "serve/certificate.h"
#include "serve/deadlines.h"
#include "serve/listener.h"
#include "serve/memory.h"
#include "serve/peers.h"
#include "serve/tls.h"
#include "shared/balance.h"
#include "util/account.h"
#include "util/clock.h"
#include "util/log.h"

/* While draining: after so long without a call, clients have read their last replies. */
#define LINGER_NS (250 * NSEC_PER_MSEC)

/* How long a reply may be held back while the polling thread works. */
#define GATHER_NS (200 * NSEC_PER_USEC)

/* How long until brickd tries again to post a request for which there was no memory. */
#define RETRY_NS (100 * NSEC_PER_MSEC)

/* The part of `memory` for calls whose replies nobody has read yet. */
#define UNREAD_PART 4

/* The version of the core in Debian's libgrpc29, with which interpose.c is tested. */
#define CORE_VERSION "29.0.0"

/*
 * absl::SetMutexDeadlockDetectionMode(). Debian's Abseil is built for debugging, and checks for
 * deadlocks whenever the core takes a lock, which costs a tenth of a small call. Another build of
 * Abseil has another name for it, or does not check.
 */
extern void set_deadlock_detection(int mode) __asm__(
        "_ZN4absl7debian329SetMutexDeadlockDetectionModeENS0_15OnDeadlockCycleE")
        __attribute__((weak));
#define DEADLOCKS_IGNORED 0

/* --- the core's own lines ----------------------------------------------------------------------
 */

/* The most lines of the core's that are logged in a second: clients can cause them. */
#define CORE_LINES_PER_SECOND 10

static void core_log(gpr_log_func_args *args)
{
        static atomic_uint_fast64_t second;
        static atomic_uint lines;
        const struct peer_key *peer = receive_peer();
        uint64_t now = clock_now() / NSEC_PER_SEC;
        char name[PEERS_NAME_MAX], whose[256] = "";

        if (atomic_exchange(&second, now) != now)
                atomic_store(&lines, 0);
        if (atomic_fetch_add(&lines, 1) >= CORE_LINES_PER_SECOND)
                return;
        if (peer) {
                peers_describe(peer, name);
                (void)snprintf(whose, sizeof whose, ", of a connection of %s to %s", name,
                               peer->listener->conf->listen);
        }
        log_fields(args->severity == GPR_LOG_SEVERITY_ERROR ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG,
                   NULL, 0, "gRPC%s: %s", whose, args->message);
}

/* --- the polling thread --------------------------------------------------------------------------
 */

/* When the thread has to act even if no event comes: a call's deadline, or the next try to post a
 * request. */
static gpr_timespec next_deadline(const struct rpc *rpc)
{
        uint64_t ns;

        if (rpc->serve.deadlines.n == 0 && rpc->unposted == 0)
                return gpr_inf_future(GPR_CLOCK_MONOTONIC);
        ns = deadlines_next(&rpc->serve.deadlines);
        if (rpc->unposted > 0 && ns > clock_now() + RETRY_NS)
                ns = clock_now() + RETRY_NS;
        return (gpr_timespec){
                .tv_sec = (int64_t)(ns / NSEC_PER_SEC),
                .tv_nsec = (int32_t)(ns % NSEC_PER_SEC),
                .clock_type = GPR_CLOCK_MONOTONIC,
        };
}

static void on_bell(void *owner, bool ok)
{
}

/* Ends the polling thread's wait, because something is queued for it. [any] */
static void wake(void *user)
{
        static struct batch_tag tag = { on_bell, NULL };
        struct rpc *rpc = user;

        (void)batch_start(rpc->bell, NULL, 0, &tag);
}

/* Waits for one event, handles it, and runs what is queued. False: the completion queue is shut
 * down and empty. */
static bool poll_once(struct rpc *rpc, gpr_timespec timeout)
{
        grpc_event event;

        /* With replies held back it does not wait. The core's epoll_wait() would send them first,
         * but another thread may be polling instead. */
        if (runner_has_work(&runner_polling) || gather_held())
                timeout = gpr_time_0(GPR_CLOCK_MONOTONIC);
        gather_begin();
        event = grpc_completion_queue_next(rpc->queue, timeout, NULL);
        rpc->found_nothing = event.type != GRPC_OP_COMPLETE;
        if (event.type == GRPC_OP_COMPLETE) {
                batch_done(&event);
        } else {
                gather_flush();
        }
        if (runner_has_work(&runner_polling))
                runner_run(&runner_polling);
        gather_end();
        return event.type != GRPC_QUEUE_SHUTDOWN;
}

/* What has been read becomes calls by events of the completion queue, until there are none. */
static void run_catch_up(struct run_item *item)
{
        struct rpc *rpc = CONTAINER_OF(item, struct rpc, catch_up_item);

        if (rpc->found_nothing)
                atomic_store(&rpc->catch_up, CATCH_UP_DONE);
        else
                runner_post_last(&runner_polling, item);
}

static void *poll_run(void *arg)
{
        struct rpc *rpc = arg;

        runner_enter(wake, rpc);
        entry_watch_thread();
        entry_guard_thread();
        while (poll_once(rpc, next_deadline(rpc))) {
                if (rpc->serve.deadlines.n > 0)
                        deadlines_expire(&rpc->serve.deadlines);
                if (rpc->unposted > 0)
                        port_post_again(rpc);
        }
        runner_leave();
        gather_done();
        return NULL;
}

/*
 * `memory` of the configuration. Unfinished requests may take half of it: above that, the
 * connection that holds the most of them is closed. What calls hold, in requests and for bricks,
 * may take the other half: above that, calls are refused. The core enforces the whole for
 * connections: it reads less, accepts no new ones, and at last closes any.
 */
static void limit_memory(struct rpc *rpc)
{
        rpc->quota = grpc_resource_quota_create("worker");
        grpc_resource_quota_resize(rpc->quota, (size_t)rpc->serve.conf->memory);
        inspect_limit((uint64_t)rpc->serve.conf->memory / 2, connection_shed);
        account_limit((size_t)rpc->serve.conf->memory / 2);
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
        rpc->serve = (struct serve){
                .conf = conf,
                .stats = stats,
                .auth = auth,
                .tracer = tracer,
                .expire = rpc_expire,
        };
        stall_init(&rpc->serve.stalls, (size_t)conf->memory / UNREAD_PART);
        unread_init(&rpc->unread);
        unread_init(&rpc->requests);
        rpc->first = first;
        rpc->catch_up_item.run = run_catch_up;
        if (conf->gather_writes)
                gather_enable(GATHER_NS);
        gpr_set_log_function(core_log);
        gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
        if (strcmp(grpc_version_string(), CORE_VERSION) != 0)
                log_warning("libgrpc has version %s; brickd is tested with %s",
                            grpc_version_string(), CORE_VERSION);
        if (set_deadlock_detection)
                set_deadlock_detection(DEADLOCKS_IGNORED);
        guest_learn(grpc_init);
        limit_memory(rpc);
        rpc->queue = grpc_completion_queue_create_for_next(NULL);
        rpc->shutdown_queue = grpc_completion_queue_create(
                grpc_completion_queue_factory_lookup(&attributes), &attributes, NULL);
        rpc->bell = batch_bell_new(rpc->queue);
        rpc->ports = calloc(conf->n_ports + 1, sizeof *rpc->ports);
        if (!rpc->ports || !decrypt_init())
                return -ENOMEM;
        r = builtin_new(&rpc->builtin, conf, stats, auth);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(rpc);
        return 0;
}

struct grpc_completion_queue *rpc_queue(const struct rpc *rpc)
{
        return rpc->queue;
}

int rpc_set_guest(struct rpc *rpc, const struct guest *guest)
{
        return guest_set(guest, wake, rpc);
}

int rpc_start(struct rpc *rpc, struct balance *balance)
{
        int r;

        peers_share(balance);
        memory_maintain();
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

void rpc_maintain(struct rpc *rpc, bool accepts)
{
        uint64_t now = clock_now();

        connection_maintain(now);
        linger_maintain(now);
        memory_maintain();
        if (!atomic_load(&rpc->draining)) {
                stall_maintain(&rpc->serve.stalls);
                builtin_maintain(rpc->builtin);
        }
        if (!accepts)
                return;
        listeners_maintain();
        for (size_t i = 0; i < rpc->n_ports; i++)
                if (rpc->ports[i]->tls)
                        tls_maintain(rpc->ports[i]->tls);
}

/* --- stopping ------------------------------------------------------------------------------------
 */

void rpc_goaway(struct rpc *rpc)
{
        goaway_all();
        builtin_end_watches(rpc->builtin);
}

bool rpc_has_caught_up(struct rpc *rpc)
{
        enum catch_up catch_up = atomic_load(&rpc->catch_up);

        if (catch_up == CATCH_UP_POSTED)
                return false;
        if (connection_any_unread()) {
                atomic_store(&rpc->catch_up, CATCH_UP_NONE);
                return false;
        }
        if (catch_up == CATCH_UP_DONE)
                return true;
        atomic_store(&rpc->catch_up, CATCH_UP_POSTED);
        runner_post(&runner_polling, &rpc->catch_up_item);
        return false;
}

unsigned rpc_connections(const struct rpc *rpc)
{
        return peers_count();
}

unsigned rpc_in_flight(const struct rpc *rpc)
{
        return atomic_load(&rpc->in_flight);
}

void rpc_lame_duck(struct rpc *rpc)
{
        builtin_lame_duck(rpc->builtin);
}

void rpc_drain(struct rpc *rpc)
{
        if (atomic_exchange(&rpc->draining, true))
                return;
        builtin_drain(rpc->builtin);
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
        atomic_store(&rpc->serve.cancelling, true);
        for (size_t i = 0; i < rpc->n_ports; i++)
                if (rpc->ports[i]->server)
                        grpc_server_cancel_all_calls(rpc->ports[i]->server);
        /* The core would not close a connection while it has something to write. */
        linger_disconnect();
}

/* The core would wait seconds for idle or silent peers. brickd waits only for calls, for its own
 * streams, which it has ended, and for the last bytes of their replies. */
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

/* Shuts down servers that never got their polling thread: the core demands it. */
static void stop_unpolled(struct rpc *rpc)
{
        runner_enter(wake, rpc);
        rpc_drain(rpc);
        while (!rpc_step(rpc))
                (void)poll_once(rpc, gpr_time_from_millis(1, GPR_TIMESPAN));
        runner_leave();
}

void rpc_set_explain_key(struct rpc *rpc, const struct explain_key *key)
{
        explain_key_print(key, rpc->explain_key);
}

struct rpc *rpc_free(struct rpc *rpc)
{
        if (!rpc)
                return NULL;

        if (!rpc->running &&
            rpc->builtin) /* without it rpc_new() failed, and there are no servers */
                stop_unpolled(rpc);
        (void)builtin_free(rpc->builtin);
        grpc_call_unref(rpc->bell);
        grpc_completion_queue_shutdown(rpc->queue);
        if (rpc->running)
                (void)pthread_join(rpc->thread, NULL);
        grpc_completion_queue_shutdown(rpc->shutdown_queue);
        for (size_t i = 0; i < rpc->n_ports; i++)
                port_free(rpc->ports[i]);
        rpc_free_calls(rpc);
        grpc_completion_queue_destroy(rpc->queue);
        grpc_completion_queue_destroy(rpc->shutdown_queue);
        grpc_resource_quota_unref(rpc->quota);
        unread_done(&rpc->unread);
        unread_done(&rpc->requests);
        deadlines_done(&rpc->serve.deadlines);
        free(rpc->ports);
        free(rpc);
        return NULL;
}

void rpc_shutdown(void)
{
        if (grpc_is_initialized())
                grpc_shutdown();
}

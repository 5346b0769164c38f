/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/log.h>
#include <stdlib.h>
#include <string.h>

#include "conf/diag.h"
#include "conf/names.h"
#include "conf/node.h"
#include "module/entry.h"
#include "module/instance.h"
#include "rpc/builtin.h"
#include "rpc/certificate.h"
#include "rpc/connection.h"
#include "rpc/decrypt.h"
#include "rpc/gather.h"
#include "rpc/goaway.h"
#include "rpc/inspect.h"
#include "rpc/linger.h"
#include "rpc/listen.h"
#include "rpc/memory.h"
#include "rpc/server.h"
#include "rpc/tls.h"
#include "shared/balance.h"
#include "util/clock.h"
#include "util/log.h"

/*
 * Requests that wait for calls. This libgrpc looks through all of them at every event, so few; what
 * comes in a burst waits in the core until the next is posted, which is the first thing that
 * happens with a new call.
 */
#define POSTED_HOT 4 /* Unary, OutputStreaming: 32 would cost a message of a stream 15 % */
#define POSTED_COLD 2

/* While stopping: so long without a call, and clients have read their last answers. */
#define LINGER_NS (250 * NSEC_PER_MSEC)

/* So long a reply may wait for others while calls are worked on. */
#define GATHER_NS (200 * NSEC_PER_USEC)

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

/* --- timeouts: a binary heap, entries count from 1 ----------------------------------------------
 */

static void heap_set(struct rpc *rpc, size_t i, struct rpc_call *call)
{
        rpc->timeouts[i] = call;
        call->timeout_index = i;
}

static void heap_up(struct rpc *rpc, size_t i)
{
        struct rpc_call *call = rpc->timeouts[i];

        for (; i > 1 && rpc->timeouts[i / 2]->base.deadline > call->base.deadline; i /= 2)
                heap_set(rpc, i, rpc->timeouts[i / 2]);
        heap_set(rpc, i, call);
}

static void heap_down(struct rpc *rpc, size_t i)
{
        struct rpc_call *call = rpc->timeouts[i];
        size_t child;

        while ((child = 2 * i) <= rpc->n_timeouts) {
                if (child < rpc->n_timeouts &&
                    rpc->timeouts[child + 1]->base.deadline < rpc->timeouts[child]->base.deadline)
                        child++;
                if (rpc->timeouts[child]->base.deadline >= call->base.deadline)
                        break;
                heap_set(rpc, i, rpc->timeouts[child]);
                i = child;
        }
        heap_set(rpc, i, call);
}

void rpc_timeout_add(struct rpc *rpc, struct rpc_call *call)
{
        if (rpc->n_timeouts + 1 >= rpc->timeouts_size) {
                size_t size = rpc->timeouts_size > 0 ? rpc->timeouts_size * 2 : 64;
                struct rpc_call **timeouts = reallocarray(rpc->timeouts, size, sizeof *timeouts);

                if (!timeouts) {
                        log_error("Out of memory: a call runs without its timeout");
                        return;
                }
                rpc->timeouts = timeouts;
                rpc->timeouts_size = size;
        }
        heap_set(rpc, ++rpc->n_timeouts, call);
        heap_up(rpc, rpc->n_timeouts);
}

void rpc_timeout_remove(struct rpc *rpc, struct rpc_call *call)
{
        size_t i = call->timeout_index;
        struct rpc_call *last;

        if (i == 0)
                return;
        call->timeout_index = 0;
        last = rpc->timeouts[rpc->n_timeouts--];
        if (last == call)
                return;
        heap_set(rpc, i, last);
        heap_up(rpc, i);
        heap_down(rpc, last->timeout_index);
}

static void expire_calls(struct rpc *rpc)
{
        uint64_t now;

        if (rpc->n_timeouts == 0)
                return;
        now = clock_now();
        while (rpc->n_timeouts > 0 && rpc->timeouts[1]->base.deadline <= now) {
                struct rpc_call *call = rpc->timeouts[1];

                rpc_timeout_remove(rpc, call);
                rpc_call_expire(call);
        }
}

/* --- the polling thread --------------------------------------------------------------------------
 */

static gpr_timespec next_timeout(const struct rpc *rpc)
{
        uint64_t ns;

        if (rpc->n_timeouts == 0)
                return gpr_inf_future(GPR_CLOCK_MONOTONIC);
        ns = rpc->timeouts[1]->base.deadline;
        return (gpr_timespec){
                .tv_sec = (int64_t)(ns / NSEC_PER_SEC),
                .tv_nsec = (int32_t)(ns % NSEC_PER_SEC),
                .clock_type = GPR_CLOCK_MONOTONIC,
        };
}

/* Waits for one event and handles it. False: the queue has been shut down and is empty. */
static bool poll_once(struct rpc *rpc, gpr_timespec timeout)
{
        grpc_event event;

        /* With replies held back it only looks. The core's own wait would send them first, but not
           when another thread polls in its place. */
        if (gather_held())
                timeout = gpr_time_0(GPR_CLOCK_MONOTONIC);
        gather_begin();
        event = grpc_completion_queue_next(rpc->queue, timeout, NULL);
        if (event.type == GRPC_OP_COMPLETE) {
                struct rpc_tag *tag = event.tag;

                tag->done(tag->call, event.success);
        } else {
                gather_flush();
        }
        gather_end();
        return event.type != GRPC_QUEUE_SHUTDOWN;
}

static void *poll_run(void *arg)
{
        struct rpc *rpc = arg;

        polling = true;
        entry_watch_thread();
        entry_guard_stack();
        while (poll_once(rpc, next_timeout(rpc)))
                expire_calls(rpc);
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
        rpc->ports = calloc(conf->n_ports + 1, sizeof *rpc->ports);
        if (!rpc->ports || !decrypt_init())
                return -ENOMEM;
        r = builtin_new(&rpc->builtin, conf, stats, auth);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(rpc);
        return 0;
}

static grpc_arg int_arg(const char *key, int64_t value)
{
        return (grpc_arg){
                .type = GRPC_ARG_INTEGER,
                .key = (char *)key,
                .value.integer = value > INT32_MAX ? INT32_MAX : (int)value,
        };
}

/* Of a duration in ns; 0 is no limit. */
static grpc_arg ms_arg(const char *key, int64_t ns)
{
        return int_arg(key, ns > 0 ? (ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC : INT32_MAX);
}

static grpc_server *server_new(struct rpc *rpc, const struct conf_port *conf)
{
        grpc_arg args[] = {
                {
                        .type = GRPC_ARG_POINTER,
                        .key = (char *)GRPC_ARG_RESOURCE_QUOTA,
                        .value.pointer = { rpc->quota, grpc_resource_quota_arg_vtable() },
                },
                /* The main process owns the address; the core shall not look for others. */
                int_arg(GRPC_ARG_ALLOW_REUSEPORT, 0),
                int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, conf->max_request),
                int_arg(GRPC_ARG_MAX_METADATA_SIZE, conf->max_metadata),
                int_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, conf->max_streams),
                /* The core inflates before it looks at the size: 4 MiB of gzip can be 4 GiB. */
                int_arg(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET,
                        1 << GRPC_COMPRESS_NONE | conf->gzip << GRPC_COMPRESS_GZIP),
                int_arg(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0),
                /* 10 % of a small call's time, for counters that brickd has of its own. */
                int_arg(GRPC_ARG_ENABLE_CHANNELZ, 0),
                /* As fast with the write hint as 64 KiB, and a stalled stream costs 19 KiB, not
                   124. */
                int_arg(GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, 4096),
                ms_arg(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, conf->handshake),
                ms_arg(GRPC_ARG_MAX_CONNECTION_IDLE_MS, conf->idle),
                ms_arg(GRPC_ARG_MAX_CONNECTION_AGE_MS, conf->age),
                ms_arg(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, conf->age_grace),
                ms_arg(GRPC_ARG_KEEPALIVE_TIME_MS, conf->keepalive_time),
                ms_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, conf->keepalive_timeout),
                int_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
                int_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                        conf->client_ping_interval / NSEC_PER_MSEC),
        };
        const grpc_channel_args channel_args = { ELEMENTSOF(args), args };

        return grpc_server_create(&channel_args, NULL);
}

static void success_bytes(char *p, uint32_t error_field)
{
        const char bytes[] = { (char)(error_field << 3 | 2), 0x03, 0x08, (char)0xc8, 0x01 };

        memcpy(p, bytes, sizeof bytes);
}

/* As llmbrick's Python library says it. */
#define DECODE_ERROR "Unexpected <class 'google.protobuf.message.DecodeError'>: "

static void add_method(struct rpc_port *port, const struct route *route, uint32_t number)
{
        const struct service *service = route->service;
        struct rpc_method *method = &port->methods[port->n_methods++];

        method->port = port;
        method->route = route;
        method->method = number;
        method->request = service_request(service, number);
        method->reply = service_reply(service, number);
        method->error_field = service_error_field(service, number);
        success_bytes(method->success, method->error_field);
        (void)snprintf(method->request_error, sizeof method->request_error,
                       DECODE_ERROR "Error parsing message with type '%s'", method->request->name);
        method->parse_error = method->request_error + strlen(DECODE_ERROR);
        (void)snprintf(method->path, sizeof method->path, "/%s/%s", service->name,
                       brick_method_to_string(number));
        if (port->server)
                method->handle = grpc_server_register_method(
                        port->server, method->path, NULL,
                        rpc_method_has_payload(method) ? GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER
                                                       : GRPC_SRM_PAYLOAD_NONE,
                        0);
}

static void show_methods(const struct route *route)
{
        for (size_t i = 0; i < route->n_bricks; i++)
                atomic_store(&route->bricks[i]->stats->methods,
                             route->bricks[i]->brick->methods & route->service->methods);
}

static int add_services(struct rpc_port *port, struct instance **instances, struct diag *diag)
{
        int r = 0;

        for (unsigned type = BRICK_TYPE_COMMON; type <= BRICK_TYPE_TRANSLATE; type++) {
                struct route *route = &port->routes[type - BRICK_TYPE_COMMON];
                int e = route_init(route, service_of_type(type), port->conf, instances, diag);

                if (e < 0)
                        r = e;
                show_methods(route);
                for (uint32_t m = 0; route->n_bricks > 0 && m <= BRICK_METHOD_BIDI_STREAMING; m++)
                        if (route->service->methods & (1u << m))
                                add_method(port, route, m);
        }
        return r;
}

static int listen_on(struct rpc_port *port, int fd)
{
        grpc_server_credentials *credentials = port->tls
                                                       ? tls_credentials(port->tls)
                                                       : grpc_insecure_server_credentials_create();
        int bound;

        listen_adopt(fd, port->conf, port->stats);
        bound = grpc_server_add_http2_port(port->server, LISTEN_PLACEHOLDER, credentials);
        listen_adopt(-1, NULL, NULL);
        grpc_server_credentials_release(credentials);
        return bound > 0 ? 0 : -EADDRNOTAVAIL;
}

int rpc_add_port(struct rpc *rpc, const struct conf_port *conf, int fd, struct instance **instances,
                 struct diag *diag)
{
        struct rpc_port *port = calloc(1, sizeof *port);
        int r;

        if (!port)
                return -ENOMEM;
        rpc->ports[rpc->n_ports++] = port;
        port->rpc = rpc;
        port->conf = conf;
        port->stats = &rpc->stats->ports[conf - rpc->conf->ports];
        if (fd >= 0) {
                port->server = server_new(rpc, conf);
                grpc_server_register_completion_queue(port->server, rpc->queue, NULL);
                grpc_server_register_completion_queue(port->server, rpc->shutdown_queue, NULL);
        }
        r = add_services(port, instances, diag);
        if (conf->tls.node) {
                int e = tls_new(&port->tls, rpc->conf, &conf->tls, port->stats, rpc->first, diag);

                r = r < 0 ? r : e;
        }
        if (r == 0)
                r = builtin_add_port(rpc->builtin, port);
        if (r < 0 || fd < 0)
                return r;
        r = listen_on(port, fd);
        if (r < 0)
                diag_add(diag, conf->node, "gRPC cannot serve on the socket of %s", conf->listen);
        return r;
}

void rpc_look_for_mistakes(const struct conf *conf, struct diag *diag)
{
        for (size_t i = 0; i < conf->n_ports; i++) {
                _cleanup_(certificate_freep) struct certificate *certificate = NULL;

                if (conf->ports[i].tls.node)
                        (void)certificate_read(&certificate, &conf->ports[i].tls, conf->base, diag);
        }
}

static bool is_hot(uint32_t method)
{
        return method == BRICK_METHOD_UNARY || method == BRICK_METHOD_OUTPUT_STREAMING;
}

static int post_requests(struct rpc_port *port)
{
        int r = 0;

        for (size_t i = 0; i < port->n_methods; i++)
                for (int k = is_hot(port->methods[i].method) ? POSTED_HOT : POSTED_COLD;
                     r == 0 && k > 0; k--)
                        r = rpc_call_post(port, &port->methods[i]);
        for (int k = 0; r == 0 && k < POSTED_COLD; k++)
                r = rpc_call_post(port, NULL);
        return r;
}

int rpc_start(struct rpc *rpc, struct balance *balance)
{
        int r;

        connection_share(balance);
        memory_look();
        for (size_t i = 0; i < rpc->n_ports; i++) {
                grpc_server_start(rpc->ports[i]->server);
                r = post_requests(rpc->ports[i]);
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

/* The core waits seconds for peers that are idle or silent; brickd waits only for calls, and for
 * the last bytes of their replies. */
static void cancel_if_idle(struct rpc *rpc)
{
        uint64_t now = clock_now();

        if (rpc_in_flight(rpc) > 0 || gather_stalled() > 0)
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
        rpc_stop(rpc);
        while (!rpc_step(rpc))
                (void)poll_once(rpc, gpr_time_from_millis(1, GPR_TIMESPAN));
        polling = false;
}

static void port_free(struct rpc_port *port)
{
        if (port->server)
                grpc_server_destroy(port->server);
        (void)tls_free(port->tls);
        for (size_t i = 0; i < RPC_SERVICES; i++)
                route_done(&port->routes[i]);
        free(port);
}

struct rpc *rpc_free(struct rpc *rpc)
{
        if (!rpc)
                return NULL;

        if (!rpc->running &&
            rpc->builtin) /* without it rpc_new() failed, and there are no servers */
                stop_unpolled(rpc);
        (void)builtin_free(rpc->builtin);
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
        free(rpc->timeouts);
        free(rpc->ports);
        free(rpc);
        return NULL;
}

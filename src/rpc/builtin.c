/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "rpc/builtin.h"
#include "rpc/descriptors.h"
#include "rpc/receive.h"
#include "rpc/reflection.h"
#include "rpc/server.h"
#include "util/clock.h"

/* Requests that are posted at a time, for each method. */
#define POSTED 4

/* The thread is behind after so many events in a row. */
#define EVENTS_BEHIND 256

/* The part of `memory` for calls whose replies nobody has read yet, and what one of them takes;
 * measured. */
#define UNREAD_PART 32
#define UNREAD_CALL (12 * 1024)

/* --- the thread ------------------------------------------------------------------------------- */

/* The health of a brick has changed, or the worker's stage, or a second has passed. */
static void on_bell(void *owner, bool ok)
{
        struct builtin *builtin = owner;
        struct builtin_call *call, *next;
        uint64_t now = clock_now();
        bool replaced;

        atomic_store(&builtin->rung, false);
        replaced = atomic_exchange(&builtin->replaced, false);
        for (call = builtin->open; call; call = next) {
                const struct builtin_method *method = call->slot->method;

                next = call->next;
                builtin_end_if_stalled(call, now);
                if (!method->stream)
                        continue;
                if (method->changed && !call->writing && !call->finished)
                        method->changed(call);
                if (method->changed && replaced)
                        builtin_finish(call, GRPC_STATUS_UNAVAILABLE,
                                       atomic_load(&builtin->lame_duck) ? "The server is stopping"
                                                                        : "The server is reloaded");
                builtin_end_if_draining(call);
                builtin_proceed(call);
        }
}

/* [any] */
static void ring(void *user)
{
        struct builtin *builtin = user;

        if (!atomic_exchange(&builtin->rung, true))
                (void)batch_start(builtin->bell, NULL, 0, &builtin->on_bell);
}

/* The next event. The core queues, without a limit, the calls that this thread has not taken yet.
 * So if there have been many events in a row, fewer calls are read, until there are none. */
static grpc_event next_event(struct builtin *builtin)
{
        grpc_event event = grpc_completion_queue_next(builtin->queue,
                                                      gpr_inf_past(GPR_CLOCK_MONOTONIC), NULL);

        if (event.type != GRPC_QUEUE_TIMEOUT) {
                if (++builtin->in_a_row == EVENTS_BEHIND)
                        receive_hold();
                return event;
        }
        builtin->in_a_row = 0;
        receive_release();
        return grpc_completion_queue_next(builtin->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC),
                                          NULL);
}

static void *run(void *arg)
{
        struct builtin *builtin = arg;
        grpc_event event;

        for (;;) {
                event = next_event(builtin);
                if (event.type == GRPC_QUEUE_SHUTDOWN)
                        return NULL;
                if (event.type == GRPC_OP_COMPLETE)
                        batch_done(&event);
        }
}

/* --- building --------------------------------------------------------------------------------- */

int builtin_new(struct builtin **ret, const struct conf *conf, const struct stats *stats,
                struct auth *auth)
{
        const grpc_completion_queue_attributes attributes = {
                GRPC_CQ_CURRENT_VERSION,
                GRPC_CQ_NEXT,
                GRPC_CQ_NON_POLLING,
                NULL,
        };
        _cleanup_(builtin_freep) struct builtin *builtin = calloc(1, sizeof *builtin);
        int r;

        if (!builtin)
                return -ENOMEM;
        builtin->conf = conf;
        builtin->stats = stats->head;
        builtin->auth = auth;
        builtin->unread_max = (unsigned)(conf->memory / UNREAD_PART / UNREAD_CALL);
        builtin->queue = grpc_completion_queue_create(
                grpc_completion_queue_factory_lookup(&attributes), &attributes, NULL);
        builtin->bell = batch_bell_new(builtin->queue);
        builtin->on_bell = (struct batch_tag){ on_bell, builtin };
        r = descriptors_new(&builtin->descriptors);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(builtin);
        return 0;
}

/* max: how many streams of it may be open. */
static void add_method(struct builtin_port *port, const struct builtin_method *method, unsigned max,
                       bool authenticate)
{
        struct builtin_slot *slot = &port->slots[port->n_slots++];

        slot->method = method;
        slot->port = port;
        slot->max = max;
        share_init(&slot->share, 0);
        slot->authenticate = authenticate;
        if (port->server)
                slot->handle = grpc_server_register_method(
                        port->server, method->path, NULL,
                        method->request_stream ? GRPC_SRM_PAYLOAD_NONE
                                               : GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER,
                        0);
}

static void add_services(struct builtin_port *port, const struct rpc_port *rpc_port)
{
        const struct conf_port *conf = rpc_port->base.conf;
        bool all = conf->authenticate == AUTHENTICATE_ALL;
        bool calls = conf->authenticate != AUTHENTICATE_OFF;

        for (size_t i = 0; i < SERVE_SERVICES; i++)
                if (rpc_port->base.routes[i].n_bricks > 0)
                        port->services[port->n_services++] = rpc_port->base.routes[i].service->name;
        if (conf->health) {
                port->services[port->n_services++] = HEALTH_SERVICE;
                add_method(port, &health_check, 0, all);
                add_method(port, &health_watch, (unsigned)conf->max_watches, all);
        }
        if (conf->reflection) {
                port->services[port->n_services++] = REFLECTION_SERVICE;
                port->services[port->n_services++] = REFLECTION_ALPHA_SERVICE;
                add_method(port, &reflection_v1, REFLECTION_STREAMS_MAX, calls);
                add_method(port, &reflection_v1alpha, REFLECTION_STREAMS_MAX, calls);
        }
}

int builtin_add_port(struct builtin *builtin, const struct rpc_port *rpc_port)
{
        struct builtin_port *port = calloc(1, sizeof *port);

        if (!port)
                return -ENOMEM;
        port->next = builtin->ports;
        builtin->ports = port;
        port->builtin = builtin;
        port->conf = rpc_port->base.conf;
        port->server = rpc_port->server;
        port->stats = rpc_port->base.stats;
        if (port->server)
                grpc_server_register_completion_queue(port->server, builtin->queue, NULL);
        add_services(port, rpc_port);
        return health_names_init(&port->names, rpc_port);
}

static int post_requests(struct builtin_port *port)
{
        int r = 0;

        for (size_t i = 0; i < port->n_slots; i++)
                for (int k = 0; r == 0 && k < POSTED; k++)
                        r = builtin_post(&port->slots[i]);
        return r;
}

int builtin_start(struct builtin *builtin)
{
        int r;

        for (struct builtin_port *port = builtin->ports; port; port = port->next) {
                health_names_listen(&port->names, ring, builtin);
                r = post_requests(port);
                if (r < 0)
                        return r;
        }
        r = -pthread_create(&builtin->thread, NULL, run, builtin);
        builtin->running = r == 0;
        return r;
}

void builtin_end_watches(struct builtin *builtin)
{
        atomic_store(&builtin->replaced, true);
        ring(builtin);
}

void builtin_maintain(struct builtin *builtin)
{
        ring(builtin);
}

void builtin_lame_duck(struct builtin *builtin)
{
        atomic_store(&builtin->lame_duck, true);
        ring(builtin);
}

void builtin_drain(struct builtin *builtin)
{
        atomic_store(&builtin->draining, true);
        builtin_lame_duck(builtin);
}

bool builtin_idle(const struct builtin *builtin)
{
        return atomic_load(&builtin->calls) == 0;
}

struct builtin *builtin_free(struct builtin *builtin)
{
        struct builtin_port *port;

        if (!builtin)
                return NULL;

        for (port = builtin->ports; port; port = port->next)
                health_names_listen(&port->names, NULL, NULL);
        grpc_completion_queue_shutdown(builtin->queue);
        if (builtin->running)
                (void)pthread_join(builtin->thread, NULL);
        else
                (void)run(builtin);
        grpc_call_unref(builtin->bell);
        grpc_completion_queue_destroy(builtin->queue);
        while ((port = builtin->ports)) {
                builtin->ports = port->next;
                health_names_done(&port->names);
                free(port);
        }
        (void)descriptors_free(builtin->descriptors);
        free(builtin);
        return NULL;
}

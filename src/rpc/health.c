/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "health.pb-c.h"
#include "module/instance.h"
#include "rpc/builtin.h"
#include "rpc/health.h"
#include "rpc/server.h"

typedef Grpc__Health__V1__HealthCheckRequest Request;
typedef Grpc__Health__V1__HealthCheckResponse Response;

#define STATUS(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

/* --- names ------------------------------------------------------------------------------------ */

static size_t count_names(const struct rpc_port *port)
{
        size_t n = 1;

        for (size_t i = 0; i < SERVE_SERVICES; i++)
                if (port->base.routes[i].n_bricks > 0)
                        n += 1 + port->base.routes[i].n_bricks;
        return n;
}

int health_names_init(struct health_names *names, const struct rpc_port *port)
{
        names->names = calloc(count_names(port), sizeof *names->names);
        if (!names->names)
                return -ENOMEM;
        names->names[names->n++] = (struct health_name){ .name = "" };
        for (size_t i = 0; i < SERVE_SERVICES; i++) {
                const struct route *route = &port->base.routes[i];

                if (route->n_bricks == 0)
                        continue;
                names->names[names->n++] = (struct health_name){
                        route->service->name,
                        route->bricks,
                        route->n_bricks,
                };
                for (size_t k = 0; k < route->n_bricks; k++)
                        names->names[names->n++] = (struct health_name){
                                route->bricks[k]->conf->name,
                                &route->bricks[k],
                                1,
                        };
        }
        return 0;
}

void health_names_done(struct health_names *names)
{
        free(names->names);
}

void health_names_listen(struct health_names *names, void (*changed)(void *user), void *user)
{
        for (size_t i = 0; i < names->n; i++)
                for (size_t k = 0; k < names->names[i].n_bricks; k++)
                        health_listen(&names->names[i].bricks[k]->health, changed, user);
}

static const struct health_name *find_name(const struct health_names *names, const char *name)
{
        for (size_t i = 0; i < names->n; i++)
                if (strcmp(names->names[i].name, name) == 0)
                        return &names->names[i];
        return NULL;
}

/* --- methods ---------------------------------------------------------------------------------- */

static int status_of(const struct builtin *builtin, const struct health_name *name)
{
        if (!name)
                return STATUS(SERVICE_UNKNOWN);
        if (atomic_load(&builtin->lame_duck))
                return STATUS(NOT_SERVING);
        if (name->n_bricks == 0)
                return STATUS(SERVING);
        for (size_t i = 0; i < name->n_bricks; i++)
                if (atomic_load(&name->bricks[i]->health.good))
                        return STATUS(SERVING);
        return STATUS(NOT_SERVING);
}

static void send_status(struct builtin_call *call, int status)
{
        Response response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

        response.status = status;
        builtin_reply(call, &response.base);
}

static void check(struct builtin_call *call, const ProtobufCMessage *message)
{
        const Request *request = (const Request *)message;
        const struct builtin_port *port = call->slot->port;
        const struct health_name *name = find_name(&port->names, request->service);

        if (!name) {
                builtin_finish(call, GRPC_STATUS_NOT_FOUND,
                               "This port serves nothing with that name");
                return;
        }
        send_status(call, status_of(port->builtin, name));
        builtin_finish(call, GRPC_STATUS_OK, "");
}

/* Reports the current status, if it is not the last one sent: changes during a write are merged. */
static void send_change(struct builtin_call *call)
{
        int status = status_of(call->slot->port->builtin, call->watched);

        if (status == call->told)
                return;
        call->told = status;
        send_status(call, status);
}

static void watch(struct builtin_call *call, const ProtobufCMessage *message)
{
        const Request *request = (const Request *)message;

        call->watched = find_name(&call->slot->port->names, request->service);
        call->told = -1;
        send_change(call);
}

const struct builtin_method health_check = {
        .path = "/" HEALTH_SERVICE "/Check",
        .label = "health Check",
        .stats = STATS_BUILTIN_CHECK,
        .request = &grpc__health__v1__health_check_request__descriptor,
        .message = check,
};

const struct builtin_method health_watch = {
        .path = "/" HEALTH_SERVICE "/Watch",
        .label = "health Watch",
        .stats = STATS_BUILTIN_WATCH,
        .request = &grpc__health__v1__health_check_request__descriptor,
        .stream = true,
        .message = watch,
        .changed = send_change,
};

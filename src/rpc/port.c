/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/diag.h"
#include "conf/names.h"
#include "conf/node.h"
#include "module/instance.h"
#include "rpc/builtin.h"
#include "rpc/listen.h"
#include "rpc/port.h"
#include "rpc/server-credentials.h"
#include "rpc/server.h"
#include "serve/certificate.h"
#include "serve/dispatch.h"
#include "serve/tls.h"
#include "util/clock.h"
#include "util/line-limit.h"
#include "util/log.h"

/*
 * Requests that are posted at a time, for each method. Few, because this libgrpc searches through
 * all of them at every event. Calls that come in a burst wait in the core until the next request is
 * posted, which is the first thing that a new call does.
 */
#define POSTED_HOT 4 /* Unary, OutputStreaming: 32 would cost a message of a stream 15 % */
#define POSTED_COLD 2

static grpc_arg int_arg(const char *key, int64_t value)
{
        return (grpc_arg){
                .type = GRPC_ARG_INTEGER,
                .key = (char *)key,
                .value.integer = value > INT32_MAX ? INT32_MAX : (int)value,
        };
}

/* A duration in ns; 0: no limit. */
static grpc_arg ms_arg(const char *key, int64_t ns)
{
        return int_arg(key, ns > 0 ? (ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC : INT32_MAX);
}

static int64_t shortest_ping_interval(const struct conf_port *conf)
{
        return conf->call_ping_interval < conf->client_ping_interval ? conf->call_ping_interval
                                                                     : conf->client_ping_interval;
}

static grpc_server *server_new(struct rpc *rpc, const struct conf_port *conf)
{
        grpc_arg args[] = {
                {
                        .type = GRPC_ARG_POINTER,
                        .key = (char *)GRPC_ARG_RESOURCE_QUOTA,
                        .value.pointer = { rpc->quota, grpc_resource_quota_arg_vtable() },
                },
                /* The main process owns the address: the core must not bind it a second time. */
                int_arg(GRPC_ARG_ALLOW_REUSEPORT, 0),
                int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, conf->max_request),
                int_arg(GRPC_ARG_MAX_METADATA_SIZE, conf->max_metadata),
                int_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, conf->max_streams),
                /* The core decompresses before it checks the size: 4 MiB of gzip can be 4 GiB. */
                int_arg(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET,
                        1 << GRPC_COMPRESS_NONE | conf->gzip << GRPC_COMPRESS_GZIP),
                int_arg(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0),
                /* Without gzip the core refuses what is compressed before it gets there. */
                int_arg(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, conf->gzip),
                /* channelz costs 10 % of a small call's time, and brickd has its own counters. */
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
                /* Also for clients with calls: inspect.c has a limit for those without. */
                int_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                        shortest_ping_interval(conf) / NSEC_PER_MSEC),
        };
        const grpc_channel_args channel_args = { ELEMENTSOF(args), args };

        return grpc_server_create(&channel_args, NULL);
}

static void success_bytes(char *p, uint32_t error_field)
{
        const char bytes[] = { (char)(error_field << 3 | 2), 0x03, 0x08, (char)0xc8, 0x01 };

        memcpy(p, bytes, sizeof bytes);
}

static void add_method(struct rpc_port *port, const struct route *route, uint32_t number)
{
        struct rpc_method *method = &port->methods[port->n_methods++];

        serve_method_init(&method->base, route, number);
        success_bytes(method->success, method->base.error_field);
        if (port->server)
                method->handle = grpc_server_register_method(
                        port->server, method->base.path, NULL,
                        rpc_method_has_payload(method) ? GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER
                                                       : GRPC_SRM_PAYLOAD_NONE,
                        0);
}

static int add_services(struct rpc_port *port, struct instance **instances, struct diag *diag)
{
        int r = 0;

        for (unsigned type = BRICK_TYPE_COMMON; type <= BRICK_TYPE_TRANSLATE; type++) {
                struct route *route = &port->base.routes[type - BRICK_TYPE_COMMON];
                int e = route_init(route, service_of_type(type), port->base.conf, instances, diag);

                if (e < 0)
                        r = e;
                route_show_methods(route);
                for (uint32_t m = 0; route->n_bricks > 0 && m <= BRICK_METHOD_BIDI_STREAMING; m++)
                        if (route->service->methods & (1u << m))
                                add_method(port, route, m);
        }
        return r;
}

static int listen_on(struct rpc_port *port, int fd)
{
        grpc_server_credentials *credentials = port->tls
                                                       ? server_credentials_new(port->tls)
                                                       : grpc_insecure_server_credentials_create();
        int bound;

        listen_adopt(fd, port->base.conf, port->base.stats);
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
        port->base.serve = &rpc->serve;
        port->base.conf = conf;
        port->base.stats = &rpc->serve.stats->ports[conf - rpc->serve.conf->ports];
        if (fd >= 0) {
                port->server = server_new(rpc, conf);
                grpc_server_register_completion_queue(port->server, rpc->queue, NULL);
                grpc_server_register_completion_queue(port->server, rpc->shutdown_queue, NULL);
        }
        r = add_services(port, instances, diag);
        if (conf->tls.node) {
                int e = tls_new(&port->tls, rpc->serve.conf, &conf->tls, port->base.stats,
                                rpc->first, diag);

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

void rpc_check_ports(const struct conf *conf, struct diag *diag)
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

int port_post_requests(struct rpc_port *port)
{
        int r = 0;

        for (size_t i = 0; i < port->n_methods; i++)
                for (int k = is_hot(port->methods[i].base.method) ? POSTED_HOT : POSTED_COLD;
                     r == 0 && k > 0; k--)
                        r = rpc_call_post(port, &port->methods[i]);
        for (int k = 0; r == 0 && k < POSTED_COLD; k++)
                r = rpc_call_post(port, NULL);
        return r;
}

static void log_unposted(void)
{
        static struct line_limit limit = LINE_LIMIT_INIT;

        if (line_limit_take(&limit) >= 0)
                log_error("Out of memory: a request could not be posted; trying again");
}

/* The last counter is for all methods that are not registered. */
static unsigned *unposted_of(struct rpc_port *port, const struct rpc_method *method)
{
        return &port->unposted[method ? method - port->methods : SERVE_METHODS];
}

/* A method for which no request is posted answers nobody, so a request that is missing is posted
 * later. */
void port_post_next(struct rpc_port *port, const struct rpc_method *method)
{
        if (rpc_call_post(port, method) == 0)
                return;
        port->rpc->unposted++;
        ++*unposted_of(port, method);
        log_unposted();
}

static void post_again(struct rpc_port *port, const struct rpc_method *method)
{
        unsigned *unposted = unposted_of(port, method);

        while (*unposted > 0 && rpc_call_post(port, method) == 0) {
                --*unposted;
                port->rpc->unposted--;
        }
}

void port_post_again(struct rpc *rpc)
{
        if (atomic_load(&rpc->draining))
                return;
        for (size_t i = 0; i < rpc->n_ports; i++) {
                struct rpc_port *port = rpc->ports[i];

                for (size_t k = 0; k < port->n_methods; k++)
                        post_again(port, &port->methods[k]);
                post_again(port, NULL);
        }
}

void port_free(struct rpc_port *port)
{
        if (port->server)
                grpc_server_destroy(port->server);
        (void)tls_free(port->tls);
        for (size_t i = 0; i < SERVE_SERVICES; i++)
                route_done(&port->base.routes[i]);
        free(port);
}

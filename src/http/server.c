/* SPDX-License-Identifier: MIT */
#include "http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "http/call.h"
#include "http/catalogue.h"
#include "http/connection.h"
#include "http/exchange-own.h"
#include "module/instance.h"
#include "serve/certificate.h"
#include "serve/deadlines.h"
#include "serve/dispatch.h"
#include "serve/listener.h"
#include "serve/peers.h"
#include "serve/tls.h"
#include "shared/stats.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/io.h"
#include "util/log.h"

/* Events that are taken at a time. */
#define EVENTS 64

/* How often connections are checked for limits in time. */
#define TICK_NS NSEC_PER_SEC

/* --- ports --------------------------------------------------------------------------------------
 */

const struct serve_method *door_port_method(const struct http_port *port, unsigned type,
                                            uint32_t method)
{
        for (size_t i = 0; i < port->n_methods; i++)
                if (port->methods[i].route->service->type == type &&
                    port->methods[i].method == method)
                        return &port->methods[i];
        return NULL;
}

static int add_services(struct http_port *port, struct instance **instances, struct diag *diag)
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
                                serve_method_init(&port->methods[port->n_methods++], route, m);
        }
        return r;
}

static int list_instances(struct http_port *port, struct instance **instances)
{
        const struct conf_port *conf = port->base.conf;

        port->instances = calloc(conf->n_bricks + 1, sizeof *port->instances);
        if (!port->instances)
                return -ENOMEM;
        for (size_t i = 0; i < conf->n_bricks; i++) {
                int r;

                port->instances[i] = instances[conf->bricks[i]];
                r = catalogue_add(port->door->catalogue, port->instances[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool is_loopback(int fd)
{
        struct sockaddr_storage address = {};
        const struct sockaddr_in *v4 = (const void *)&address;
        const struct sockaddr_in6 *v6 = (const void *)&address;
        socklen_t length = sizeof address;

        if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
                return false;
        if (address.ss_family == AF_INET)
                return ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
        return address.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static void on_listener(struct http_source *source, uint32_t events);

static int listen_on(struct http_port *port, int fd)
{
        port->listener = listener_new(fd, port->base.conf, port->base.stats);
        if (!port->listener || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
                return port->listener ? -errno : -ENOMEM;
        listener_set_options(fd);
        port->is_loopback = is_loopback(fd);
        port->source.on_event = on_listener;
        return 0;
}

int door_add_port(struct door *door, const struct conf_port *conf, int fd,
                  struct instance **instances, struct diag *diag)
{
        struct http_port *port = calloc(1, sizeof *port);
        int r;

        if (!port)
                return -ENOMEM;
        door->ports[door->n_ports++] = port;
        port->door = door;
        port->base.serve = &door->serve;
        port->base.conf = conf;
        port->base.stats = &door->serve.stats->ports[conf - door->serve.conf->ports];
        r = add_services(port, instances, diag);
        if (conf->tls.node) {
                int e = tls_new(&port->tls, door->serve.conf, &conf->tls, port->base.stats,
                                door->first, diag);

                r = r < 0 ? r : e;
        }
        if (r == 0)
                r = list_instances(port, instances);
        if (r < 0 || fd < 0)
                return r;
        return listen_on(port, fd);
}

static void free_port(struct http_port *port)
{
        if (port->listener) {
                listener_close(port->listener);
                (void)close(port->listener->fd);
        }
        SSL_CTX_free(port->context);
        (void)tls_free(port->tls);
        for (size_t i = 0; i < SERVE_SERVICES; i++)
                route_done(&port->base.routes[i]);
        free(port->instances);
        free(port);
}

/* --- accepting ----------------------------------------------------------------------------------
 */

/* New connections use what the files of the certificate have now. */
static void renew_context(struct http_port *port)
{
        _cleanup_(certificate_freep) struct certificate *fresh = tls_take(port->tls);
        SSL_CTX *context;

        if (!fresh)
                return;
        context = http_context_new(fresh, &port->base.conf->tls);
        if (!context) {
                log_error("OpenSSL does not take the certificate of %s", port->base.conf->listen);
                return;
        }
        SSL_CTX_free(port->context);
        port->context = context;
}

static void on_listener(struct http_source *source, uint32_t events)
{
        struct http_port *port = CONTAINER_OF(source, struct http_port, source);
        struct sockaddr_storage address;
        int fd;

        if (port->tls)
                renew_context(port);
        while ((fd = listener_accept(port->listener, &address, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
                (void)connection_new(port, fd, (struct sockaddr *)&address);
        door_set_timer(port->door);
}

/* --- time ---------------------------------------------------------------------------------------
 */

const char *door_date(struct door *door)
{
        struct tm tm;
        time_t now = time(NULL);

        if ((uint64_t)now != door->date_second && gmtime_r(&now, &tm)) {
                door->date_second = (uint64_t)now;
                (void)strftime(door->date, sizeof door->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        }
        return door->date;
}

/* Until the next check, or the earlier end of a call's time; while nobody is connected and no brick
 * is asked for its models, the timer rests. */
void door_set_timer(struct door *door)
{
        uint64_t next = deadlines_next(&door->serve.deadlines);
        struct itimerspec when = {};

        if ((door->connections || catalogue_waits(door->catalogue)) &&
            door->ticked + TICK_NS < next)
                next = door->ticked + TICK_NS;
        if (next == door->timer_set)
                return;
        door->timer_set = next;
        if (next != UINT64_MAX) {
                when.it_value.tv_sec = (time_t)(next / NSEC_PER_SEC);
                when.it_value.tv_nsec = (long)(next % NSEC_PER_SEC);
        }
        (void)timerfd_settime(door->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void on_timer(struct http_source *source, uint32_t events)
{
        struct door *door = CONTAINER_OF(source, struct door, timer);

        door->timer_came = true;
}

/* After the events of this turn: a connection that ends here may still have had one. */
static void pass_time(struct door *door)
{
        struct http_connection *c, *next;
        uint64_t now = clock_now();

        if (door->timer_came) {
                door->timer_came = false;
                door->timer_set = UINT64_MAX;
                deadlines_expire(&door->serve.deadlines);
        }
        if (now - door->ticked < TICK_NS)
                return;
        door->ticked = now;
        catalogue_check(door->catalogue, now);
        for (c = door->connections; c; c = next) {
                next = c->next;
                connection_check(c, now);
        }
}

/* --- the polling thread -------------------------------------------------------------------------
 */

/* Connections with more to read than one turn takes. */
static void run_ready(struct door *door)
{
        struct http_connection *ready = TAKE_PTR(door->ready), *c;

        while ((c = ready)) {
                ready = c->next_ready;
                c->is_ready = false;
                connection_settle(c);
        }
}

bool door_run(void *user)
{
        struct door *door = user;
        struct epoll_event events[EVENTS];
        /* libc's epoll_wait(), which brickd replaces */
        int n = epoll_pwait(door->epoll, events, EVENTS, 0, NULL);

        for (int i = 0; i < n; i++) {
                struct http_source *source = events[i].data.ptr;

                source->on_event(source, events[i].events);
        }
        run_ready(door);
        pass_time(door);
        door_set_timer(door);
        return n == EVENTS || door->ready;
}

int door_epoll(const struct door *door)
{
        return door->n_ports > 0 ? door->epoll : -1;
}

/* --- its life -----------------------------------------------------------------------------------
 */

static void run_inquire(struct run_item *item);
static void run_drain(struct run_item *item);
static void run_cancel(struct run_item *item);

int door_new(struct door **ret, const struct conf *conf, const struct stats *stats,
             struct auth *auth, struct tracer *tracer, bool first)
{
        _cleanup_(door_freep) struct door *door = calloc(1, sizeof *door);

        if (!door)
                return -ENOMEM;
        door->serve = (struct serve){
                .conf = conf,
                .stats = stats,
                .auth = auth,
                .tracer = tracer,
                .expire = http_call_expire,
        };
        arena_count(&door->scratch);
        stall_init(&door->serve.stalls, SIZE_MAX); /* connection.c bounds what waits to be sent */
        door->first = first;
        door->timer.on_event = on_timer;
        door->timer_set = UINT64_MAX;
        door->inquire.run = run_inquire;
        door->drain.run = run_drain;
        door->cancel.run = run_cancel;
        door->timer_fd = -1;
        door->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (door->epoll < 0)
                return -errno;
        door->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        if (door->timer_fd < 0)
                return -errno;
        door->ports = calloc(conf->n_ports + 1, sizeof *door->ports);
        if (!door->ports || catalogue_new(&door->catalogue, &door->in_flight) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(door);
        return 0;
}

struct door *door_free(struct door *door)
{
        if (!door)
                return NULL;
        for (size_t i = 0; i < door->n_ports; i++)
                free_port(door->ports[i]);
        door->catalogue = catalogue_free(door->catalogue);
        arena_done(&door->scratch);
        deadlines_done(&door->serve.deadlines);
        (void)close_fd(door->timer_fd);
        (void)close_fd(door->epoll);
        free(door->ports);
        free(door);
        return NULL;
}

static int watch(struct door *door, int fd, struct http_source *source)
{
        struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.ptr = source };

        return epoll_ctl(door->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void run_inquire(struct run_item *item)
{
        struct door *door = CONTAINER_OF(item, struct door, inquire);

        catalogue_refresh(door->catalogue);
        door_set_timer(door);
}

int door_start(struct door *door)
{
        int r = watch(door, door->timer_fd, &door->timer);

        for (size_t i = 0; r == 0 && i < door->n_ports; i++) {
                struct http_port *port = door->ports[i];
                const struct epoll_event event = { .events = EPOLLIN | EPOLLET,
                                                   .data.ptr = &port->source };

                listener_wait(port->listener, door->epoll, &event);
                r = watch(door, port->listener->fd, &port->source);
        }
        if (r == 0 && door->n_ports > 0)
                runner_post(&runner_polling, &door->inquire);
        return r;
}

void door_maintain(struct door *door, bool accepts)
{
        if (door->n_ports == 0)
                return;
        stall_maintain(&door->serve.stalls);
        for (size_t i = 0; accepts && i < door->n_ports; i++)
                if (door->ports[i]->tls)
                        tls_maintain(door->ports[i]->tls);
}

/* --- stopping -----------------------------------------------------------------------------------
 */

void door_goaway(struct door *door)
{
        atomic_store(&door->leaving, true);
}

void door_set_explain_key(struct door *door, const struct explain_key *key)
{
        explain_key_print(key, door->explain_key);
}

void door_lame_duck(struct door *door)
{
        atomic_store(&door->lame, true);
}

static void run_drain(struct run_item *item)
{
        struct door *door = CONTAINER_OF(item, struct door, drain);
        struct http_connection *c, *next;

        door->draining = true;
        catalogue_stop(door->catalogue);
        for (size_t i = 0; i < door->n_ports; i++)
                listener_close(door->ports[i]->listener);
        for (c = door->connections; c; c = next) {
                next = c->next;
                if (connection_is_idle(c) && !io_has_unread(c->socket.fd))
                        connection_break(c);
                connection_settle(c);
        }
}

static void run_cancel(struct run_item *item)
{
        struct door *door = CONTAINER_OF(item, struct door, cancel);
        struct http_connection *c, *next;

        door->cancelled = true;
        for (c = door->connections; c; c = next) {
                next = c->next;
                if (c->exchange && c->exchange->call)
                        http_call_stop(c->exchange->call);
                else
                        connection_break(c);
                connection_settle(c);
        }
}

void door_drain(struct door *door)
{
        if (door->n_ports == 0 || door->drain_ordered)
                return;
        door->drain_ordered = true;
        runner_post(&runner_polling, &door->drain);
}

void door_cancel(struct door *door)
{
        if (door->n_ports == 0 || door->cancel_ordered)
                return;
        door->cancel_ordered = true;
        runner_post(&runner_polling, &door->cancel);
}

bool door_step(const struct door *door)
{
        return atomic_load(&door->n_connections) == 0 && door_in_flight(door) == 0;
}

unsigned door_in_flight(const struct door *door)
{
        return atomic_load(&door->in_flight);
}

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the files of the door share: the door and its ports. On the polling thread, except where
 * said.
 *
 *   server.c      ports, accepting, time, stopping
 *   connection.c  one connection: reads requests, writes answers
 *   exchange.c    one request, for the routes
 *   answer.c      its answer
 *   call.c        a call to a brick; transport.c is what the brick sees of it
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/head.h"
#include "http/socket.h"
#include "module/runner.h"
#include "serve/served.h"
#include "shared/state.h"
#include "util/arena.h"

struct catalogue;
struct exchange;
struct http_connection;
struct listener;
struct tls;

/* The most bytes that one connection is read for before others are. */
#define HTTP_TURN ((size_t)64 * 1024)

/* How long a connection may be idle, if limits.idle of its port does not say. */
#define HTTP_IDLE_NS (300 * NSEC_PER_SEC)

/* What an event of the door's epoll set is for. */
struct http_source {
        void (*on_event)(struct http_source *source, uint32_t events);
};

struct http_port {
        struct http_source source; /* of its listener */
        struct serve_port base;
        struct door *door;
        struct listener *listener; /* NULL: the port is only checked */
        struct tls *tls;           /* NULL: plain text */
        SSL_CTX *context;
        bool is_loopback;            /* only this machine can reach it, by TCP */
        struct instance **instances; /* of the port, in the order of its configuration */
        struct serve_method methods[SERVE_METHODS];
        size_t n_methods;
};

struct door {
        struct serve serve;
        bool first;
        char explain_key[EXPLAIN_KEY_LENGTH + 1];
        int epoll;
        struct http_port **ports;
        size_t n_ports;
        struct catalogue *catalogue;
        struct run_item inquire; /* the first questions to bricks */

        struct http_source timer; /* its event */
        int timer_fd;
        bool timer_came;
        uint64_t timer_set; /* when it expires; UINT64_MAX: it rests */
        uint64_t ticked;    /* when all connections were last checked */

        struct http_connection *connections;
        struct http_connection *ready; /* with more to read, in another turn */
        struct exchange *identified;   /* whose identity serve/auth.h has found last; NULL: none */
        struct http_head head;         /* of the request that is being read */
        char date[32];
        uint64_t date_second; /* for which `date` is right */
        char bytes[HTTP_TURN];
        struct arena scratch; /* exchange_scratch() */

        atomic_uint n_connections; /* of the list; any thread reads it */
        atomic_uint in_flight;     /* calls; any thread */
        atomic_bool leaving;       /* door_goaway() */
        atomic_bool lame;          /* door_lame_duck() */
        bool draining;
        bool cancelled;
        struct run_item drain, cancel; /* orders of the main thread */

        bool drain_ordered, cancel_ordered; /* the main thread's */
};

/* For the header field of this name. */
const char *door_date(struct door *door);

/* Sees to it that the door runs when the next deadline is over. */
void door_set_timer(struct door *door);

/* The method of a brick, for this port. */
const struct serve_method *door_port_method(const struct http_port *port, unsigned type,
                                            uint32_t method);

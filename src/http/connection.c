/* SPDX-License-Identifier: MIT */
#include "http/connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "conf/conf.h"
#include "http/call.h"
#include "http/exchange-own.h"
#include "serve/listener.h"
#include "serve/peer.h"
#include "util/account.h"
#include "util/cleanup.h"
#include "util/clock.h"

/* What the kernel takes and has not sent: a reader that stalls costs no more. */
#define NOTSENT_LOWAT (16 * 1024)

/* What is written and the kernel does not take costs nothing in the account of calls up to this. */
#define OUTPUT_FREE ((size_t)64 * 1024)
#define OUTPUT_STEP ((size_t)1024)

/* So many requests of one connection are served before others are. */
#define REQUESTS_IN_TURN 16

/* The first byte of a client that speaks TLS, and would wait for an answer in vain. */
#define TLS_HANDSHAKE 0x16

/* How long what a client still sends is dropped before the connection is closed. */
#define LINGER_NS (2 * NSEC_PER_SEC)

static const struct conf_port *conf_of(const struct http_connection *c)
{
        return c->port->base.conf;
}

/* --- it comes and goes --------------------------------------------------------------------------
 */

static void name_peer(char *text, size_t size, int fd, const struct sockaddr *address)
{
        const struct sockaddr_in *v4 = (const void *)address;
        const struct sockaddr_in6 *v6 = (const void *)address;
        char ip[INET6_ADDRSTRLEN] = "";
        struct ucred user = { .uid = (uid_t)-1 };
        socklen_t length = sizeof user;

        if (address->sa_family == AF_INET) {
                (void)inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof ip);
                (void)snprintf(text, size, "ipv4:%s:%u", ip, ntohs(v4->sin_port));
        } else if (address->sa_family == AF_INET6) {
                (void)inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof ip);
                (void)snprintf(text, size, "ipv6:[%s]:%u", ip, ntohs(v6->sin6_port));
        } else {
                /* Who connected, even if the client has given the socket away since. */
                (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &user, &length);
                (void)snprintf(text, size, "unix:" PEER_USER "%u", user.uid);
        }
}

static void link_to(struct door *door, struct http_connection *c)
{
        c->next = door->connections;
        c->link = &door->connections;
        if (c->next)
                c->next->link = &c->next;
        door->connections = c;
        (void)atomic_fetch_add(&door->n_connections, 1);
}

static void on_event(struct http_source *source, uint32_t events);

/* Takes the descriptor and its place among the peers only if it succeeds. */
static struct http_connection *make(struct http_port *port, int fd, const struct sockaddr *address)
{
        struct http_connection *c = calloc(1, sizeof *c);
        struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
        char peer[HTTP_PEER_MAX];

        if (!c)
                return NULL;
        name_peer(peer, sizeof peer, fd, address);
        c->peer = strdup(peer);
        event.data.ptr = &c->source;
        /* Without its certificate a port with TLS serves nobody. */
        if (!c->peer || (port->tls && !port->context) ||
            http_socket_begin(&c->socket, fd, port->context) < 0 ||
            epoll_ctl(port->door->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
                SSL_free(c->socket.ssl);
                free(c->peer);
                free(c);
                return NULL;
        }
        return c;
}

struct http_connection *connection_new(struct http_port *port, int fd,
                                       const struct sockaddr *address)
{
        static const int lowat = NOTSENT_LOWAT;
        const struct peer_key key = peers_key(port->listener, address);
        struct http_connection *c = make(port, fd, address);

        if (!c) {
                peers_remove(&key);
                (void)close(fd);
                return NULL;
        }
        c->source.on_event = on_event;
        c->port = port;
        c->key = key;
        c->state = port->context ? STATE_HANDSHAKE : STATE_HEAD;
        c->since = clock_now();
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof lowat);
        link_to(port->door, c);
        return c;
}

static void leave_ready(struct http_connection *c)
{
        struct http_connection **link = &c->port->door->ready;

        while (*link != c)
                link = &(*link)->next_ready;
        *link = c->next_ready;
}

static void free_connection(struct http_connection *c)
{
        struct door *door = c->port->door;

        if (c->exchange)
                exchange_gone(c->exchange);
        if (c->is_ready)
                leave_ready(c);
        *c->link = c->next;
        if (c->next)
                c->next->link = c->link;
        peers_remove(&c->key);
        http_socket_close(&c->socket);
        account_give(c->output_counted);
        free(c->output);
        free(c->input);
        free(c->names);
        free(c->peer);
        free(c);
        (void)atomic_fetch_sub(&door->n_connections, 1);
}

void connection_break(struct http_connection *c)
{
        c->broken = true;
}

bool connection_is_idle(const struct http_connection *c)
{
        return c->state == STATE_HEAD && c->input_end == c->input_begin &&
               connection_pending(c) == 0;
}

/* --- output -------------------------------------------------------------------------------------
 */

/* Makes the output so large. A small one is no larger than that, as thousands of clients may leave
 * it unread; a large one counts in the account of calls. */
static bool grow_output(struct http_connection *c, size_t need)
{
        size_t size = (need + OUTPUT_STEP - 1) / OUTPUT_STEP * OUTPUT_STEP, counted;
        char *output;

        if (size > OUTPUT_FREE)
                for (size = 2 * OUTPUT_FREE; size < need;)
                        size *= 2;
        counted = size > OUTPUT_FREE ? size - c->output_counted : 0;
        if (counted > 0 && !account_take(counted, c->output_counted))
                return false;
        c->output_counted += counted;
        output = realloc(c->output, size);
        if (!output)
                return false;
        c->output = output;
        c->output_size = size;
        return true;
}

bool connection_put(struct http_connection *c, const void *bytes, size_t length)
{
        size_t pending = connection_pending(c);

        if (c->broken || length == 0)
                return !c->broken;
        if (pending == 0)
                c->moved = clock_recent();
        if (length > c->output_size - c->output_end && c->output_begin > 0) {
                memmove(c->output, c->output + c->output_begin, pending);
                c->output_begin = 0;
                c->output_end = pending;
        }
        if (length > c->output_size - c->output_end && !grow_output(c, pending + length)) {
                connection_break(c);
                return false;
        }
        memcpy(c->output + c->output_end, bytes, length);
        c->output_end += length;
        return true;
}

bool connection_has_room(const struct http_connection *c)
{
        return connection_pending(c) <= (size_t)conf_of(c)->window;
}

static void drop_output(struct http_connection *c)
{
        account_give(c->output_counted);
        free(c->output);
        c->output = NULL;
        c->output_begin = c->output_end = c->output_size = c->output_counted = 0;
}

/* Writes until the kernel takes no more: then its event comes when it does. */
static void flush(struct http_connection *c)
{
        size_t before = connection_pending(c);
        ssize_t n = 0;

        while (connection_pending(c) > 0) {
                n = http_socket_write(&c->socket, c->output + c->output_begin,
                                      connection_pending(c));
                if (n < 0)
                        break;
                c->output_begin += (size_t)n;
        }
        if (n < 0 && n != -EAGAIN)
                connection_break(c);
        if (connection_pending(c) == before)
                return;
        c->moved = clock_now();
        if (c->exchange && c->exchange->call)
                http_call_wrote(c->exchange->call, connection_pending(c));
        if (connection_pending(c) == 0)
                drop_output(c);
}

/* --- input --------------------------------------------------------------------------------------
 */

static bool keep_input(struct http_connection *c, const char *bytes, size_t length)
{
        size_t n = c->input_end - c->input_begin;

        if (length > c->input_size - n) {
                char *input = malloc(n + length);

                if (!input)
                        return false;
                if (n > 0)
                        memcpy(input, c->input + c->input_begin, n);
                free(c->input);
                c->input = input;
                c->input_size = n + length;
        } else if (n > 0) {
                memmove(c->input, c->input + c->input_begin, n);
        }
        memcpy(c->input + n, bytes, length);
        c->input_begin = 0;
        c->input_end = n + length;
        return true;
}

static size_t take_head(struct http_connection *c, const char *bytes, size_t length)
{
        size_t most = (size_t)conf_of(c)->max_metadata, end;

        if (c->scanned == 0) {
                size_t skip = http_head_skip(bytes, length);

                if (skip > 0)
                        return skip;
                if (length > 0 && bytes[0] == TLS_HANDSHAKE) {
                        exchange_refuse_head(c, 400, "This port speaks HTTP without TLS.");
                        return length;
                }
        }
        end = http_head_find(bytes, length, &c->scanned);
        if (end == 0 && length <= most)
                return 0;
        c->scanned = 0;
        if (end == 0 || end > most) {
                exchange_refuse_head(c, 431,
                                     "The head of the request is larger than limits.metadata.");
                return length;
        }
        exchange_take_head(c, bytes, end);
        return end;
}

/* Also with no bytes: whether the body has ended may be known without any more. */
static size_t take_body(struct http_connection *c, const char *bytes, size_t length)
{
        size_t taken = 0, n;
        struct http_text part;

        while (c->state == STATE_BODY && !exchange_is_over(c->exchange)) {
                switch (http_body_take(&c->body, bytes + taken, length - taken, &n, &part)) {
                case HTTP_BODY_MORE:
                        return taken + n;
                case HTTP_BODY_DATA:
                        exchange_take_body(c->exchange, part);
                        break;
                case HTTP_BODY_END:
                        exchange_serve(c->exchange);
                        break;
                case HTTP_BODY_BAD:
                        exchange_refuse_framing(c->exchange);
                        return length;
                }
                taken += n;
        }
        return taken;
}

/* Takes some of the bytes; 0: none of them, for now. */
static size_t take(struct http_connection *c, const char *bytes, size_t length)
{
        if (c->exchange && exchange_is_over(c->exchange))
                return 0;
        switch (c->state) {
        case STATE_HEAD:
                return take_head(c, bytes, length);
        case STATE_BODY:
                return take_body(c, bytes, length);
        case STATE_LINGER:
                return length;
        default:
                return 0;
        }
}

static size_t take_all(struct http_connection *c, const char *bytes, size_t length)
{
        size_t taken = 0, n;

        while (taken < length && !c->broken && (n = take(c, bytes + taken, length - taken)) > 0)
                taken += n;
        return taken;
}

/* Takes of what waits. False: nothing, for now. */
static bool take_input(struct http_connection *c)
{
        size_t n = c->input_end - c->input_begin, taken;

        if (n == 0)
                return false;
        taken = take_all(c, c->input + c->input_begin, n);
        c->input_begin += taken;
        if (c->input_begin == c->input_end) {
                free(c->input);
                c->input = NULL;
                c->input_begin = c->input_end = c->input_size = 0;
        }
        return taken > 0;
}

static void take_bytes(struct http_connection *c, const char *bytes, size_t length)
{
        size_t taken = 0;
        bool was_idle = connection_is_idle(c);

        if (c->input_end == c->input_begin)
                taken = take_all(c, bytes, length);
        if (taken < length && !keep_input(c, bytes + taken, length - taken))
                connection_break(c);
        if (was_idle)
                c->since = clock_recent(); /* of the request, from its first byte */
        (void)take_input(c);
}

/* Reads once. False: nothing has come, or it may not be read now. */
static bool read_some(struct http_connection *c, size_t *budget)
{
        struct door *door = c->port->door;
        size_t most = *budget;
        ssize_t n;

        if (!c->readable || *budget == 0)
                return false;
        if (c->state == STATE_HEAD && most > (size_t)conf_of(c)->max_metadata)
                most = (size_t)conf_of(c)->max_metadata;
        n = http_socket_read(&c->socket, door->bytes, most);
        if (n == -EAGAIN) {
                c->readable = false;
                return false;
        }
        if (n == 0 && c->state == STATE_HEAD && c->input_end == c->input_begin) {
                c->ended = true;
                c->state = STATE_LINGER;
                return false;
        }
        if (n <= 0) {
                connection_break(c); /* what has come is no whole request */
                return false;
        }
        /* The next bytes of a stream in plain text come with an event. */
        if (!c->socket.ssl && (size_t)n < most && !c->ended)
                c->readable = false;
        *budget -= (size_t)n;
        take_bytes(c, door->bytes, (size_t)n);
        return true;
}

/* --- states -------------------------------------------------------------------------------------
 */

static bool handshake(struct http_connection *c)
{
        int r = http_socket_handshake(&c->socket);

        if (r == -EAGAIN)
                return false;
        if (r < 0) {
                if (r != -ECONNRESET)
                        peers_reject(&c->key, STATS_REJECTED_TLS);
                connection_break(c);
                return false;
        }
        if (conf_of(c)->authenticate != AUTHENTICATE_OFF)
                c->n_names = http_socket_names(&c->socket, &c->names);
        c->state = STATE_HEAD;
        c->since = clock_now();
        c->readable = true; /* the handshake may have read more than its own */
        return true;
}

static void next_request(struct http_connection *c)
{
        exchange_free(c->exchange);
        c->since = clock_now();
        c->state = c->last || c->port->door->draining ? STATE_LINGER : STATE_HEAD;
}

/* Does what is to be done next. False: nothing is, until an event comes. */
static bool step(struct http_connection *c, size_t *budget)
{
        if (c->broken)
                return false;
        if (c->exchange && exchange_is_over(c->exchange)) {
                next_request(c);
                *budget -= *budget < HTTP_TURN / REQUESTS_IN_TURN ? *budget
                                                                  : HTTP_TURN / REQUESTS_IN_TURN;
                return true;
        }
        if (c->state == STATE_HANDSHAKE)
                return handshake(c);
        if (c->state == STATE_ANSWER || *budget == 0)
                return false;
        /* A client that does not read its answers is asked for no more. */
        if (!connection_has_room(c))
                flush(c);
        return connection_has_room(c) && (take_input(c) || read_some(c, budget));
}

static bool is_done(struct http_connection *c)
{
        if (c->broken || (c->port->door->cancelled && !c->exchange))
                return true;
        if (c->state == STATE_LINGER && connection_pending(c) == 0)
                return c->ended;
        /* Whoever leaves while the answer is made does not want it. */
        return c->ended && c->state == STATE_ANSWER;
}

static void make_ready(struct http_connection *c)
{
        struct door *door = c->port->door;

        if (c->is_ready)
                return;
        c->is_ready = true;
        c->next_ready = door->ready;
        door->ready = c;
}

void connection_settle(struct http_connection *c)
{
        size_t budget = HTTP_TURN;

        while (step(c, &budget))
                ;
        flush(c);
        if (c->state == STATE_LINGER && connection_pending(c) == 0 && !c->shut) {
                c->shut = true;
                http_socket_shutdown(&c->socket);
        }
        if (is_done(c)) {
                free_connection(c);
                return;
        }
        if (c->exchange && c->exchange->call && connection_has_room(c))
                http_call_resume(c->exchange->call);
        if (budget == 0 && c->state != STATE_ANSWER &&
            (c->readable || c->input_end > c->input_begin))
                make_ready(c);
}

/* --- events and time ----------------------------------------------------------------------------
 */

static void on_event(struct http_source *source, uint32_t events)
{
        struct http_connection *c = CONTAINER_OF(source, struct http_connection, source);

        if (events & (EPOLLIN | EPOLLRDHUP))
                c->readable = true;
        if (events & EPOLLRDHUP)
                c->ended = true;
        if (events & (EPOLLERR | EPOLLHUP))
                connection_break(c);
        connection_settle(c);
}

static bool is_over_after(uint64_t since, uint64_t now, int64_t limit)
{
        return limit > 0 && since < now && now - since > (uint64_t)limit;
}

static bool is_overdue(const struct http_connection *c, uint64_t now)
{
        const struct conf_port *conf = conf_of(c);
        int64_t idle = conf->idle > 0 ? conf->idle : (int64_t)HTTP_IDLE_NS;

        switch (c->state) {
        case STATE_HANDSHAKE:
                return is_over_after(c->since, now, conf->handshake);
        case STATE_HEAD:
                return is_over_after(c->since, now,
                                     connection_is_idle(c) ? idle : conf->request_time);
        case STATE_BODY:
                return is_over_after(c->since, now, conf->request_time);
        case STATE_LINGER:
                return is_over_after(c->since, now, LINGER_NS);
        default:
                return false;
        }
}

/* Of a running call, serve/stall.h finds that. */
static bool is_stalled(const struct http_connection *c, uint64_t now)
{
        return connection_pending(c) > 0 && !(c->exchange && c->exchange->call) &&
               is_over_after(c->moved, now, conf_of(c)->stall);
}

static bool is_in_request(const struct http_connection *c)
{
        return c->state == STATE_BODY || (c->state == STATE_HEAD && !connection_is_idle(c));
}

void connection_check(struct http_connection *c, uint64_t now)
{
        bool slow = is_overdue(c, now), stalled = is_stalled(c, now);

        if (stalled)
                peers_reject(&c->key, STATS_REJECTED_STALLED);
        else if (slow && c->state == STATE_HANDSHAKE)
                peers_reject(&c->key, STATS_REJECTED_HANDSHAKE);
        else if (slow && is_in_request(c))
                peers_reject(&c->key, STATS_REJECTED_SLOW);
        if (slow || stalled)
                connection_break(c);
        else if (c->exchange && c->exchange->call)
                http_call_check(c->exchange->call, now);
        connection_settle(c);
}

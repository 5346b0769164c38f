/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "rpc/connection.h"
#include "rpc/goaway.h"
#include "serve/listener.h"
#include "serve/peer.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/io.h"
#include "util/syscall.h"

_Atomic(struct fd_record *) fd_records[FD_MAX];
static atomic_int end; /* above every number that has a record */
static atomic_uint second;

/* --- records --------------------------------------------------------------------------------- */

struct fd_record *fd_record_make(int fd)
{
        struct fd_record *record = fd_record(fd);
        int above = atomic_load(&end);

        if (record || fd < 0 || fd >= FD_MAX)
                return record;
        record = calloc(1, sizeof *record);
        if (!record)
                return NULL;
        record->connection.fd = fd;
        (void)pthread_mutex_init(&record->connection.lock, NULL);
        atomic_store_explicit(&fd_records[fd], record, memory_order_release);
        while (above <= fd && !atomic_compare_exchange_weak(&end, &above, fd + 1))
                ;
        return record;
}

int connection_end(void)
{
        return atomic_load(&end);
}

struct connection *connection_lock_below(int *fd)
{
        while (--*fd >= 0) {
                struct connection *connection = connection_of(*fd);

                if (!connection)
                        continue;
                (void)pthread_mutex_lock(&connection->lock);
                if (connection_of(*fd))
                        return connection;
                (void)pthread_mutex_unlock(&connection->lock);
        }
        return NULL;
}

/* --- their life ------------------------------------------------------------------------------ */

static void begin(struct connection *connection, const struct peer_key *key)
{
        struct gather *g = &connection->gather;
        unsigned serial = atomic_load(&connection->serial);

        (void)pthread_mutex_lock(&connection->lock);
        atomic_store(&connection->serial, serial == UINT32_MAX ? 1 : serial + 1);
        inspect_begin(&connection->inspect, key);
        connection->budget = (struct budget){ 0 };
        connection->begun = clock_now();
        atomic_store(&connection->ended, false);
        /* `listed` stays: a thread may still have the connection on its list, with nothing held. */
        g->shut = g->closed = g->greeted = g->goaway_sent = false;
        g->whole = true;
        atomic_store(&connection->epoll, -1);
        atomic_store(&connection->event_came, false);
        atomic_store(&connection->disconnected, false);
        atomic_store(&connection->shed, false);
        atomic_store(&connection->blocked, false);
        atomic_store(&connection->read_refused, false);
        atomic_store(&connection->rearm, false);
        (void)pthread_mutex_unlock(&connection->lock);
}

/* SO_PEERCRED says who connected, even if the client has given the socket away since. */
static void find_user(struct connection *connection, const struct sockaddr *address)
{
        struct ucred peer = { .uid = (uid_t)-1 };
        socklen_t length = sizeof peer;

        connection->local = address->sa_family == AF_UNIX;
        if (connection->local)
                (void)getsockopt(connection->fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
        connection->user = peer.uid;
}

int connection_name_user(const struct connection *connection, struct sockaddr *address,
                         socklen_t *length)
{
        struct sockaddr_un name = { .sun_family = AF_UNIX };

        (void)snprintf(name.sun_path, sizeof name.sun_path, PEER_USER "%u", connection->user);
        memcpy(address, &name, *length < sizeof name ? *length : sizeof name);
        *length = sizeof name;
        return 0;
}

struct connection *connection_add(int fd, struct listener *listener, const struct sockaddr *address)
{
        struct fd_record *record = fd_record_make(fd);
        const struct peer_key key = peers_key(listener, address);

        if (!record) {
                peers_reject(&key, STATS_REJECTED_DESCRIPTORS);
                peers_remove(&key);
                return NULL;
        }
        find_user(&record->connection, address);
        begin(&record->connection, &key);
        atomic_store(&record->kind, FD_CONNECTION);
        return &record->connection;
}

void connection_add_client(int fd)
{
        static const struct peer_key nobody;
        struct fd_record *record = fd_record_make(fd);

        if (!record)
                return; /* its writes are not gathered */
        record->connection.local = false;
        begin(&record->connection, &nobody);
        atomic_store(&record->kind, FD_CONNECTION);
}

static enum stats_reason why_ended(const struct connection *connection)
{
        const struct conf_port *conf = connection->inspect.peer.listener->conf;

        /* The core began to count a moment earlier. */
        if (atomic_load(&connection->inspect.stage) != INSPECT_GREETED &&
            clock_now() - connection->begun >= (uint64_t)conf->handshake / 10 * 9)
                return STATS_REJECTED_HANDSHAKE;
        return conf->tls.node && atomic_load(&connection->inspect.stage) == INSPECT_SILENT
                       ? STATS_REJECTED_TLS
                       : STATS_REJECTED_PROTOCOL;
}

/* A client that has come as far as a call and has been silent, also when brickd sent PINGs. */
static bool is_dead(const struct connection *connection)
{
        return atomic_load(&connection->inspect.stage) == INSPECT_GREETED &&
               connection_second() - atomic_load(&connection->heard) > 1;
}

void connection_note_end(struct connection *connection)
{
        struct inspect *inspect = &connection->inspect;

        if (connection_is_client(connection) || goaway_announced() || is_dead(connection) ||
            atomic_load(&connection->ended) || atomic_load(&connection->disconnected) ||
            atomic_exchange(&inspect->explained, true))
                return;
        peers_reject(&inspect->peer, why_ended(connection));
}

void connection_remove(struct connection *connection)
{
        (void)pthread_mutex_lock(&connection->lock);
        atomic_store(&fd_record(connection->fd)->kind, FD_OTHER);
        unfinished_clear(&connection->inspect.frames.unfinished);
        (void)pthread_mutex_unlock(&connection->lock);
        if (!connection_is_client(connection))
                peers_remove(&connection->inspect.peer);
}

void connection_disconnect(struct connection *connection)
{
        atomic_store_explicit(&connection->disconnected, true, memory_order_release);
        (void)sys_shutdown(connection->fd, SHUT_RDWR);
}

bool connection_rearm(struct connection *connection)
{
        return sys_epoll_ctl(atomic_load(&connection->epoll), EPOLL_CTL_MOD, connection->fd,
                             &connection->event) == 0;
}

void connection_rearm_all(void)
{
        int fd = connection_end();
        struct connection *connection;

        while ((connection = connection_lock_below(&fd))) {
                if (atomic_exchange(&connection->rearm, false))
                        (void)connection_rearm(connection);
                (void)pthread_mutex_unlock(&connection->lock);
        }
}

bool connection_any_unread(void)
{
        int fd = connection_end();
        struct connection *connection;
        bool unread = false;

        while (!unread && (connection = connection_lock_below(&fd))) {
                unread = !connection_is_client(connection) &&
                         !atomic_load(&connection->disconnected) &&
                         !atomic_load(&connection->blocked) && io_has_unread(connection->fd);
                (void)pthread_mutex_unlock(&connection->lock);
        }
        return unread;
}

/* --- once a second --------------------------------------------------------------------------- */

/* Lock held. */
static void drop(struct connection *connection, enum stats_reason why)
{
        peers_reject(&connection->inspect.peer, why);
        connection_disconnect(connection);
}

static bool is_overdue(struct connection *connection, uint64_t now)
{
        uint64_t begun = unfinished_oldest(&connection->inspect.frames.unfinished);
        uint64_t most;

        if (connection_is_client(connection))
                return false;
        most = (uint64_t)connection->inspect.peer.listener->conf->request_time;
        return most > 0 && begun < now && now - begun > most &&
               !atomic_load(&connection->disconnected);
}

void connection_maintain(uint64_t now)
{
        int fd = connection_end();
        struct connection *connection;

        (void)atomic_fetch_add(&second, 1);
        while ((connection = connection_lock_below(&fd))) {
                if (is_overdue(connection, now))
                        drop(connection, STATS_REJECTED_SLOW);
                (void)pthread_mutex_unlock(&connection->lock);
        }
        connection_rearm_all();
}

unsigned connection_second(void)
{
        return atomic_load_explicit(&second, memory_order_relaxed);
}

void connection_shed(void)
{
        int fd = connection_end(), heaviest = -1;
        uint64_t most = 0;
        struct connection *connection;

        while ((connection = connection_lock_below(&fd))) {
                uint64_t weight = unfinished_weight(&connection->inspect.frames.unfinished);

                if (weight > most) {
                        most = weight;
                        heaviest = fd;
                }
                (void)pthread_mutex_unlock(&connection->lock);
        }
        connection = connection_of(heaviest);
        if (!connection)
                return;
        (void)pthread_mutex_lock(&connection->lock);
        if (connection_of(heaviest)) {
                atomic_store_explicit(&connection->shed, true, memory_order_release);
                unfinished_clear(&connection->inspect.frames.unfinished);
                drop(connection, STATS_REJECTED_MEMORY);
        }
        (void)pthread_mutex_unlock(&connection->lock);
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc/connection.h"
#include "rpc/gather.h"
#include "rpc/goaway.h"
#include "rpc/guest.h"
#include "rpc/linger.h"
#include "rpc/receive.h"
#include "serve/listener.h"
#include "util/clock.h"
#include "util/syscall.h"

/* A larger write would cost more to copy than its own system call does. */
#define WRITE_MAX (GATHER_SIZE / 2)

/* The most buffers that a thread keeps for reuse. */
#define SPARE_MAX 32

/* The most pieces of a message that are sent behind what is held. */
#define PIECES_MAX 260

/* Marks the data of an event as a connection's. No pointer has this bit; but a brick's event loop
 * may put anything into the events of its own epoll. */
#define EVENT_MARK (UINT64_C(1) << 63)

struct gather_buffer {
        struct gather_buffer *next; /* spare */
        unsigned char bytes[GATHER_SIZE + GATHER_FRAME_MAX];
};

static uint64_t longest;       /* ns, of gather_enable(); 0: nothing is held back */
static atomic_uint stalled[2]; /* connections of clients, and to backends */

/* What the calling thread holds back. */
static _Thread_local struct {
        bool holding;
        struct connection *list;
        uint64_t waited;                /* when the last wait ended */
        uint64_t since;                 /* the last flush or wait; 0: this thread never holds */
        unsigned writes, writes_before; /* since the last wait, and between the two before it */
        struct gather_buffer *spare;
        unsigned n_spare;
} mine;

/* --- buffers --------------------------------------------------------------------------------- */

static struct gather_buffer *buffer_take(void)
{
        struct gather_buffer *buffer = mine.spare;

        if (!buffer)
                return malloc(sizeof *buffer);
        mine.spare = buffer->next;
        mine.n_spare--;
        return buffer;
}

static void buffer_give(struct gather_buffer *buffer)
{
        if (!mine.since || mine.n_spare == SPARE_MAX) {
                free(buffer);
                return;
        }
        buffer->next = mine.spare;
        mine.spare = buffer;
        mine.n_spare++;
}

/* --- one connection; its lock is held -------------------------------------------------------- */

static void set_held(struct gather *g, bool held)
{
        atomic_store_explicit(&g->held, held, memory_order_release);
}

static void count_stalled(const struct connection *connection, unsigned n)
{
        (void)atomic_fetch_add_explicit(&stalled[connection_is_client(connection)], n,
                                        memory_order_relaxed);
}

static bool is_stalled(const struct gather *g)
{
        return g->buffer && !g->listed;
}

static void drop_buffer(struct gather *g)
{
        buffer_give(g->buffer);
        g->buffer = NULL;
}

/* Everything held has been sent, or dropped. */
static void all_sent(struct connection *connection)
{
        struct gather *g = &connection->gather;

        g->begin = g->end = 0;
        set_held(g, false);
        if (is_stalled(g)) {
                drop_buffer(g);
                count_stalled(connection, -1U);
        }
        linger_complete(connection);
}

/*
 * `blocked` is set before the send is tried. Otherwise the event that there is room could come
 * between a failed send and the setting, and would be missed.
 */
static void begin_send(struct connection *connection)
{
        atomic_store(&connection->blocked, true);
}

/* Another thread may have refused to read meanwhile, as if an event were to come. It comes now. */
static void end_send(struct connection *connection, bool full)
{
        if (full)
                return;
        atomic_store(&connection->blocked, false);
        if (atomic_load(&connection->read_refused) &&
            atomic_exchange(&connection->read_refused, false))
                (void)connection_rearm(connection);
}

/*
 * Whether the error means that the kernel takes no more. If that is for lack of memory, no event
 * reports the end of it, so the event is re-armed within a second.
 */
static bool is_full(struct connection *connection, int error)
{
        if (error == ENOBUFS || error == ENOMEM)
                atomic_store(&connection->rearm, true);
        return error == EAGAIN || error == ENOBUFS || error == ENOMEM;
}

int gather_push(struct connection *connection)
{
        struct gather *g = &connection->gather;
        int r = 0;

        if (g->begin < g->end)
                begin_send(connection);
        while (g->begin < g->end) {
                ssize_t n = send(connection->fd, g->buffer->bytes + g->begin, g->end - g->begin,
                                 MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n >= 0) {
                        g->begin += (size_t)n;
                } else if (is_full(connection, errno)) {
                        return -EAGAIN;
                } else if (errno != EINTR) {
                        r = -errno;
                        break;
                }
        }
        end_send(connection, false);
        all_sent(connection);
        return r;
}

/*
 * gather_push() when the core has not asked. The kernel reports an error only once, and it has now
 * reported it to brickd: disconnecting makes the core's next read or write fail.
 */
static void push_late(struct connection *connection)
{
        int r = gather_push(connection);

        if (r < 0 && r != -EAGAIN)
                connection_disconnect(connection);
}

static void append(struct gather *g, const void *bytes, size_t length)
{
        memcpy(g->buffer->bytes + g->end, bytes, length);
        g->end += length;
        set_held(g, true);
}

/* Gives the connection a buffer, and puts it on this thread's list. False: out of memory. */
static bool enlist(struct connection *connection)
{
        struct gather *g = &connection->gather;

        if (g->listed)
                return true;
        g->buffer = buffer_take();
        if (!g->buffer)
                return false;
        g->listed = true;
        g->next = mine.list;
        mine.list = connection;
        return true;
}

bool gather_add(struct connection *connection, const void *frame, size_t length)
{
        struct gather *g = &connection->gather;
        bool stalls = !g->buffer;

        if (stalls) {
                g->buffer = buffer_take();
                if (!g->buffer)
                        return false;
                count_stalled(connection, 1);
        }
        append(g, frame, length);
        if (stalls)
                push_late(connection);
        return true;
}

/* --- writing -------------------------------------------------------------------- */

static bool may_hold(const struct msghdr *message, size_t size, int flags)
{
        if (!mine.holding)
                return false;
        /* Holding back a single write gains nothing. The first write after a wait is assumed to be
         * single if the last one was. */
        mine.writes++;
        if (mine.writes == 1 && mine.writes_before <= 1)
                return false;
        return size <= WRITE_MAX && flags == MSG_NOSIGNAL && message->msg_controllen == 0;
}

static bool has_room(const struct gather *g, size_t size)
{
        return g->begin == g->end || (g->listed && g->end + size <= GATHER_SIZE);
}

static ssize_t hold_back(struct gather *g, const struct msghdr *message, size_t size)
{
        for (size_t i = 0; i < message->msg_iovlen; i++)
                append(g, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
        return (ssize_t)size;
}

static ssize_t write_now(struct connection *connection, const struct msghdr *message, int flags)
{
        bool full;
        ssize_t n;

        begin_send(connection);
        n = sys_sendmsg(connection->fd, message, flags);
        full = n < 0 && is_full(connection, errno);
        end_send(connection, full);
        if (full)
                errno = EAGAIN;
        return n;
}

/* Sends what is held, and the message behind it, in one system call. */
static ssize_t write_behind(struct connection *connection, const struct msghdr *message, int flags)
{
        struct gather *g = &connection->gather;
        size_t held = g->end - g->begin, count = message->msg_iovlen;
        struct iovec pieces[1 + PIECES_MAX];
        struct msghdr both = *message;
        ssize_t n;

        if (count > PIECES_MAX)
                count = PIECES_MAX;
        pieces[0] = (struct iovec){ g->buffer->bytes + g->begin, held };
        memcpy(pieces + 1, message->msg_iov, count * sizeof *pieces);
        both.msg_iov = pieces;
        both.msg_iovlen = 1 + count;
        n = write_now(connection, &both, flags);
        if (n < 0)
                return -1;
        if ((size_t)n < held)
                g->begin += (size_t)n;
        else
                all_sent(connection);
        if ((size_t)n > held)
                return n - (ssize_t)held;
        errno = EAGAIN; /* nothing of the message has been sent */
        return -1;
}

static ssize_t write_message(struct connection *connection, const struct msghdr *message,
                             size_t size, int flags)
{
        struct gather *g = &connection->gather;

        if (atomic_load_explicit(&connection->disconnected, memory_order_relaxed)) {
                errno = ECONNRESET;
                return -1;
        }
        if (may_hold(message, size, flags) && has_room(g, size) && enlist(connection))
                return hold_back(g, message, size);
        return g->begin == g->end ? write_now(connection, message, flags)
                                  : write_behind(connection, message, flags);
}

/* decrypt.c does this for TLS. */
static void inspect_message(struct inspect *inspect, const struct msghdr *message, size_t written)
{
        for (const struct iovec *piece = message->msg_iov; written > 0; piece++) {
                size_t n = written < piece->iov_len ? written : piece->iov_len;

                if (!frames_sent_rest(&inspect->sent, n))
                        frames_sent(&inspect->sent, piece->iov_base, n,
                                    &inspect->frames.unfinished);
                written -= n;
        }
        inspect_sent(inspect);
}

ssize_t gather_write(struct connection *connection, const struct msghdr *message, int flags)
{
        size_t size = message_size(message);
        ssize_t n;

        (void)pthread_mutex_lock(&connection->lock);
        n = write_message(connection, message, size, flags);
        if (n < 0 && errno != EAGAIN)
                atomic_store(&connection->ended, true);
        if (n > 0 && !connection_is_client(connection) &&
            !connection->inspect.peer.listener->conf->tls.node)
                inspect_message(&connection->inspect, message, (size_t)n);
        goaway_note_write(connection, message, size, n);
        (void)pthread_mutex_unlock(&connection->lock);
        return n;
}

/* --- waiting ----------------------------------------------------------------- */

/* The mark has the descriptor and the serial of a connection, so that a late event is not taken for
 * one of the next connection with the same descriptor. */
static uint64_t mark_of(const struct connection *connection)
{
        return EVENT_MARK | (uint64_t)atomic_load(&connection->serial) << FD_BITS |
               (uint64_t)connection->fd;
}

void gather_mark(struct connection *connection, int epoll, const struct epoll_event *event)
{
        atomic_store_explicit(&connection->data, event->data.u64, memory_order_relaxed);
        connection->event = *event;
        connection->event.data.u64 = mark_of(connection);
        atomic_store_explicit(&connection->epoll, epoll, memory_order_release);
}

/* The connection that the event belongs to; NULL: none, it is of something else. */
static struct connection *marked(int epoll, uint64_t data)
{
        struct fd_record *record = data & EVENT_MARK ? fd_record((int)(data & (FD_MAX - 1))) : NULL;
        struct connection *connection = record ? &record->connection : NULL;

        return connection && mark_of(connection) == data &&
                               atomic_load_explicit(&connection->epoll, memory_order_acquire) ==
                                       epoll
                       ? connection
                       : NULL;
}

/*
 * EPOLLHUP: the peer has reset the connection. The core would not notice if this event came while
 * it reads: it stops reading when TCP_INQ reports 0 bytes, and after a reset the kernel reports
 * that without an error.
 */
static void note_hangup(struct connection *connection, uint64_t mark)
{
        (void)pthread_mutex_lock(&connection->lock);
        if (mark_of(connection) == mark)
                atomic_store_explicit(&connection->disconnected, true, memory_order_release);
        (void)pthread_mutex_unlock(&connection->lock);
}

/* True: the core gets the event, too. */
static bool on_event(struct connection *connection, const struct epoll_event *event)
{
        struct gather *g = &connection->gather;
        bool room = event->events & EPOLLOUT && atomic_load(&connection->blocked);
        bool closed, over;

        if (event->events & EPOLLHUP)
                note_hangup(connection, event->data.u64);
        atomic_store_explicit(&connection->event_came, true, memory_order_release);
        if (!room && !atomic_load_explicit(&g->held, memory_order_acquire))
                return true;
        (void)pthread_mutex_lock(&connection->lock);
        closed = g->closed;
        if (room)
                atomic_store(&connection->blocked, false);
        if (is_stalled(g))
                push_late(connection);
        over = linger_is_over(connection);
        (void)pthread_mutex_unlock(&connection->lock);
        if (over)
                (void)close(connection->fd);
        return !closed;
}

static int pass_events(int epoll, struct epoll_event *events, int n)
{
        int given = 0;

        for (int i = 0; i < n; i++) {
                struct epoll_event event = events[i];
                struct connection *connection;

                connection = marked(epoll, event.data.u64);
                if (!connection && guest_is_event(epoll, event.data.u64)) {
                        guest_ready();
                        continue;
                }
                if (connection && !on_event(connection, &event))
                        continue;
                if (connection)
                        event.data.u64 = atomic_load_explicit(&connection->data,
                                                              memory_order_relaxed);
                events[given++] = event;
        }
        return given;
}

int gather_wait(int epoll, struct epoll_event *events, int max, int timeout)
{
        int n;

        gather_flush();
        receive_forget_peer();
        if (mine.writes > 0) {
                mine.writes_before = mine.writes;
                mine.writes = 0;
        }
        n = epoll_pwait(epoll, events, max, timeout,
                        NULL); /* libc's epoll_wait(), which brickd replaces */
        mine.waited = clock_now();
        if (mine.since)
                mine.since = mine.waited;
        return n > 0 ? pass_events(epoll, events, n) : n;
}

/* --- the polling thread ---------------------------------------------------------------------- */

void gather_enable(uint64_t ns)
{
        longest = ns;
}

void gather_begin(void)
{
        mine.holding = longest > 0;
        if (!mine.since)
                mine.since = clock_now();
}

/* Called also after work that has written nothing: much of it may come before the next wait. */
static void flush_if_late(void)
{
        uint64_t now;

        if (!mine.list)
                return;
        now = clock_recent();
        if (now - mine.since < longest)
                return;
        gather_flush();
        mine.since = now;
}

void gather_end(void)
{
        mine.holding = false;
        flush_if_late();
}

uint64_t gather_waited(void)
{
        return mine.waited;
}

bool gather_held(void)
{
        return mine.list;
}

void gather_flush(void)
{
        struct connection *connection;
        bool over;

        while ((connection = mine.list)) {
                struct gather *g = &connection->gather;

                (void)pthread_mutex_lock(&connection->lock);
                mine.list = g->next;
                push_late(connection);
                g->listed = false;
                if (g->begin == g->end)
                        drop_buffer(g);
                else
                        count_stalled(connection, 1);
                over = linger_is_over(connection);
                (void)pthread_mutex_unlock(&connection->lock);
                if (over)
                        (void)close(connection->fd);
        }
}

void gather_done(void)
{
        struct gather_buffer *buffer;

        while ((buffer = mine.spare)) {
                mine.spare = buffer->next;
                free(buffer);
        }
        mine.n_spare = 0;
        mine.since = 0;
}

unsigned gather_stalled(void)
{
        return atomic_load_explicit(&stalled[false], memory_order_relaxed);
}

bool gather_stalled_any(void)
{
        return gather_stalled() > 0 ||
               atomic_load_explicit(&stalled[true], memory_order_relaxed) > 0;
}

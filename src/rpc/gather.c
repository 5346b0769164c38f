/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc/connection.h"
#include "rpc/gather.h"
#include "rpc/syscall.h"
#include "util/clock.h"

/* A larger write costs more to copy than its system call. */
#define WRITE_MAX (GATHER_SIZE / 2)

/* Buffers that a thread keeps to use again. */
#define SPARE_MAX 32

/* The core hands the kernel at most so many pieces at once: after so many, a write may go on. */
#define CORE_IOVEC_MAX 260

/* So long a peer may take for the last bytes of a connection that the core has closed: as long as
 * TCP has to acknowledge them. A unix socket knows no such time. */
#define LAST_BYTES_NS (20 * NSEC_PER_SEC)

/* Marks an event of a connection: the rest is its descriptor. No pointer has this bit; but a
 * brick's event loop may put anything in the events of an epoll of its own. */
#define EVENT_MARK (UINT64_C(1) << 63)

/* Length 8, type 7, stream 0; no stream is refused, NO_ERROR. */
static const unsigned char goaway[] = { 0,    0,    8,    7,    0, 0, 0, 0, 0,
                                        0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0 };

struct buffer {
        struct buffer *next; /* spare */
        unsigned char bytes[GATHER_SIZE + sizeof goaway];
};

/*
 * One per descriptor number, made for its first connection and never freed. A buffer is there while
 * the connection is on the list of a thread, which will flush it, or while it is stalled: the
 * kernel takes no more, and its next EPOLLOUT will flush it.
 */
struct gather {
        int fd;
        atomic_int epoll;      /* where the core waits for it */
        _Atomic uint64_t data; /* what the core wants to see in its events */
        atomic_bool event;     /* one has come */
        atomic_bool open;      /* the number is a connection's */
        atomic_bool held;      /* bytes are; changes with the lock held */
        atomic_bool lost;      /* nothing more can be written to the peer */

        pthread_mutex_t lock; /* for all below */
        struct buffer *buffer;
        size_t begin, end; /* of the bytes in it */
        bool listed;
        struct gather *next; /* on the list */
        bool shut, closed;   /* by the core; to be done when the bytes have gone */
        uint64_t closed_at;

        bool whole;   /* the core's last write has ended, and with it a frame */
        bool greeted; /* in plain text */
        bool told;    /* GOAWAY */
};

static _Atomic(struct gather *) table[FD_MAX]; /* zero pages until touched */
static atomic_int highest = -1;                /* that has a record */
static uint64_t longest;                       /* ns; 0: nothing is held back */
static atomic_bool retiring;
static atomic_uint stalled;

/* What a thread holds back. */
static _Thread_local struct {
        bool holding;
        struct gather *list;
        uint64_t since;                 /* of the last flush or wait; 0: this thread never holds */
        unsigned writes, writes_before; /* between two waits */
        struct buffer *spare;
        unsigned n_spare;
} mine;

/* --- buffers --------------------------------------------------------------------------------- */

static struct buffer *buffer_take(void)
{
        struct buffer *buffer = mine.spare;

        if (!buffer)
                return malloc(sizeof *buffer);
        mine.spare = buffer->next;
        mine.n_spare--;
        return buffer;
}

static void buffer_give(struct buffer *buffer)
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

static struct gather *record_of(int fd)
{
        return fd >= 0 && fd < FD_MAX ? atomic_load_explicit(&table[fd], memory_order_acquire)
                                      : NULL;
}

/* NULL: the descriptor is none. */
static struct gather *gather_of(int fd)
{
        struct gather *g = record_of(fd);

        return g && atomic_load_explicit(&g->open, memory_order_relaxed) ? g : NULL;
}

/* The next connection below *fd, which becomes its number; locked. NULL: there is none. */
static struct gather *lock_below(int *fd)
{
        struct gather *g;

        while (--*fd >= 0) {
                g = gather_of(*fd);
                if (!g)
                        continue;
                (void)pthread_mutex_lock(&g->lock);
                if (atomic_load_explicit(&g->open, memory_order_relaxed))
                        return g;
                (void)pthread_mutex_unlock(&g->lock);
        }
        return NULL;
}

static void set_held(struct gather *g, bool held)
{
        atomic_store_explicit(&g->held, held, memory_order_release);
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

/* Nothing is held any more: what had to wait for that is done. */
static void settle(struct gather *g)
{
        g->begin = g->end = 0;
        set_held(g, false);
        if (is_stalled(g)) {
                drop_buffer(g);
                (void)atomic_fetch_sub_explicit(&stalled, 1, memory_order_relaxed);
        }
        if (g->shut)
                (void)sys_shutdown(g->fd, SHUT_RDWR);
        g->shut = false;
}

/*
 * Sends what is held. -EAGAIN: the kernel takes no more, so that EPOLLOUT will come. Another error:
 * the connection is lost, and the bytes with it.
 */
static int push(struct gather *g)
{
        int r = 0;

        while (g->begin < g->end) {
                ssize_t n = send(g->fd, g->buffer->bytes + g->begin, g->end - g->begin,
                                 MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n >= 0) {
                        g->begin += (size_t)n;
                } else if (errno == EAGAIN || errno == ENOBUFS) {
                        return -EAGAIN;
                } else if (errno != EINTR) {
                        r = -errno;
                        break;
                }
        }
        settle(g);
        return r;
}

/*
 * As push(), when it is not the core that asks. The kernel tells of an error once, and it has told
 * us: shut down, the connection becomes readable, and gather_is_lost() tells the core.
 */
static void push_late(struct gather *g)
{
        int r = push(g);

        if (r == 0 || r == -EAGAIN)
                return;
        atomic_store_explicit(&g->lost, true, memory_order_release);
        (void)sys_shutdown(g->fd, SHUT_RDWR);
}

static void append(struct gather *g, const void *bytes, size_t length)
{
        memcpy(g->buffer->bytes + g->end, bytes, length);
        g->end += length;
        set_held(g, true);
}

/* The connection gets a buffer, and a place on this thread's list. */
static bool enlist(struct gather *g)
{
        if (g->listed)
                return true;
        g->buffer = buffer_take();
        if (!g->buffer)
                return false;
        g->listed = true;
        g->next = mine.list;
        mine.list = g;
        return true;
}

/* --- saying goodbye -------------------------------------------------------------------------- */

/* A frame must not come between the halves of another; and a client that has yet to see the
 * SETTINGS would take it for a failure to connect. */
static bool may_tell(const struct gather *g)
{
        return atomic_load_explicit(&g->open, memory_order_relaxed) && g->greeted && g->whole &&
               !g->told && !g->shut && !g->closed &&
               !atomic_load_explicit(&g->lost, memory_order_relaxed);
}

static void tell_goaway(struct gather *g)
{
        bool stalls = !g->buffer;

        if (!may_tell(g))
                return;
        if (stalls) {
                g->buffer = buffer_take();
                if (!g->buffer)
                        return;
                (void)atomic_fetch_add_explicit(&stalled, 1, memory_order_relaxed);
        }
        append(g, goaway, sizeof goaway);
        g->told = true;
        if (stalls)
                push_late(g);
}

void gather_goaway(void)
{
        struct gather *g;
        int fd;

        atomic_store(&retiring, true);
        fd = atomic_load(&highest) + 1; /* later ones find that they are retiring */
        while ((g = lock_below(&fd))) {
                tell_goaway(g);
                (void)pthread_mutex_unlock(&g->lock);
        }
}

/* --- what the core writes -------------------------------------------------------------------- */

static size_t message_size(const struct msghdr *message)
{
        size_t size = 0;

        for (size_t i = 0; i < message->msg_iovlen; i++)
                size += message->msg_iov[i].iov_len;
        return size;
}

static bool may_hold(const struct msghdr *message, size_t size, int flags)
{
        if (!mine.holding)
                return false;
        /* A lone write would gain nothing; it is taken for one if the last was. */
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

/* What is held, and the message behind it, in one system call. */
static ssize_t write_behind(struct gather *g, const struct msghdr *message, int flags)
{
        size_t held = g->end - g->begin, count = message->msg_iovlen;
        struct iovec pieces[1 + CORE_IOVEC_MAX];
        struct msghdr both = *message;
        ssize_t n;

        if (count > CORE_IOVEC_MAX)
                count = CORE_IOVEC_MAX;
        pieces[0] = (struct iovec){ g->buffer->bytes + g->begin, held };
        memcpy(pieces + 1, message->msg_iov, count * sizeof *pieces);
        both.msg_iov = pieces;
        both.msg_iovlen = 1 + count;
        n = sys_sendmsg(g->fd, &both, flags);
        if (n < 0)
                return -1;
        if ((size_t)n < held)
                g->begin += (size_t)n;
        else
                settle(g);
        if ((size_t)n > held)
                return n - (ssize_t)held;
        errno = EAGAIN; /* of the message, nothing */
        return -1;
}

static ssize_t write_message(struct gather *g, const struct msghdr *message, int flags)
{
        size_t size = message_size(message);

        if (atomic_load_explicit(&g->lost, memory_order_relaxed)) {
                errno = ECONNRESET;
                return -1;
        }
        if (may_hold(message, size, flags) && has_room(g, size) && enlist(g))
                return hold_back(g, message, size);
        return g->begin == g->end ? sys_sendmsg(g->fd, message, flags)
                                  : write_behind(g, message, flags);
}

static void note_write(struct gather *g, const struct msghdr *message, ssize_t written)
{
        g->whole = written >= 0 && (size_t)written == message_size(message) &&
                   message->msg_iovlen < CORE_IOVEC_MAX;
        if (atomic_load_explicit(&retiring, memory_order_relaxed))
                tell_goaway(g);
}

__attribute__((visibility("default"))) ssize_t sendmsg(int fd, const struct msghdr *message,
                                                       int flags)
{
        struct gather *g = gather_of(fd);
        ssize_t n;

        if (!g)
                return sys_sendmsg(fd, message, flags);
        (void)pthread_mutex_lock(&g->lock);
        n = write_message(g, message, flags);
        note_write(g, message, n);
        (void)pthread_mutex_unlock(&g->lock);
        return n;
}

/* --- what the core waits for ----------------------------------------------------------------- */

/* The core has closed the connection, and its last bytes have gone. */
static bool take_over(struct gather *g)
{
        bool over = g->closed && g->begin == g->end;

        g->closed = g->closed && !over;
        return over;
}

void gather_mark(int fd, int epoll, struct epoll_event *event)
{
        struct gather *g = gather_of(fd);

        if (!g)
                return;
        atomic_store_explicit(&g->epoll, epoll, memory_order_relaxed);
        atomic_store_explicit(&g->data, event->data.u64, memory_order_relaxed);
        event->data.u64 = EVENT_MARK | (uint64_t)fd;
}

bool gather_event_came(int fd)
{
        struct gather *g = gather_of(fd);

        if (!g)
                return true;
        if (!atomic_load_explicit(&g->event, memory_order_acquire))
                return false;
        atomic_store_explicit(&g->event, false, memory_order_relaxed);
        return true;
}

/* The connection whose event this is; NULL: it is of something else. */
static struct gather *marked(int epoll, uint64_t data)
{
        struct gather *g = data & EVENT_MARK ? record_of((int)(data & ~EVENT_MARK)) : NULL;

        return g && atomic_load_explicit(&g->epoll, memory_order_relaxed) == epoll ? g : NULL;
}

/*
 * True: the event is for the core, too. EPOLLHUP: the peer takes nothing any more. The core would
 * not learn of it if this event came while it reads: it stops when TCP_INQ says that nothing is
 * left, and after a reset the kernel says so without a sign that the end has come.
 */
static bool on_event(struct gather *g, uint32_t events)
{
        bool closed, over;

        if (events & EPOLLHUP)
                atomic_store_explicit(&g->lost, true, memory_order_release);
        atomic_store_explicit(&g->event, true, memory_order_release);
        if (!atomic_load_explicit(&g->held, memory_order_acquire))
                return true;
        (void)pthread_mutex_lock(&g->lock);
        closed = g->closed;
        if (is_stalled(g))
                push_late(g);
        over = take_over(g);
        (void)pthread_mutex_unlock(&g->lock);
        if (over)
                (void)close(g->fd);
        return !closed;
}

static int give_events(int epoll, struct epoll_event *events, int n)
{
        int given = 0;

        for (int i = 0; i < n; i++) {
                struct epoll_event event = events[i];
                struct gather *g = marked(epoll, event.data.u64);

                if (g && !on_event(g, event.events))
                        continue;
                if (g)
                        event.data.u64 = atomic_load_explicit(&g->data, memory_order_relaxed);
                events[given++] = event;
        }
        return given;
}

__attribute__((visibility("default"))) int epoll_wait(int epoll, struct epoll_event *events,
                                                      int max, int timeout)
{
        int n;

        gather_flush();
        if (mine.writes > 0) {
                mine.writes_before = mine.writes;
                mine.writes = 0;
        }
        n = epoll_pwait(epoll, events, max, timeout, NULL); /* epoll_wait() by another name */
        if (mine.since)
                mine.since = clock_now();
        return n > 0 ? give_events(epoll, events, n) : n;
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

/* Also after work that has written nothing: there may be much of it before the next wait. */
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

bool gather_held(void)
{
        return mine.list;
}

void gather_flush(void)
{
        struct gather *g;
        bool over;

        while ((g = mine.list)) {
                (void)pthread_mutex_lock(&g->lock);
                mine.list = g->next;
                push_late(g);
                g->listed = false;
                if (g->begin == g->end)
                        drop_buffer(g);
                else
                        (void)atomic_fetch_add_explicit(&stalled, 1, memory_order_relaxed);
                over = take_over(g);
                (void)pthread_mutex_unlock(&g->lock);
                if (over)
                        (void)close(g->fd);
        }
}

void gather_leave(void)
{
        struct buffer *buffer;

        while ((buffer = mine.spare)) {
                mine.spare = buffer->next;
                free(buffer);
        }
        mine.n_spare = 0;
        mine.since = 0;
}

unsigned gather_stalled(void)
{
        return atomic_load_explicit(&stalled, memory_order_relaxed);
}

void gather_disconnect(void)
{
        int fd = atomic_load(&highest) + 1;
        struct gather *g;

        while ((g = lock_below(&fd))) {
                (void)sys_shutdown(fd, SHUT_RDWR);
                (void)pthread_mutex_unlock(&g->lock);
        }
}

/* The next event of a connection that is down finds the bytes lost, and closes it. */
void gather_look(uint64_t now)
{
        int fd = atomic_load(&highest) + 1;
        struct gather *g;

        if (gather_stalled() == 0)
                return;
        while ((g = lock_below(&fd))) {
                if (g->closed && now >= g->closed_at + LAST_BYTES_NS)
                        (void)sys_shutdown(fd, SHUT_RDWR);
                (void)pthread_mutex_unlock(&g->lock);
        }
}

/* --- the life of a connection ---------------------------------------------------------------- */

static struct gather *gather_new(int fd)
{
        struct gather *g = calloc(1, sizeof *g);
        int top = atomic_load(&highest);

        if (!g)
                return NULL;
        g->fd = fd;
        (void)pthread_mutex_init(&g->lock, NULL);
        atomic_store_explicit(&table[fd], g, memory_order_release);
        while (top < fd && !atomic_compare_exchange_weak(&highest, &top, fd))
                ;
        return g;
}

void gather_open(int fd)
{
        struct gather *g = record_of(fd);

        if (!g && fd >= 0 && fd < FD_MAX)
                g = gather_new(fd);
        if (!g)
                return; /* as every other descriptor */
        (void)pthread_mutex_lock(&g->lock);
        atomic_store_explicit(&g->open, true, memory_order_relaxed);
        atomic_store_explicit(&g->event, false, memory_order_relaxed);
        g->whole = g->greeted = g->told = false;
        atomic_store_explicit(&g->lost, false, memory_order_relaxed);
        (void)pthread_mutex_unlock(&g->lock);
}

bool gather_is_lost(int fd)
{
        struct gather *g = gather_of(fd);

        return g && atomic_load_explicit(&g->lost, memory_order_acquire);
}

/* A client that has just connected has a call to send: it hears of GOAWAY with the next write. */
void gather_greeted(int fd)
{
        struct gather *g = gather_of(fd);

        if (!g)
                return;
        (void)pthread_mutex_lock(&g->lock);
        g->greeted = true;
        (void)pthread_mutex_unlock(&g->lock);
}

bool gather_shutdown(int fd)
{
        struct gather *g = gather_of(fd);
        bool later;

        if (!g)
                return false;
        (void)pthread_mutex_lock(&g->lock);
        later = push(g) == -EAGAIN;
        g->shut = later;
        (void)pthread_mutex_unlock(&g->lock);
        return later;
}

bool gather_close(int fd)
{
        struct gather *g = gather_of(fd);
        bool later;

        if (!g)
                return false;
        (void)pthread_mutex_lock(&g->lock);
        later = push(g) == -EAGAIN;
        g->closed = later;
        g->closed_at = clock_now();
        atomic_store_explicit(&g->open, later, memory_order_relaxed);
        (void)pthread_mutex_unlock(&g->lock);
        return later;
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "rpc/connection.h"
#include "rpc/goaway.h"
#include "rpc/receive.h"
#include "serve/listener.h"
#include "util/clock.h"
#include "util/syscall.h"

/*
 * A budget, in bytes: as many as contained BUDGET_CALLS calls in the last one, and more for a
 * client that sends messages rather than calls, most of all if they are large.
 */
#define BUDGET ((size_t)16 * 1024)
#define BUDGET_DATA (4 * BUDGET)
#define BUDGET_LARGE (16 * BUDGET)
#define BUDGET_MIN ((size_t)1024)
#define BUDGET_FIRST ((size_t)512)
#define BUDGET_CALLS 64
#define LARGE_MESSAGE ((size_t)8 * 1024)

/* For what backends send, which is not counted. */
#define BUDGET_CLIENT (2 * BUDGET)

/* A client that has begun so many calls with one budget, or while reading is held, waits for
 * others. */
#define MANY_CALLS 8

static size_t next_size(const struct connection *connection)
{
        const struct frames *frames = &connection->inspect.frames;
        const struct budget *budget = &connection->budget;
        size_t taken = budget->size - budget->left, size;
        uint64_t calls = frames->calls - budget->calls;

        if (connection_is_client(connection))
                return BUDGET_CLIENT;
        if (budget->size == 0)
                return BUDGET_FIRST;
        if (taken < budget->size / 2) /* too little to judge by */
                return budget->size;
        if (frames->data - budget->data > taken / 8 * 7)
                return taken / LARGE_MESSAGE > frames->messages - budget->messages ? BUDGET_LARGE
                                                                                   : BUDGET_DATA;
        if (calls == 0)
                return BUDGET;
        size = taken / calls * BUDGET_CALLS;
        if (size > BUDGET)
                return BUDGET;
        return size < BUDGET_MIN ? BUDGET_MIN : size;
}

static void give_budget(struct connection *connection)
{
        const struct frames *frames = &connection->inspect.frames;
        struct budget *budget = &connection->budget;

        budget->size = budget->left = next_size(connection);
        budget->data = frames->data;
        budget->calls = frames->calls;
        budget->messages = frames->messages;
        budget->spent = false;
}

/* --- what takes long --------------------------------------------------------------------------
 */

/* Once the events of one wait have taken LATE_NS, at most one more thing that takes long is done
 * before the next wait. If another thread does the waiting, the next one is refused for ANYWAY_NS
 * only. */
#define LATE_NS (5 * NSEC_PER_MSEC)
#define ANYWAY_NS NSEC_PER_SEC

static bool may_take_long(void)
{
        static _Thread_local uint64_t last_wait, refused; /* since when; 0: nothing is refused */
        uint64_t now = clock_now(), wait = gather_waited();

        if (wait > 0 && now - wait > LATE_NS && wait == last_wait) {
                if (refused == 0)
                        refused = now;
                if (now - refused < ANYWAY_NS)
                        return false;
        }
        refused = 0;
        last_wait = wait;
        return true;
}

/* --- calls ------------------------------------------------------------------------------------
 */

static atomic_uint holds; /* begun and ended ones: odd, while reading is held */

void receive_hold(void)
{
        (void)atomic_fetch_or(&holds, 1);
}

void receive_release(void)
{
        if (!(atomic_load(&holds) & 1))
                return;
        (void)atomic_fetch_add(&holds, 1);
        connection_rearm_all();
}

static bool is_held(void)
{
        return atomic_load(&holds) & 1;
}

/* Whether the client has begun many calls since shortly before reading was held. `rearm` is set
 * before is_held() is asked again: so either this or receive_release() sees what the other does. */
static bool waits_for_release(struct connection *connection)
{
        struct budget *budget = &connection->budget;
        unsigned hold = atomic_load_explicit(&holds, memory_order_acquire);

        if (!(hold & 1))
                return false;
        if (budget->hold != hold) {
                budget->hold = hold;
                budget->held = budget->calls;
        }
        if (connection->inspect.frames.calls - budget->held < MANY_CALLS)
                return false;
        atomic_store(&connection->rearm, true);
        return is_held();
}

/* Whether the client began many calls with its last budget, and others are to be served first. */
static bool waits_for_others(struct connection *connection)
{
        return connection->inspect.frames.calls - connection->budget.calls >= MANY_CALLS &&
               !may_take_long() && connection_rearm(connection);
}

/* Whether the client has begun as many calls in this second as limits.calls allows a connection. */
static bool has_begun_enough(struct connection *connection)
{
        const struct inspect *inspect = &connection->inspect;
        struct budget *budget = &connection->budget;
        unsigned second = connection_second();
        uint64_t most;

        if (connection_is_client(connection))
                return false;
        most = inspect->peer.listener->conf->max_calls;
        if (budget->second != second) {
                budget->second = second;
                budget->begun = inspect->frames.calls;
        }
        return most > 0 && inspect->frames.calls - budget->begun >= most;
}

static bool event_came(struct connection *connection)
{
        if (!atomic_load_explicit(&connection->event_came, memory_order_acquire))
                return false;
        atomic_store_explicit(&connection->event_came, false, memory_order_relaxed);
        return true;
}

/* `read_refused` is set before `blocked` is read again: if a send has ended in between, either this
 * finds out, or the sender sees it. */
static bool is_blocked(struct connection *connection)
{
        if (!atomic_load_explicit(&connection->blocked, memory_order_acquire))
                return false;
        atomic_store(&connection->read_refused, true);
        return atomic_load(&connection->blocked);
}

/*
 * False: the budget is spent, and the core is to be told that nothing has come. It uses
 * edge-triggered epoll, so its event is re-armed, once: the event then comes when other connections
 * have been read; in the next second, if the client has begun enough calls in this one; or after
 * receive_release().
 */
static bool may_read(struct connection *connection)
{
        struct budget *budget = &connection->budget;

        /* The event that there is room to send again also reports what there is to read. After
         * GOAWAY everything is read: what is on its way is to be served. From a backend, too: it
         * may do the same, and then each would wait for the other. */
        if (!connection_is_client(connection) && is_blocked(connection) && !goaway_announced())
                return false;
        if (waits_for_release(connection) && !goaway_announced())
                return false;
        if (event_came(connection) || budget->size == 0) {
                if (waits_for_others(connection))
                        return false;
                give_budget(connection);
        }
        if (has_begun_enough(connection)) {
                atomic_store(&connection->rearm, true);
                return false;
        }
        if (budget->left > 0)
                return true;
        if (budget->spent)
                return false;
        budget->spent = true;
        if (connection_rearm(connection))
                return false;
        give_budget(connection); /* the core does not wait for an event */
        return true;
}

/* recvmsg() of at most so many bytes, which are fewer than the message has room for. */
static ssize_t receive_part(int fd, struct msghdr *message, int flags, size_t most)
{
        struct iovec *last = message->msg_iov, whole;
        size_t n = message->msg_iovlen;
        ssize_t r;

        for (; last->iov_len < most; last++)
                most -= last->iov_len;
        whole = *last;
        last->iov_len = most;
        message->msg_iovlen = (size_t)(last - message->msg_iov) + 1;
        r = sys_recvmsg(fd, message, flags);
        message->msg_iovlen = n;
        *last = whole;
        return r;
}

/* The core makes room for megabytes for a client that sends much, so the budget limits each read.
 */
static ssize_t receive_within_budget(struct connection *connection, struct msghdr *message,
                                     int flags)
{
        size_t left = connection->budget.left;
        ssize_t n;

        n = message_size(message) <= left ? sys_recvmsg(connection->fd, message, flags)
                                          : receive_part(connection->fd, message, flags, left);
        if (n > 0)
                connection->budget.left -= (size_t)n;
        return n;
}

/* Whether the core may have what has been read. For TLS, decrypt.c checks that. */
static bool inspect_message(struct connection *connection, const struct msghdr *message,
                            size_t length)
{
        struct inspect *inspect = &connection->inspect;
        bool greeted = inspect->frames.greeted;

        if (connection_is_client(connection) || inspect->peer.listener->conf->tls.node)
                return true;
        for (const struct iovec *piece = message->msg_iov; length > 0; piece++) {
                size_t n = length < piece->iov_len ? length : piece->iov_len;

                if (!inspect_bytes(inspect, piece->iov_base, n))
                        return false;
                length -= n;
        }
        if (inspect->frames.greeted && !greeted)
                goaway_greeted(connection);
        return true;
}

static ssize_t fail(int error)
{
        errno = error;
        return -1;
}

/* --- the end of a connection ------------------------------------------------------------------ */

/*
 * The connection is over. When the core hears of it, it ends all its calls before it does anything
 * else, which takes some 30 us for each. So if many connections end at once, the core hears of them
 * one by one, and others are served in between. `error`: what it then hears, 0 the end of input.
 */
static ssize_t end_in_turn(struct connection *connection, int error)
{
        if (!may_take_long() && connection_rearm(connection))
                return fail(EAGAIN);
        return error ? fail(error) : 0;
}

static ssize_t end_disconnected(struct connection *connection)
{
        if (atomic_load_explicit(&connection->shed, memory_order_acquire))
                return fail(ECONNRESET);
        return end_in_turn(connection, ECONNRESET);
}

static _Thread_local const struct connection *last;

const struct peer_key *receive_peer(void)
{
        return last && !connection_is_client(last) ? &last->inspect.peer : NULL;
}

void receive_forget_peer(void)
{
        last = NULL;
}

ssize_t receive_message(struct connection *connection, struct msghdr *message, int flags)
{
        ssize_t n;

        last = connection;
        if (atomic_load_explicit(&connection->disconnected, memory_order_acquire))
                return end_disconnected(connection);
        if (!may_read(connection))
                return fail(EAGAIN);
        n = receive_within_budget(connection, message, flags);
        if (n == 0) {
                atomic_store(&connection->ended, true);
                return end_in_turn(connection, 0);
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
                atomic_store(&connection->ended, true);
                return end_in_turn(connection, errno);
        }
        if (n > 0)
                atomic_store_explicit(&connection->heard, connection_second(),
                                      memory_order_relaxed);
        if (n > 0 && !inspect_message(connection, message, (size_t)n)) {
                /* An error alone is not enough: the core would first wait for its pending write,
                 * which the client may never read. */
                (void)pthread_mutex_lock(&connection->lock);
                connection_disconnect(connection);
                (void)pthread_mutex_unlock(&connection->lock);
                return end_disconnected(connection);
        }
        return n;
}

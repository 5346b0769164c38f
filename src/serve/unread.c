/* SPDX-License-Identifier: MIT */
#include <search.h>
#include <stdlib.h>

#include "serve/unread.h"
#include "util/clock.h"

/* A client that has read a reply within this time is reading: it may have more than the limit,
 * which it will soon have read. */
#define PAUSE_NS (500 * NSEC_PER_MSEC)

/* So many times the limit is too much even for a client that reads; and for all connections
 * together, for a client that does not. */
#define LIMIT_FACTOR 4

struct backlog {
        uintptr_t connection; /* first: what compare() looks at */
        size_t bytes;
        unsigned replies;
        uint64_t read; /* when the client last read one; 0: never */
};

static int compare(const void *a, const void *b)
{
        const uintptr_t *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

void unread_init(struct unread *unread)
{
        (void)pthread_mutex_init(&unread->lock, NULL);
}

void unread_done(struct unread *unread)
{
        (void)pthread_mutex_destroy(&unread->lock);
}

/* Lock held. NULL: the client has read everything. */
static struct backlog *find(struct unread *unread, uintptr_t connection)
{
        struct backlog **found = tfind(&connection, &unread->connections, compare);

        return found ? *found : NULL;
}

/* Lock held. NULL: out of memory. */
static struct backlog *find_or_add(struct unread *unread, uintptr_t connection)
{
        struct backlog *backlog = find(unread, connection);

        if (backlog)
                return backlog;
        backlog = calloc(1, sizeof *backlog);
        if (!backlog)
                return NULL;
        backlog->connection = connection;
        if (!tsearch(backlog, &unread->connections, compare)) {
                free(backlog);
                return NULL;
        }
        (void)atomic_fetch_add(&unread->n_connections, 1);
        return backlog;
}

bool unread_add(struct unread *unread, uintptr_t connection, size_t size)
{
        struct backlog *backlog;

        (void)pthread_mutex_lock(&unread->lock);
        backlog = find_or_add(unread, connection);
        if (backlog) {
                unread->bytes += size;
                backlog->bytes += size;
                backlog->replies++;
        }
        (void)pthread_mutex_unlock(&unread->lock);
        return backlog;
}

void unread_remove(struct unread *unread, uintptr_t connection, size_t size, uint64_t read)
{
        struct backlog *backlog;

        (void)pthread_mutex_lock(&unread->lock);
        backlog = *(struct backlog **)tfind(&connection, &unread->connections, compare);
        unread->bytes -= size;
        backlog->bytes -= size;
        if (read)
                backlog->read = read;
        if (--backlog->replies == 0) {
                (void)tdelete(backlog, &unread->connections, compare);
                (void)atomic_fetch_sub(&unread->n_connections, 1);
                free(backlog);
        }
        (void)pthread_mutex_unlock(&unread->lock);
}

/* Lock held. */
static bool is_too_much(const struct unread *unread, const struct backlog *backlog, size_t limit,
                        uint64_t now)
{
        size_t most = limit < SIZE_MAX / LIMIT_FACTOR ? limit * LIMIT_FACTOR : SIZE_MAX;

        if (backlog->read && now < backlog->read + PAUSE_NS)
                return backlog->bytes > most;
        return backlog->bytes > limit || unread->bytes > most;
}

bool unread_is_too_much(struct unread *unread, uintptr_t connection, size_t limit, uint64_t now)
{
        const struct backlog *backlog;
        bool much;

        (void)pthread_mutex_lock(&unread->lock);
        backlog = find(unread, connection);
        much = backlog && is_too_much(unread, backlog, limit, now);
        (void)pthread_mutex_unlock(&unread->lock);
        return much;
}

bool unread_has_room(struct unread *unread, uintptr_t connection, size_t size, size_t limit)
{
        const struct backlog *backlog;
        size_t used;

        (void)pthread_mutex_lock(&unread->lock);
        backlog = find(unread, connection);
        used = backlog ? backlog->bytes : 0;
        (void)pthread_mutex_unlock(&unread->lock);
        return used == 0 || (used <= limit && size <= limit - used);
}

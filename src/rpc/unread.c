/* SPDX-License-Identifier: MIT */
#include <search.h>
#include <stdlib.h>

#include "rpc/unread.h"
#include "util/clock.h"

/* A client that reads may have more than the limit, for it soon has not: it has taken a reply
 * within this time. So many times the limit is too much for anybody. */
#define PAUSE_NS (500 * NSEC_PER_MSEC)
#define LIMIT_FACTOR 4

struct backlog {
        uintptr_t connection; /* first: what compare() looks at */
        size_t bytes;
        unsigned replies;
        uint64_t moved; /* when the first reply came, or the last one was taken */
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

/* Lock held. NULL: it has nothing to read. */
static struct backlog *find(struct unread *unread, uintptr_t connection)
{
        struct backlog **found = tfind(&connection, &unread->connections, compare);

        return found ? *found : NULL;
}

/* Lock held. NULL: out of memory. */
static struct backlog *find_or_add(struct unread *unread, uintptr_t connection, uint64_t now)
{
        struct backlog *backlog = find(unread, connection);

        if (backlog)
                return backlog;
        backlog = calloc(1, sizeof *backlog);
        if (!backlog)
                return NULL;
        *backlog = (struct backlog){ .connection = connection, .moved = now };
        if (!tsearch(backlog, &unread->connections, compare)) {
                free(backlog);
                return NULL;
        }
        (void)atomic_fetch_add(&unread->n_connections, 1);
        return backlog;
}

bool unread_add(struct unread *unread, uintptr_t connection, size_t size, uint64_t now)
{
        struct backlog *backlog;

        (void)pthread_mutex_lock(&unread->lock);
        backlog = find_or_add(unread, connection, now);
        if (backlog) {
                backlog->bytes += size;
                backlog->replies++;
        }
        (void)pthread_mutex_unlock(&unread->lock);
        return backlog;
}

void unread_remove(struct unread *unread, uintptr_t connection, size_t size, uint64_t now)
{
        struct backlog *backlog;

        (void)pthread_mutex_lock(&unread->lock);
        backlog = *(struct backlog **)tfind(&connection, &unread->connections, compare);
        backlog->bytes -= size;
        backlog->moved = now;
        if (--backlog->replies == 0) {
                (void)tdelete(backlog, &unread->connections, compare);
                (void)atomic_fetch_sub(&unread->n_connections, 1);
                free(backlog);
        }
        (void)pthread_mutex_unlock(&unread->lock);
}

bool unread_is_too_much(struct unread *unread, uintptr_t connection, size_t limit, uint64_t now)
{
        const struct backlog *backlog;
        bool much = false;

        (void)pthread_mutex_lock(&unread->lock);
        backlog = find(unread, connection);
        if (backlog && backlog->bytes > limit)
                much = backlog->bytes / LIMIT_FACTOR > limit || backlog->moved + PAUSE_NS < now;
        (void)pthread_mutex_unlock(&unread->lock);
        return much;
}

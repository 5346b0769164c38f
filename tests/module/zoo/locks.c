/* SPDX-License-Identifier: MIT */
/*
 * A sound brick that holds its own lock whenever it calls brickd, and takes it in every entry, as
 * brick(7) allows: a host function that entered a brick would wait for itself.
 */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "brick.h"

static const struct brick_host *host;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int create(const struct brick_host *table, struct brick_ctx *ctx,
                  const struct brick_node *config, struct brick_instance **ret)
{
        static char self;

        host = table;
        *ret = (struct brick_instance *)(void *)&self;
        return 0;
}

static void destroy(struct brick_instance *self)
{
}

/* Asks for the next message after a while, when the client may have gone. */
static void *ask(void *call)
{
        const struct timespec while_ = { .tv_nsec = 100000000 };

        (void)nanosleep(&while_, NULL);
        (void)pthread_mutex_lock(&lock);
        host->call_recv(call);
        (void)pthread_mutex_unlock(&lock);
        return NULL;
}

static int start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        (void)pthread_mutex_lock(&lock);
        host->call_recv(call);
        (void)pthread_mutex_unlock(&lock);
        return 0;
}

static void message(struct brick_instance *self, struct brick_call *call,
                    const struct brick_bytes *message)
{
        pthread_t thread;

        (void)pthread_mutex_lock(&lock);
        if (!message)
                host->call_finish(call, 0, brick_str(""));
        else if (pthread_create(&thread, NULL, ask, call) == 0)
                (void)pthread_detach(thread);
        else
                abort();
        (void)pthread_mutex_unlock(&lock);
}

static void writable(struct brick_instance *self, struct brick_call *call)
{
}

BRICK_MODULE(.type = BRICK_TYPE_COMMON, .methods = 1u << BRICK_METHOD_BIDI_STREAMING,
             .name = "locks", .version = "1.0", .summary = "holds its lock around everything",
             .create = create, .destroy = destroy, .start = start, .message = message,
             .writable = writable);

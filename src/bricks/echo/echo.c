/* SPDX-License-Identifier: MIT */

/*
 * A brick of any type that repeats the request in its reply, for tests, benchmarks and first steps.
 *
 * Each call has a `work`. The thread for which it is ACTIVE owns it and the call. That thread gives
 * it up by parking it, with the instance's lock held; in each parked state, one event may take it:
 *
 *   ACTIVE      one thread works on it           and parks or finishes it
 *   RECEIVING   for a request message            message(), or cancel(), takes it
 *   FULL        for room in the window           writable(), or cancel(), takes it
 *   QUEUED      for its next delay to pass       the timer thread, or cancel(), takes it
 *
 * If a work is cancelled while it is ACTIVE, its owner finishes it instead of parking it.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "queue.h"
#include "reply.h"

#define NS_PER_S UINT64_C(1000000000)
#define STATUS_CANCELLED 1

struct brick_instance {
        unsigned type;
        uint64_t delay;
        struct reply_sizes sizes;
        int32_t error_code;
        unsigned error_every;
        char *error_message;
        atomic_uint calls;

        pthread_mutex_t lock;
        pthread_cond_t wake;
        pthread_t thread; /* only with the option `delay` */
        bool stopping;
        struct queue queue;
};

enum state {
        ACTIVE,
        RECEIVING,
        FULL,
        QUEUED,
};

struct work {                     /* in the call's arena */
        struct queue_entry entry; /* first: the queue only knows entries */
        struct brick_call *call;
        struct brick_instance *self;
        unsigned method;

        /* protected by the lock */
        enum state state;
        bool cancelled;
        bool room; /* writable() has been called before the work was parked */

        bool fails;
        size_t index; /* messages sent, or received */
        struct reply reply;
        CommonRequest *held; /* of a request stream, on the heap: the message to send back, or the
                                last one */
};

static uint64_t now(void)
{
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void lock(struct brick_instance *self)
{
        (void)pthread_mutex_lock(&self->lock);
}

static void unlock(struct brick_instance *self)
{
        (void)pthread_mutex_unlock(&self->lock);
}

/* ---- the end of a call, which frees its work ----------------------------------------- */

static void work_finish(struct work *work, uint32_t status)
{
        brick_unpacked_free(work->held);
        brick_host->call_finish(work->call, status, brick_str(NULL));
}

static void work_fail(struct work *work, int32_t code, const char *message)
{
        brick_unpacked_free(work->held);
        (void)brick_fail(work->call, code, message, NULL);
}

/* r: the error of a send. */
static void work_abort(struct work *work, int r)
{
        if (r == -ECANCELED)
                work_finish(work, STATUS_CANCELLED);
        else
                work_fail(work, BRICK_E_INTERNAL, strerror(-r));
}

/* ---- parking ---------------------------------------------------------------------------- */

/* Parks the work until message(). The caller no longer owns it. */
static void work_receive(struct work *work)
{
        struct brick_instance *self = work->self;
        bool cancelled;

        /* The caller is inside an entry of the brick, so message() runs only after it has returned.
         */
        brick_host->call_recv(work->call);

        lock(self);
        cancelled = work->cancelled;
        if (!cancelled)
                work->state = RECEIVING;
        unlock(self);
        if (cancelled)
                work_finish(work, STATUS_CANCELLED);
}

/* Parks the work until writable(). False: writable() has already been called; the caller still owns
 * the work. */
static bool work_await_room(struct work *work)
{
        struct brick_instance *self = work->self;
        bool room, cancelled;

        lock(self);
        cancelled = work->cancelled;
        room = work->room && !cancelled;
        work->room = false;
        if (!room && !cancelled)
                work->state = FULL;
        unlock(self);

        if (cancelled)
                work_finish(work, STATUS_CANCELLED);
        return !room;
}

/* Parks the work for the timer thread. The caller no longer owns it. */
static void work_delay(struct work *work)
{
        struct brick_instance *self = work->self;
        int r = -ECANCELED;

        lock(self);
        if (!work->cancelled) {
                work->entry.due = now() + self->delay;
                r = queue_add(&self->queue, &work->entry);
        }
        if (r == 0) {
                work->state = QUEUED;
                if (queue_first(&self->queue) == &work->entry)
                        (void)pthread_cond_signal(&self->wake);
        }
        unlock(self);

        if (r < 0)
                work_abort(work, r);
}

/* Takes a parked work. False: it is in another state, for example because cancel() has taken it. */
static bool work_take(struct work *work, enum state from)
{
        struct brick_instance *self = work->self;
        bool mine;

        lock(self);
        mine = work->state == from;
        if (mine)
                work->state = ACTIVE;
        else
                work->room = from == FULL;
        unlock(self);
        return mine;
}

/* ---- replies ---------------------------------------------------------------------------- */

/* Sends the remaining messages until the window is full or a delay starts. */
static void work_run(struct work *work)
{
        struct reply *reply = &work->reply;
        int r;

        while (work->index < reply->count) {
                if (work->fails && work->index + 1 == reply->count) {
                        work_fail(work, work->self->error_code, work->self->error_message);
                        return;
                }
                if (reply->advance)
                        reply->advance(reply, work->index);
                r = brick_send(work->call, reply->message);
                if (r == -EAGAIN) {
                        if (work_await_room(work))
                                return;
                        continue;
                }
                if (r < 0) {
                        work_abort(work, r);
                        return;
                }
                work->index++;
                if (work->self->delay > 0 && work->index < reply->count) {
                        work_delay(work);
                        return;
                }
        }
        work_finish(work, 0);
}

/* Bidi: sends the held message back and asks for the next one. [rpc] */
static void work_return(struct work *work)
{
        CommonResponse response = PROTOCOLS__GRPC__COMMON__COMMON_RESPONSE__INIT;
        Struct empty = GOOGLE__PROTOBUF__STRUCT__INIT;
        int r;

        response.data = work->held->data ? work->held->data : &empty;
        while ((r = brick_send(work->call, &response.base)) == -EAGAIN)
                if (work_await_room(work))
                        return;
        if (r < 0) {
                work_abort(work, r);
                return;
        }
        brick_unpacked_free(work->held);
        work->held = NULL;
        work_receive(work);
}

/* ---- entries ------------------------------------------------------------------ */

static int start_service_info(struct brick_instance *self, struct brick_call *call)
{
        const struct brick_module described = {
                .name = "echo",
                .version = "1.0",
                .summary = "repeats the request in its reply",
                .methods = self->type == BRICK_TYPE_LLM || self->type == BRICK_TYPE_COMMON ||
                                           self->type == BRICK_TYPE_COMPOSE ||
                                           self->type == BRICK_TYPE_TRANSLATE
                                   ? 1u << BRICK_METHOD_OUTPUT_STREAMING
                                   : 0,
        };
        ServiceInfoResponse *info = brick_service_info(call, &described);

        if (!info)
                return -ENOMEM;
        brick_reply(call, &info->base);
        return 0;
}

static bool call_fails(struct brick_instance *self)
{
        if (self->error_code == 0)
                return false;
        return atomic_fetch_add_explicit(&self->calls, 1, memory_order_relaxed) %
                       self->error_every ==
               self->error_every - 1;
}

static int echo_start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        struct work *work;
        int r = 0;

        if (method == BRICK_METHOD_SERVICE_INFO)
                return start_service_info(self, call);
        work = brick_alloc(call, sizeof *work);
        if (!work)
                return -ENOMEM;
        *work = (struct work){
                .call = call,
                .self = self,
                .method = method,
                .fails = call_fails(self),
        };
        brick_host->call_set_data(call, work, NULL);

        if (method == BRICK_METHOD_INPUT_STREAMING || method == BRICK_METHOD_BIDI_STREAMING) {
                work_receive(work);
                return 0;
        }
        r = reply_prepare(&work->reply, call, self->type, method, &self->sizes);
        if (r < 0)
                return r;
        if (self->delay > 0)
                work_delay(work);
        else
                work_run(work);
        return 0;
}

/* The client has sent its last message. */
static void work_end(struct work *work)
{
        struct brick_instance *self = work->self;
        CommonResponse *response;

        if (work->fails) {
                work_fail(work, self->error_code, self->error_message);
                return;
        }
        if (work->method == BRICK_METHOD_BIDI_STREAMING) {
                work_finish(work, 0);
                return;
        }
        response = reply_summary(work->call, work->index, work->held ? work->held->data : NULL);
        if (!response) {
                work_abort(work, -ENOMEM);
                return;
        }
        work->reply = (struct reply){ .count = 1, .message = &response->base };
        work->index = 0;
        work_run(work);
}

static void echo_message(struct brick_instance *self, struct brick_call *call,
                         const struct brick_bytes *message)
{
        struct work *work = brick_host->call_data(call);

        if (!work_take(work, RECEIVING))
                return;
        if (!message) {
                work_end(work);
                return;
        }
        brick_unpacked_free(work->held);
        work->held = brick_unpack_heap(&protocols__grpc__common__common_request__descriptor,
                                       *message);
        if (!work->held) {
                work_abort(work, -EBADMSG);
                return;
        }
        if (work->method == BRICK_METHOD_BIDI_STREAMING) {
                work_return(work);
                return;
        }
        work->index++;
        work_receive(work);
}

static void echo_writable(struct brick_instance *self, struct brick_call *call)
{
        struct work *work = brick_host->call_data(call);

        if (!work_take(work, FULL))
                return;
        if (work->method == BRICK_METHOD_BIDI_STREAMING)
                work_return(work);
        else
                work_run(work);
}

static void echo_cancel(struct brick_instance *self, struct brick_call *call)
{
        struct work *work = brick_host->call_data(call);
        bool mine;

        if (!work) /* GetServiceInfo has finished inside start() */
                return;
        lock(self);
        work->cancelled = true;
        mine = work->state != ACTIVE;
        if (work->state == QUEUED)
                queue_remove(&self->queue, &work->entry);
        work->state = ACTIVE;
        unlock(self);
        if (mine)
                work_finish(work, STATUS_CANCELLED);
}

/* ---- the timer -------------------------------------------------------------------------- */

/* Lock held. Waits until the first work is due and returns it. NULL: the thread is to stop. */
static struct work *next_due(struct brick_instance *self)
{
        struct queue_entry *first;
        struct timespec until;

        while (!self->stopping) {
                first = queue_first(&self->queue);
                if (!first) {
                        (void)pthread_cond_wait(&self->wake, &self->lock);
                } else if (first->due > now()) {
                        until.tv_sec = (time_t)(first->due / NS_PER_S);
                        until.tv_nsec = (long)(first->due % NS_PER_S);
                        (void)pthread_cond_timedwait(&self->wake, &self->lock, &until);
                } else {
                        queue_remove(&self->queue, first);
                        return (struct work *)first;
                }
        }
        return NULL;
}

static void *timer_run(void *arg)
{
        struct brick_instance *self = arg;
        struct work *work;

        lock(self);
        while ((work = next_due(self))) {
                work->state = ACTIVE;
                unlock(self);
                work_run(work);
                lock(self);
        }
        unlock(self);
        return NULL;
}

/* ---- the instance ----------------------------------------------------------------------- */

static void echo_destroy(struct brick_instance *self)
{
        if (self->delay > 0) {
                lock(self);
                self->stopping = true;
                (void)pthread_cond_signal(&self->wake);
                unlock(self);
                (void)pthread_join(self->thread, NULL);
        }
        (void)pthread_cond_destroy(&self->wake);
        (void)pthread_mutex_destroy(&self->lock);
        queue_done(&self->queue);
        free(self->error_message);
        free(self);
}

static int64_t option(const struct brick_node *config, const char *name)
{
        return brick_host->node_int(brick_host->node_get(config, name));
}

static void instance_init(struct brick_instance *self)
{
        pthread_condattr_t attr;

        (void)pthread_mutex_init(&self->lock, NULL);
        (void)pthread_condattr_init(&attr);
        (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        (void)pthread_cond_init(&self->wake, &attr);
        (void)pthread_condattr_destroy(&attr);
}

static int echo_create(const struct brick_host *host, struct brick_ctx *ctx,
                       const struct brick_node *config, struct brick_instance **ret)
{
        struct brick_instance *self;
        uint64_t delay;
        int r;

        brick_sdk_init(host);
        self = calloc(1, sizeof *self);
        if (!self)
                return -ENOMEM;
        instance_init(self);
        self->type = host->type(ctx);
        self->sizes.tokens = (size_t)option(config, "tokens");
        self->sizes.padding = (size_t)option(config, "size");
        self->error_code = (int32_t)option(config, "error_code");
        self->error_every = (unsigned)option(config, "error_every");
        self->error_message = strdup(host->node_str(host->node_get(config, "error_message")).ptr);
        delay = (uint64_t)option(config, "delay");

        r = self->error_message ? 0 : -ENOMEM;
        if (r == 0 && delay > 0)
                r = -pthread_create(&self->thread, NULL, timer_run, self);
        if (r < 0) {
                echo_destroy(self);
                return r;
        }
        self->delay = delay;
        *ret = self;
        return 0;
}

static const struct brick_option options[] = {
        { .name = "type",
          .type = BRICK_ENUM,
          .choices = "Common|LLM|Guard|Intention|Rectify|Retrieval|Translate|Compose",
          .fallback = "LLM",
          .summary = "the service to implement" },
        { .name = "tokens",
          .type = BRICK_INT,
          .fallback = "10",
          .min = 1,
          .max = 1000000,
          .summary = "number of messages of a stream, unless the request has max_tokens" },
        { .name = "delay",
          .type = BRICK_DURATION,
          .fallback = "0s",
          .min = 0,
          .max = INT64_C(3600000000000),
          .summary = "delay before each message of a Unary or OutputStreaming reply" },
        { .name = "size",
          .type = BRICK_SIZE,
          .fallback = "0",
          .min = 0,
          .max = 4 << 20,
          .summary = "pad the text of each reply to this length in bytes" },
        { .name = "error_code",
          .type = BRICK_INT,
          .fallback = "0",
          .min = INT32_MIN,
          .max = INT32_MAX,
          .summary =
                  "fail calls with this error code (a stream: with its last message); 0: never" },
        { .name = "error_message",
          .type = BRICK_STRING,
          .fallback = "echo was told to fail",
          .summary = "message of this error" },
        { .name = "error_every",
          .type = BRICK_INT,
          .fallback = "1",
          .min = 1,
          .max = INT32_MAX,
          .summary = "fail only every n-th call" },
        {},
};

BRICK_MODULE(.type = BRICK_TYPE_ANY,
             .methods = 1u << BRICK_METHOD_SERVICE_INFO | 1u << BRICK_METHOD_UNARY |
                        1u << BRICK_METHOD_OUTPUT_STREAMING | 1u << BRICK_METHOD_INPUT_STREAMING |
                        1u << BRICK_METHOD_BIDI_STREAMING,
             .name = "echo", .version = "1.0", .summary = "repeats the request in its reply",
             .options = options, .create = echo_create, .destroy = echo_destroy,
             .start = echo_start, .message = echo_message, .writable = echo_writable,
             .cancel = echo_cancel);

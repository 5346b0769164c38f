/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake-wire.h"
#include "module/call-abi.h"
#include "module/child.h"
#include "module/instance.h"
#include "module/load.h"
#include "module/relay.h"
#include "module/timer.h"
#include "util/clock.h"

/*
 * The states of a call, walked in random order by several threads: what a peer does (it leaves,
 * writes, reads again), what brickd does (it settles the call), and what a brick does, from its
 * entries and from threads of its own, with calls to another brick. The brick keeps the rules of
 * brick.h: it has a lock for each call and finishes each once. Checked is what it is promised:
 *
 *   - entries for one call never overlap, come between start() and the finish, and cancel() once;
 *   - a call that is over is told so, whoever ended it, and can always be given back;
 *   - its data is destroyed once, after everything else;
 *   - done() of each child comes once, after all its messages; a call that is left to a child ends
 *     with it.
 *
 * Usage: test-model [CALLS [SEED]]. Meant to be run under ThreadSanitizer as well.
 */

enum { THREADS = 3, LIVE = 8, MAX_CHILDREN = 3 };

enum op {
        OP_START,
        OP_SETTLE,
        OP_CANCEL,
        OP_WRITE,
        OP_READ,
        OP_RECV,
        OP_SEND,
        OP_CHILD,
        OP_TIMER,
        OP_RELAY,
        OP_FINISH,
        OPS
};
static const char *const op_names[OPS] = { "start", "settle", "cancel", "deliver", "sent",  "recv",
                                           "send",  "child",  "timer",  "relay",   "finish" };
static const char *const side_names[] = {
        "unseen", "starting", "idle", "entered", "relayed", "done"
};
static atomic_ulong counts[OPS][SIDE_DONE + 1];

/* --- chance ----------------------------------------------------------------------------------- */

static uint64_t seed = 1;

static uint32_t chance(uint64_t *state)
{
        *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
        return (uint32_t)(*state >> 33);
}

static _Thread_local uint64_t own_state;

static uint32_t below(uint32_t n)
{
        static atomic_ulong threads;

        if (own_state == 0)
                own_state = seed * 1000 + atomic_fetch_add(&threads, 1) + 1;
        return chance(&own_state) % n;
}

/* --- the brick -------------------------------------------------------------------------------- */

struct job;

/* What the brick knows of a call to another. */
struct kid {
        struct job *job;
        struct brick_child *child;
        bool started;
        bool relayed;       /* the call has been left to it */
        atomic_bool wanted; /* a reply is due */
        atomic_bool done;
};

/* What the brick knows of a call. Freed by the last of the test and the call's data. */
struct job {
        pthread_mutex_t lock;
        struct wire *wire; /* the test's; for looks at the state only */
        struct brick_call *call;
        bool finished;
        bool entered;
        unsigned cancels;
        struct brick_timer *timer;
        struct kid kids[MAX_CHILDREN];
        unsigned n_kids;
        atomic_uint users;
};

static atomic_ulong made, destroyed, kids_started, kids_done, entries;
static struct instance callee;

static void count(enum op op, const struct job *job)
{
        struct call *call = &job->wire->call;
        enum call_side side;

        (void)pthread_mutex_lock(&call->lock);
        side = call->side;
        (void)pthread_mutex_unlock(&call->lock);
        (void)atomic_fetch_add(&counts[op][side], 1);
}

static void job_unuse(struct job *job)
{
        if (atomic_fetch_sub(&job->users, 1) != 1)
                return;
        (void)pthread_mutex_destroy(&job->lock);
        free(job);
}

static void job_destroy(void *data)
{
        struct job *job = data;

        (void)pthread_mutex_lock(&job->lock);
        assert(job->finished && !job->entered);
        (void)pthread_mutex_unlock(&job->lock);
        for (unsigned i = 0; i < job->n_kids; i++)
                if (job->kids[i].started)
                        child_abi_free(job->kids[i].child);
        (void)atomic_fetch_add(&destroyed, 1);
        job_unuse(job);
}

static void kid_message(void *user, struct brick_bytes message)
{
        struct kid *kid = user;

        assert(!atomic_load(&kid->done) && message.len == 1 && !kid->relayed);
        atomic_store(&kid->wanted, false);
}

static void kid_done(void *user, const struct brick_outcome *outcome)
{
        struct kid *kid = user;

        assert(!atomic_exchange(&kid->done, true));
        (void)atomic_fetch_add(&kids_done, 1);
}

static void kid_writable(void *user)
{
        struct kid *kid = user;

        assert(!atomic_load(&kid->done));
}

static const struct brick_child_ops kid_ops = {
        .struct_size = sizeof kid_ops,
        .message = kid_message,
        .done = kid_done,
        .writable = kid_writable,
};

static const struct brick_bytes byte = { "m", 1 };

/* Lock held. */
static void start_kid(struct job *job)
{
        struct kid *kid = &job->kids[job->n_kids];

        if (job->n_kids == MAX_CHILDREN)
                return;
        kid->job = job;
        if (child_abi_start(job->call, &callee.as_target, BRICK_METHOD_BIDI_STREAMING, byte,
                            &kid_ops, kid, &kid->child) < 0)
                return;
        kid->started = true;
        job->n_kids++;
        (void)atomic_fetch_add(&kids_started, 1);
}

static void recv_kid(struct kid *kid)
{
        atomic_store(&kid->wanted, true);
        child_abi_recv(kid->child);
}

/* Lock held. */
static void use_kid(struct job *job)
{
        struct kid *kid;

        if (job->n_kids == 0 || below(3) == 0) {
                start_kid(job);
                return;
        }
        kid = &job->kids[below(job->n_kids)];
        switch (below(5)) {
        case 0:
                recv_kid(kid);
                break;
        case 1:
                (void)child_abi_send(kid->child, byte);
                break;
        case 2:
                child_abi_close(kid->child);
                break;
        case 3:
                child_abi_cancel(kid->child);
                break;
        default:
                recv_kid(kid);
                (void)child_abi_send(kid->child, byte);
        }
}

static void on_timer(void *user);

/* Lock held. */
static void set_timer(struct job *job)
{
        static const uint64_t never = UINT64_MAX;

        if (!job->timer && timer_abi_new(job->call, on_timer, job, &job->timer) < 0)
                return;
        timer_abi_set(job->timer, below(4) == 0 ? never
                                  : below(2)    ? 0
                                                : clock_now() + below(50000));
}

/* Lock held. */
static void relay(struct job *job)
{
        struct kid *kid = job->n_kids > 0 ? &job->kids[below(job->n_kids)] : NULL;

        if (!kid || atomic_load(&kid->wanted))
                return;
        kid->relayed = true;
        job->finished = relay_abi_start(job->call, kid->child) == 0;
        kid->relayed = job->finished;
}

/* Lock held. One thing that a brick may do with a call that it has. */
static void act(struct job *job)
{
        if (job->finished)
                return;
        switch (below(10)) {
        case 0:
                count(OP_FINISH, job);
                job->finished = true;
                call_abi_finish(job->call, 0, brick_str(""));
                break;
        case 1:
        case 2:
                count(OP_RECV, job);
                call_abi_recv(job->call);
                break;
        case 3:
                count(OP_SEND, job);
                (void)call_abi_send(job->call, byte);
                break;
        case 4:
                count(OP_TIMER, job);
                set_timer(job);
                break;
        case 5:
                count(OP_RELAY, job);
                relay(job);
                break;
        default:
                count(OP_CHILD, job);
                use_kid(job);
        }
}

static void enter(struct job *job, bool cancel)
{
        (void)atomic_fetch_add(&entries, 1);
        (void)pthread_mutex_lock(&job->lock);
        assert(!job->entered);
        job->entered = true;
        if (cancel)
                assert(++job->cancels == 1);
        act(job);
        (void)pthread_mutex_unlock(&job->lock);
        (void)sched_yield();
        (void)pthread_mutex_lock(&job->lock);
        act(job);
        job->entered = false;
        (void)pthread_mutex_unlock(&job->lock);
}

static void on_timer(void *user)
{
        enter(user, false);
}

static struct job *job_new(struct wire *wire)
{
        struct job *job = calloc(1, sizeof *job);

        if (!job)
                abort();
        job->wire = wire;
        (void)pthread_mutex_init(&job->lock, NULL);
        atomic_init(&job->users, 2);
        return job;
}

/* The test has made the job before the call; a callee's call has none yet. */
static int brick_start(struct brick_instance *self, struct brick_call *handle, uint32_t method)
{
        struct call *call = handle_find(handle);
        struct job *job = call ? wire_of(call)->user : NULL;

        if (!job)
                abort();

        (void)pthread_mutex_lock(&job->lock);
        job->call = handle;
        call_abi_set_data(handle, job, job_destroy);
        (void)pthread_mutex_unlock(&job->lock);
        (void)atomic_fetch_add(&made, 1);
        count(OP_START, job);
        if (below(10) == 0) {
                (void)pthread_mutex_lock(&job->lock);
                if (!job->finished) {
                        job->finished = true;
                        (void)pthread_mutex_unlock(&job->lock);
                        return -EIO;
                }
                (void)pthread_mutex_unlock(&job->lock);
                return 0;
        }
        enter(job, false);
        return 0;
}

static void brick_message(struct brick_instance *self, struct brick_call *handle,
                          const struct brick_bytes *message)
{
        struct job *job = call_abi_data(handle);

        assert(!message || message->len == 1);
        enter(job, false);
}

static void brick_writable(struct brick_instance *self, struct brick_call *handle)
{
        enter(call_abi_data(handle), false);
}

static void brick_cancel(struct brick_instance *self, struct brick_call *handle)
{
        enter(call_abi_data(handle), true);
}

static const struct conf_brick conf = {
        .name = "tested",
        .limits = { .concurrency = 6, .queue = 100, .threads = 1, .arena = 1 << 20 },
};
static const struct brick_module brick = {
        .methods = 1u << BRICK_METHOD_BIDI_STREAMING,
        .start = brick_start,
        .message = brick_message,
        .writable = brick_writable,
        .cancel = brick_cancel,
};
static const struct module module = { .brick = &brick, .path = (char *)"tested.so" };
static struct stats_brick stats;
static struct instance instance = {
        .stats = &stats,
        .conf = &conf,
        .limits = { .concurrency = 6, .queue = 100, .threads = 1, .arena = 1 << 20 },
        .module = &module,
        .brick = &brick,
        .type = BRICK_TYPE_COMMON,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .work = PTHREAD_COND_INITIALIZER,
};

/* --- the callee: another brick, without cancel(), that answers as chance will have it -----------
 */

static int callee_start(struct brick_instance *self, struct brick_call *handle, uint32_t method)
{
        if (below(4) == 0) {
                call_abi_fail(handle, 2003, brick_str("no"), brick_str(""));
                return 0;
        }
        call_abi_recv(handle);
        return below(8) == 0 ? (call_abi_finish(handle, 0, brick_str("")), -EIO) : 0;
}

static void callee_message(struct brick_instance *self, struct brick_call *handle,
                           const struct brick_bytes *message)
{
        if (!message || below(10) == 0) {
                call_abi_finish(handle, 0, brick_str(""));
                return;
        }
        (void)call_abi_send(handle, *message);
        call_abi_recv(handle);
}

static void callee_writable(struct brick_instance *self, struct brick_call *handle)
{
}

static const struct brick_module callee_brick = {
        .methods = 1u << BRICK_METHOD_BIDI_STREAMING,
        .start = callee_start,
        .message = callee_message,
        .writable = callee_writable,
};
static const struct module callee_module = { .brick = &callee_brick, .path = (char *)"callee.so" };
static struct stats_brick callee_stats;
static struct instance callee = {
        .stats = &callee_stats,
        .conf = &conf,
        .limits = { .concurrency = 4, .queue = 4, .threads = 1, .arena = 1 << 20 },
        .module = &callee_module,
        .brick = &callee_brick,
        .type = BRICK_TYPE_COMMON,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .work = PTHREAD_COND_INITIALIZER,
        .as_target = { &callee },
};

/* --- what happens to a call ------------------------------------------------------------------- */

/* The calls that live; a place's lock is held while something happens to its call. */
static struct place {
        pthread_mutex_t lock;
        struct wire *wire;
        struct job *job;
} places[LIVE];
static atomic_bool stop;

static void settle(struct job *job)
{
        static const struct outcome over = { .status = 4 };

        count(OP_SETTLE, job);
        call_refuse(&job->wire->call, &over);
}

static void happen(struct place *place)
{
        struct job *job = place->job;
        bool finished;

        (void)pthread_mutex_lock(&job->lock);
        finished = job->finished;
        (void)pthread_mutex_unlock(&job->lock);
        if (finished && below(64) > 0) {
                (void)sched_yield(); /* seldom: little happens any more */
                return;
        }
        switch (below(24)) {
        case 0:
                settle(job);
                break;
        case 1:
                count(OP_CANCEL, job);
                call_cancel(&job->wire->call);
                break;
        case 2:
        case 3:
        case 4:
                count(OP_READ, job);
                wire_release(job->wire);
                break;
        case 5:
                wire_hold(place->wire);
                break;
        case 6:
        case 7:
        case 8:
        case 9:
                count(OP_WRITE, job);
                wire_deliver(job->wire, below(8) != 0);
                break;
        default:
                (void)pthread_mutex_lock(&job->lock);
                if (job->call)
                        act(job);
                (void)pthread_mutex_unlock(&job->lock);
        }
}

static void *disturb(void *arg)
{
        while (!atomic_load(&stop)) {
                struct place *place = &places[below(LIVE)];

                (void)pthread_mutex_lock(&place->lock);
                if (place->wire)
                        happen(place);
                (void)pthread_mutex_unlock(&place->lock);
        }
        return NULL;
}

/* --- the polling thread ----------------------------------------------------------------------- */

static void begin(struct place *place)
{
        struct wire *wire = wire_new(&instance, BRICK_METHOD_BIDI_STREAMING);
        struct job *job = job_new(wire);

        wire->silent = true;
        wire->user = job;
        wire->call.window = 200;
        (void)pthread_mutex_lock(&place->lock);
        place->wire = wire;
        place->job = job;
        (void)pthread_mutex_unlock(&place->lock);
        if (below(4) == 0)
                (void)sched_yield();
        switch (instance_admit(&instance, &wire->call)) {
        case ADMIT_START:
                call_start(&wire->call);
                break;
        case ADMIT_QUEUED:
                call_watch(&wire->call);
                break;
        default:
                assert(!"there is room for all");
        }
}

/* Ends what chance has left open, and waits for the call to be given back. */
static void end(struct place *place)
{
        struct wire *wire = place->wire;
        struct job *job = place->job;

        (void)pthread_mutex_lock(&place->lock);
        place->wire = NULL;
        (void)pthread_mutex_unlock(&place->lock);
        call_cancel(&wire->call);
        wire_run();
        (void)pthread_mutex_lock(&job->lock);
        if (job->call && !job->finished) {
                job->finished = true;
                call_abi_finish(job->call, 0, brick_str(""));
        }
        (void)pthread_mutex_unlock(&job->lock);
        wire_free(wire);
        if (!job->call) /* it was never started: its data is nobody else's */
                job_unuse(job);
        job_unuse(job);
}

static void report(unsigned long calls)
{
        unsigned long total = 0;

        printf("# %-8s", "");
        for (unsigned s = 0; s < ELEMENTSOF(side_names); s++)
                printf("%10s", side_names[s]);
        for (unsigned o = 0; o < OPS; o++) {
                printf("\n# %-8s", op_names[o]);
                for (unsigned s = 0; s < ELEMENTSOF(side_names); s++) {
                        printf("%10lu", atomic_load(&counts[o][s]));
                        total += atomic_load(&counts[o][s]);
                }
        }
        printf("\n# %lu calls, %lu started, %lu children, %lu entries, %lu operations, seed "
               "%" PRIu64 "\n",
               calls, atomic_load(&made), atomic_load(&kids_started), atomic_load(&entries), total,
               seed);
}

int main(int argc, char **argv)
{
        unsigned long calls = argc > 1 ? strtoul(argv[1], NULL, 10) : 3000;
        pthread_t threads[THREADS];

        if (argc > 2)
                seed = strtoull(argv[2], NULL, 10);
        runner_enter(NULL, NULL);
        alarms_init(&instance.alarms);
        for (int i = 0; i < LIVE; i++)
                (void)pthread_mutex_init(&places[i].lock, NULL);
        for (int i = 0; i < THREADS; i++)
                assert(pthread_create(&threads[i], NULL, disturb, NULL) == 0);
        for (unsigned long n = 0; n < calls; n++) {
                struct place *place = &places[n % LIVE];

                if (place->wire)
                        end(place);
                begin(place);
                for (unsigned i = below(20); i > 0; i--) {
                        wire_run();
                        (void)sched_yield();
                }
        }
        for (int i = 0; i < LIVE; i++)
                if (places[i].wire)
                        end(&places[i]);
        atomic_store(&stop, true);
        for (int i = 0; i < THREADS; i++)
                assert(pthread_join(threads[i], NULL) == 0);
        wire_run();

        alarms_done(&instance.alarms);
        report(calls);
        assert(atomic_load(&made) == atomic_load(&destroyed));
        assert(atomic_load(&kids_started) == atomic_load(&kids_done));
        assert(atomic_load(&stats.in_flight) == 0 && atomic_load(&stats.queued) == 0);
        assert(atomic_load(&callee_stats.in_flight) == 0 && atomic_load(&callee_stats.queued) == 0);
        return 0;
}

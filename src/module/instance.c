/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "conf/diag.h"
#include "conf/names.h"
#include "conf/node.h"
#include "module/call.h"
#include "module/entry.h"
#include "module/host.h"
#include "module/instance.h"
#include "util/clock.h"
#include "util/log.h"

/* A blocking brick's code may be deep, but thousands of such threads must not cost gigabytes. */
#define THREAD_STACK (1024 * 1024)

/* --- numbers ---------------------------------------------------------------------------------- */

static _Atomic(struct instance *) numbered[HANDLE_OWNERS];

/* 0: all numbers are taken. The main thread alone makes and frees instances. */
static unsigned take_number(struct instance *instance)
{
        for (unsigned i = 1; i < HANDLE_OWNERS; i++)
                if (!atomic_load(&numbered[i])) {
                        atomic_store(&numbered[i], instance);
                        return i;
                }
        return 0;
}

static void give_number_back(struct instance *instance)
{
        if (instance->number > 0)
                atomic_store(&numbered[instance->number], NULL);
}

const struct instance *instance_of_number(unsigned number)
{
        return number > 0 ? atomic_load(&numbered[number]) : NULL;
}

void instance_blame(const struct instance *instance, const char *what)
{
        const char *name = instance ? instance->conf->name : "";
        const struct log_field fields[] = {
                { "MESSAGE_ID", LOG_ID_BRICK_MISUSE, strlen(LOG_ID_BRICK_MISUSE) },
                { "BRICK", name, strlen(name) },
        };

        if (instance)
                log_fields(LOG_LEVEL_ERROR, fields, 2, "Brick '%s' %s: a fault of module %s", name,
                           what, instance->module->path);
        else
                log_fields(LOG_LEVEL_ERROR, fields, 1, "A brick %s: a fault of its module", what);
}

/* --- entries that take long --------------------------------------------------------------------
 */

/* Twice within this time: once may be the machine's doing. */
#define LONG_AGAIN_NS (10 * NSEC_PER_SEC)

static void log_runner(const struct instance *instance, size_t size, uint64_t held)
{
        const char *name = instance->conf->name;
        const struct log_field fields[] = {
                { "BRICK", name, strlen(name) },
                { "MESSAGE_ID", LOG_ID_BRICK_SLOW, strlen(LOG_ID_BRICK_SLOW) },
        };

        log_fields(LOG_LEVEL_WARNING, fields, ELEMENTSOF(fields),
                   "Brick '%s' held the polling thread for %u ms, again: its calls with requests "
                   "of %zu bytes and more run on a thread of their own from now on",
                   name, (unsigned)(held / NSEC_PER_MSEC), size);
}

void instance_took_long(struct instance *instance, size_t size, uint64_t held)
{
        uint64_t now = clock_now();
        bool again = instance->long_seen > 0 && now - instance->long_seen < LONG_AGAIN_NS;
        size_t seen = instance->long_seen_size;
        struct runner *runner = atomic_load(&instance->runner);

        instance->long_seen = now;
        instance->long_seen_size = size;
        if (!again)
                return;
        /* Half of the smaller: what is nearly as large takes nearly as long. */
        size = (seen < size ? seen : size) / 2;
        atomic_store(&instance->long_size, size);
        if (!runner && runner_new(&runner) < 0)
                return;
        atomic_store_explicit(&instance->runner, runner, memory_order_release);
        log_runner(instance, size, held);
}

/* --- places and the queue ----------------------------------------------------------------------
 */

/* Takes a place among the calls in flight, if there is one. */
static bool claim_place(struct instance *instance)
{
        unsigned n = atomic_load(&instance->stats->in_flight);

        while (n < instance->limits.concurrency)
                if (atomic_compare_exchange_weak(&instance->stats->in_flight, &n, n + 1))
                        return true;
        return false;
}

/* Lock held. */
static void queue_append(struct instance *instance, struct call *call)
{
        call->next = NULL;
        call->queued = clock_now();
        call->link = instance->queue_end;
        *call->link = call;
        instance->queue_end = &call->next;
        (void)atomic_fetch_add(&instance->stats->queued, 1);
}

/* Lock held. */
static void queue_remove(struct instance *instance, struct call *call)
{
        *call->link = call->next;
        if (call->next)
                call->next->link = call->link;
        else
                instance->queue_end = call->link;
        call->link = NULL;
        (void)atomic_fetch_sub(&instance->stats->queued, 1);
}

/* Lock held. The call whose turn it is; NULL: there is none, or no place for it. */
static struct call *queue_take(struct instance *instance)
{
        struct call *call = instance->queue;

        if (!call || !claim_place(instance))
                return NULL;
        queue_remove(instance, call);
        stats_observe(&instance->stats->counters.queue_wait, clock_now() - call->queued);
        return call;
}

static void *thread_run(void *arg)
{
        struct instance *instance = arg;
        struct call *call;

        entry_guard_stack();
        (void)pthread_mutex_lock(&instance->lock);
        for (;;) {
                /* Ends with instance_free(). */
                while (!(call = queue_take(instance)) && !instance->stopping)
                        (void)pthread_cond_wait(&instance->work, &instance->lock);
                if (!call)
                        break;
                (void)pthread_mutex_unlock(&instance->lock);

                call_start(call);
                call_unref(call); /* the queue's */

                (void)pthread_mutex_lock(&instance->lock);
        }
        (void)pthread_mutex_unlock(&instance->lock);
        return NULL;
}

static int start_threads(struct instance *instance, unsigned n)
{
        pthread_attr_t attr;
        int r = 0;

        instance->threads = calloc(n, sizeof *instance->threads);
        if (!instance->threads)
                return -ENOMEM;
        (void)pthread_attr_init(&attr);
        (void)pthread_attr_setstacksize(&attr, THREAD_STACK);
        while (r == 0 && instance->n_threads < n) {
                r = -pthread_create(&instance->threads[instance->n_threads], &attr, thread_run,
                                    instance);
                if (r == 0)
                        instance->n_threads++;
        }
        (void)pthread_attr_destroy(&attr);
        return r;
}

/* The type of an instance of a BRICK_TYPE_ANY module is its option `type`, which is checked
 * already. */
static unsigned type_of(const struct module *module, const struct node *options)
{
        const struct node *node;
        int type;

        if (module->brick->type != BRICK_TYPE_ANY)
                return module->brick->type;
        node = node_get(options, "type");
        type = node ? brick_type_from_string(node->text) : -EINVAL;
        return type > 0 ? (unsigned)type : 0;
}

static int create(struct instance *instance, struct diag *diag)
{
        size_t mistakes = diag_count(diag);
        struct entry entry;
        int r;

        entry_begin(&entry, instance);
        r = host_create(&instance->ctx, instance->brick, &instance->self);
        (void)entry_end(&entry, instance);

        if (r != 0)
                instance->self = NULL; /* whatever create() has left there: nothing to destroy() */
        if (r > 0)
                diag_add(diag, instance->conf->node,
                         "module %s: create() returned %d, which is neither 0 nor a negative errno",
                         instance->module->path, r);
        else if (r < 0 && diag_count(diag) == mistakes)
                diag_add(diag, instance->conf->node, "module %s refused to make this brick: %s",
                         instance->module->path, strerror(-r));
        return diag_count(diag) > mistakes ? -EINVAL : 0;
}

int instance_new(struct instance **ret, const struct conf_brick *conf, const struct module *module,
                 const struct node *options, const char *base, struct instance **peers,
                 size_t n_peers, struct stats_brick *stats, struct diag *diag)
{
        _cleanup_(instance_freep) struct instance *instance = calloc(1, sizeof *instance);
        int r;

        if (!instance)
                return -ENOMEM;
        instance->conf = conf;
        instance->limits = conf->limits;
        instance->module = module;
        instance->brick = module->brick;
        instance->type = type_of(module, options);
        instance->blocking = module->brick->flags & BRICK_FLAG_BLOCKING;
        instance->queue_end = &instance->queue;
        instance->stats = stats;
        instance->as_target.instance = instance;
        instance->number = take_number(instance);
        health_init(&instance->health);
        instance->health.shown = &stats->health;
        atomic_init(&instance->log_level, conf->log_level);
        (void)pthread_mutex_init(&instance->lock, NULL);
        (void)pthread_cond_init(&instance->work, NULL);

        if (instance->type == 0) {
                diag_add(diag, conf->node, "module %s needs the option `type`", module->path);
                return -EINVAL;
        }
        if (conf->merge && instance->type != BRICK_TYPE_LLM &&
            instance->type != BRICK_TYPE_TRANSLATE) {
                diag_add(diag, node_get(conf->node, "merge"),
                         "only streams of LLM and Translate bricks can be merged; this one is of "
                         "type %s",
                         brick_type_to_string(instance->type));
                return -EINVAL;
        }
        atomic_store(&stats->type, instance->type);
        /* One call per thread: more would only wait inside the brick's start(). */
        if (instance->blocking && instance->limits.concurrency > instance->limits.threads)
                instance->limits.concurrency = instance->limits.threads;

        instance->ctx = (struct brick_ctx){
                .instance = instance,
                .diag = diag,
                .options = options,
                .base = base,
                .peers = peers,
                .n_peers = n_peers,
        };
        r = create(instance, diag);
        instance->ctx = (struct brick_ctx){ .instance = instance };
        if (r < 0)
                return r;

        if (instance->blocking) {
                r = start_threads(instance, instance->limits.threads);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(instance);
        return 0;
}

int instance_add_caller(struct instance *callee, struct instance *caller)
{
        struct instance **callers = reallocarray(callee->callers, callee->n_callers + 1,
                                                 sizeof *callers);

        if (!callers)
                return -ENOMEM;
        callee->callers = callers;
        callers[callee->n_callers++] = caller;
        return 0;
}

/* Nobody is left who might call it: not they, and so not on their behalf. */
static bool callers_are_done(const struct instance *instance)
{
        for (size_t i = 0; i < instance->n_callers; i++) {
                const struct instance *caller = instance->callers[i];

                if (!caller->drained || atomic_load(&caller->stats->in_flight) > 0)
                        return false;
        }
        return true;
}

/* Through the queue of the polling thread, which takes calls in, and then through that of the
 * brick's own runner: what they had before, they have started. */
static void pass_barrier(struct run_item *item)
{
        struct instance *instance = CONTAINER_OF(item, struct instance, barrier);
        struct runner *runner = atomic_load(&instance->runner);

        if (runner && !runner_is_here(runner))
                runner_post(runner, item);
        else
                atomic_store(&instance->started, true);
}

/* Closes it, unless a call waits. */
static void try_close(struct instance *instance)
{
        bool closed;

        (void)pthread_mutex_lock(&instance->lock);
        closed = !instance->queue;
        atomic_store(&instance->closed, closed);
        (void)pthread_mutex_unlock(&instance->lock);
        if (!closed)
                return;
        instance->barrier.run = pass_barrier;
        runner_post(&runner_polling, &instance->barrier);
}

bool instance_drain(struct instance *instance, bool now)
{
        struct entry entry;

        if (instance->drained)
                return true;
        if (!atomic_load(&instance->closed) && (now || callers_are_done(instance)))
                try_close(instance);
        if (!atomic_load(&instance->started))
                return false;

        instance->drained = true;
        if (instance->brick->drain) {
                entry_begin(&entry, instance);
                instance->brick->drain(instance->self);
                (void)entry_end(&entry, instance);
        }
        return true;
}

struct instance *instance_free(struct instance *instance)
{
        struct entry entry;

        if (!instance)
                return NULL;

        (void)pthread_mutex_lock(&instance->lock);
        instance->stopping = true;
        (void)pthread_cond_broadcast(&instance->work);
        (void)pthread_mutex_unlock(&instance->lock);
        for (unsigned i = 0; i < instance->n_threads; i++)
                (void)pthread_join(instance->threads[i], NULL);
        free(instance->threads);
        free(instance->callers);
        (void)runner_free(atomic_load(&instance->runner));

        if (instance->self) {
                entry_begin(&entry, instance);
                instance->brick->destroy(instance->self);
                (void)entry_end(&entry, instance);
        }
        give_number_back(instance);
        health_done(&instance->health);
        (void)pthread_cond_destroy(&instance->work);
        (void)pthread_mutex_destroy(&instance->lock);
        free(instance);
        return NULL;
}

/* Lock held. Those in flight count as well: a blocking brick's calls reach its idle threads only
 * through the queue. */
static bool queue_has_room(const struct instance *instance)
{
        return atomic_load(&instance->stats->queued) + atomic_load(&instance->stats->in_flight) <
               instance->limits.concurrency + instance->limits.queue;
}

/* The call that may start now; its reference in the queue is the caller's. NULL: none. */
static struct call *take_next(struct instance *instance)
{
        struct call *call;

        (void)pthread_mutex_lock(&instance->lock);
        call = queue_take(instance);
        (void)pthread_mutex_unlock(&instance->lock);
        return call;
}

/* Gives the places that are free to calls that wait. */
static void start_waiting(struct instance *instance)
{
        struct call *call;

        while ((call = take_next(instance))) {
                call_post_start(call);
                call_drop(call);
        }
}

/* Puts the call into the queue, if there is room. */
static enum admission admit_to_queue(struct instance *instance, struct call *call)
{
        enum admission admission = ADMIT_FULL;

        (void)pthread_mutex_lock(&instance->lock);
        if (atomic_load(&instance->closed)) {
                admission = ADMIT_CLOSED;
        } else if (queue_has_room(instance)) {
                call_ref(call);
                queue_append(instance, call);
                (void)pthread_cond_signal(&instance->work);
                admission = ADMIT_QUEUED;
        }
        (void)pthread_mutex_unlock(&instance->lock);
        return admission;
}

enum admission instance_admit(struct instance *instance, struct call *call)
{
        enum admission admission;

        if (!instance->blocking && atomic_load(&instance->stats->queued) == 0 &&
            claim_place(instance)) {
                if (!atomic_load(&instance->closed))
                        return ADMIT_START;
                instance_release(instance);
                return ADMIT_CLOSED;
        }
        admission = admit_to_queue(instance, call);
        /* A place may have become free just before: nobody would look at the queue again. */
        if (admission == ADMIT_QUEUED && !instance->blocking)
                start_waiting(instance);
        return admission;
}

bool instance_withdraw(struct instance *instance, struct call *call)
{
        bool queued;

        (void)pthread_mutex_lock(&instance->lock);
        queued = call->link;
        if (queued)
                queue_remove(instance, call);
        (void)pthread_mutex_unlock(&instance->lock);
        return queued;
}

void instance_release(struct instance *instance)
{
        (void)atomic_fetch_sub(&instance->stats->in_flight, 1);
        if (atomic_load(&instance->stats->queued) == 0)
                return;
        if (!instance->blocking) {
                start_waiting(instance);
                return;
        }
        (void)pthread_mutex_lock(&instance->lock);
        (void)pthread_cond_signal(&instance->work);
        (void)pthread_mutex_unlock(&instance->lock);
}

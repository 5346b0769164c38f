/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "conf/diag.h"
#include "conf/names.h"
#include "conf/node.h"
#include "module/call.h"
#include "module/child.h"
#include "module/entry.h"
#include "module/host.h"
#include "module/instance.h"
#include "module/target.h"
#include "module/verify.h"
#include "util/clock.h"
#include "util/log.h"

/* --- numbers ---------------------------------------------------------------------------------- */

static _Atomic(struct instance *) numbered[HANDLE_OWNERS];

/* 0: there is no free number. Only the main thread makes and frees instances. */
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

struct instance *instance_of_number(unsigned number)
{
        return number > 0 ? atomic_load(&numbered[number]) : NULL;
}

/* --- entries that take long --------------------------------------------------------------------
 */

/* An entry may take long because the machine is busy; two within this time are the brick's doing.
 */
#define LONG_AGAIN_NS (10 * NSEC_PER_SEC)

static void log_runner(const struct instance *instance, size_t size, uint64_t held)
{
        const char *name = instance->conf->name;
        const struct log_field fields[] = {
                { "BRICK", name, strlen(name) },
                { "MESSAGE_ID", LOG_ID_BRICK_SLOW, strlen(LOG_ID_BRICK_SLOW) },
        };

        log_fields(LOG_LEVEL_WARNING, fields, ELEMENTSOF(fields),
                   "Brick '%s' held the polling thread for %u ms for the second time in 10 s: its "
                   "calls "
                   "with requests of %zu bytes or more now run on a thread of their own",
                   name, (unsigned)(held / NSEC_PER_MSEC), size);
}

bool instance_suspected_lately(struct instance *instance)
{
        instance->suspect = clock_recent() - instance->long_seen < LONG_AGAIN_NS;
        return instance->suspect;
}

void instance_took_long(struct instance *instance, size_t size, uint64_t held)
{
        uint64_t now = clock_now();
        bool again = instance_is_suspect(instance);
        size_t seen = instance->long_seen_size;
        struct runner *runner = atomic_load(&instance->runner);

        instance->suspect = true;
        instance->long_seen = now;
        instance->long_seen_size = size;
        if (!again)
                return;
        /* Half of the smaller: a request that is nearly as large takes nearly as long. */
        size = (seen < size ? seen : size) / 2;
        if (runner && size >= atomic_load(&instance->long_size))
                return; /* this call had begun before */
        atomic_store(&instance->long_size, size);
        if (!runner && runner_new(&runner) < 0)
                return;
        atomic_store_explicit(&instance->runner, runner, memory_order_release);
        log_runner(instance, size, held);
}

/* --- places and the queue ----------------------------------------------------------------------
 */

static struct call *call_of(struct share_place *place)
{
        return place ? CONTAINER_OF(place, struct call, place) : NULL;
}

/* The places in flight that do not belong to the reserve. */
static unsigned unreserved(const struct instance *instance)
{
        return instance->limits.concurrency - share_reserve(instance->limits.concurrency);
}

/* Takes one of these places. False: there is none. */
static bool claim_place(struct instance *instance)
{
        unsigned n = atomic_load(&instance->stats->in_flight);

        while (n < unreserved(instance))
                if (atomic_compare_exchange_weak(&instance->stats->in_flight, &n, n + 1))
                        return true;
        return false;
}

/* Lock held. */
static void queue_append(struct instance *instance, struct call *call)
{
        call->queued = clock_now();
        share_append(&instance->share, &call->place);
        (void)atomic_fetch_add(&instance->stats->queued, 1);
}

/* Lock held. */
static void queue_remove(struct instance *instance, struct call *call)
{
        share_remove(&instance->share, &call->place);
        share_leave(&instance->share, &call->place);
        (void)atomic_fetch_sub(&instance->stats->queued, 1);
}

/* Lock held. Removes the call whose turn it is, with a place for it. NULL: no call waits, or there
 * is no place. */
static struct call *queue_take(struct instance *instance)
{
        struct call *call;

        if (!instance->share.turn)
                return NULL; /* no call waits */
        if (claim_place(instance)) {
                call = call_of(share_next(&instance->share));
                share_leave(&instance->share, &call->place);
        } else {
                call = call_of(share_next_reserved(&instance->share));
                if (!call)
                        return NULL;
                (void)atomic_fetch_add(&instance->stats->in_flight, 1);
        }
        (void)atomic_fetch_sub(&instance->stats->queued, 1);
        stats_observe(&instance->stats->counters.queue_wait, clock_now() - call->queued);
        return call;
}

static void *thread_run(void *arg)
{
        struct instance *instance = arg;
        struct call *call;

        entry_guard_thread();
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
        int r = 0;

        instance->threads = calloc(n, sizeof *instance->threads);
        if (!instance->threads)
                return -ENOMEM;
        while (r == 0 && instance->n_threads < n) {
                r = entry_start_thread(&instance->threads[instance->n_threads], thread_run,
                                       instance);
                if (r == 0)
                        instance->n_threads++;
        }
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
                instance->self =
                        NULL; /* create() may have set it, but there is nothing to destroy */
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
        instance->methods = module->brick->methods & verify_methods(instance->type);
        instance->blocking = module->brick->flags & BRICK_FLAG_BLOCKING;
        instance->stats = stats;
        instance->as_target.instance = instance;
        instance->number = take_number(instance);
        instance_log_init(&instance->log);
        health_init(&instance->health);
        instance->health.shown = &stats->health;
        atomic_init(&instance->log_level, conf->log_level);
        (void)pthread_mutex_init(&instance->lock, NULL);
        (void)pthread_cond_init(&instance->work, NULL);
        alarms_init(&instance->alarms);

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
        share_init(&instance->share, instance->limits.concurrency);

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

/* Whether no brick can call it any more. */
static bool callers_are_done(const struct instance *instance)
{
        for (size_t i = 0; i < instance->n_callers; i++) {
                const struct instance *caller = instance->callers[i];

                if (!caller->drained || atomic_load(&caller->stats->in_flight) > 0)
                        return false;
        }
        return true;
}

/* The barrier runs on the polling thread and then on the brick's own runner. When it has, both have
 * started every call that was in their queues before. */
static void pass_barrier(struct run_item *item)
{
        struct instance *instance = CONTAINER_OF(item, struct instance, barrier);
        struct runner *runner = atomic_load(&instance->runner);

        if (runner && !runner_is_here(runner))
                runner_post(runner, item);
        else
                atomic_store(&instance->started, true);
}

/* Closes the instance if no call waits. */
static void try_close(struct instance *instance)
{
        bool closed;

        (void)pthread_mutex_lock(&instance->lock);
        closed = !instance->share.turn;
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

        target_unwatch_all(instance);
        (void)pthread_mutex_lock(&instance->lock);
        instance->stopping = true;
        (void)pthread_cond_broadcast(&instance->work);
        (void)pthread_mutex_unlock(&instance->lock);
        for (unsigned i = 0; i < instance->n_threads; i++)
                (void)pthread_join(instance->threads[i], NULL);
        free(instance->threads);
        alarms_done(&instance->alarms);
        free(instance->callers);
        (void)runner_free(atomic_load(&instance->runner));

        if (instance->self) {
                entry_begin(&entry, instance);
                instance->brick->destroy(instance->self);
                (void)entry_end(&entry, instance);
        }
        give_number_back(instance);
        health_done(&instance->health);
        instance_log_done(&instance->log);
        (void)pthread_cond_destroy(&instance->work);
        (void)pthread_mutex_destroy(&instance->lock);
        free(instance);
        return NULL;
}

/* Whether the unreserved places suffice for all calls that wait and one more. */
static bool has_unreserved(const struct instance *instance)
{
        return atomic_load(&instance->stats->queued) + atomic_load(&instance->stats->in_flight) <
               unreserved(instance);
}

/* Lock held. The queue may be longer than limits.queue while places are free: calls of a blocking
 * brick reach its idle threads through the queue, and a call that may have no place of the reserve
 * waits there. */
static bool queue_has_room(const struct instance *instance)
{
        return atomic_load(&instance->stats->queued) + atomic_load(&instance->stats->in_flight) <
               instance->limits.concurrency + instance->limits.queue;
}

/* queue_take(), with the lock not held. The queue's reference is then the caller's. */
static struct call *take_next(struct instance *instance)
{
        struct call *call;

        (void)pthread_mutex_lock(&instance->lock);
        call = queue_take(instance);
        (void)pthread_mutex_unlock(&instance->lock);
        return call;
}

/* Starts calls that wait while there are places for them. */
static void start_waiting(struct instance *instance)
{
        struct call *call;

        while ((call = take_next(instance))) {
                call_post_start(call);
                call_drop(call);
        }
}

/* Lock held. The call has joined the share. *ret_victim: a waiting call that has lost its place in
 * the queue and is to be refused. */
static enum admission admit_scarce(struct instance *instance, struct call *call,
                                   struct call **ret_victim)
{
        if (atomic_load(&instance->closed))
                return ADMIT_CLOSED;
        if (!instance->blocking && !has_unreserved(instance) &&
            share_take(&instance->share, &call->place)) {
                (void)atomic_fetch_add(&instance->stats->in_flight, 1);
                return ADMIT_START;
        }
        if (!queue_has_room(instance)) {
                *ret_victim = call_of(share_victim(&instance->share, &call->place));
                if (!*ret_victim)
                        return ADMIT_FULL;
                queue_remove(instance, *ret_victim);
        }
        call_ref(call);
        queue_append(instance, call);
        (void)pthread_cond_signal(&instance->work);
        return ADMIT_QUEUED;
}

/* Accepts a call when places may be scarce: counts it for its party. Cold: most calls take the
 * short way of instance_admit(). */
__attribute__((noinline, cold)) static enum admission admit_shared(struct instance *instance,
                                                                   struct call *call)
{
        enum admission admission = ADMIT_FULL;
        struct call *victim = NULL;
        struct share_party party = {};

        /* Every call of a blocking brick goes through the queue. While there are places for all,
         * its party does not matter. */
        if (!instance->blocking || !has_unreserved(instance))
                call->transport->party(call, &party);
        (void)pthread_mutex_lock(&instance->lock);
        if (share_join(&instance->share, &call->place, &party) == 0) {
                admission = admit_scarce(instance, call, &victim);
                if (admission == ADMIT_FULL || admission == ADMIT_CLOSED)
                        share_leave(&instance->share, &call->place);
        }
        (void)pthread_mutex_unlock(&instance->lock);
        if (victim) {
                call_refuse_busy(victim);
                call_drop(victim); /* the queue's */
        }
        return admission;
}

enum admission instance_admit(struct instance *instance, struct call *call)
{
        enum admission admission;

        if (!instance->blocking && atomic_load(&instance->stats->queued) == 0 &&
            claim_place(instance)) {
                if (!atomic_load(&instance->closed))
                        return ADMIT_START;
                instance_vacate(instance);
                instance_release(instance, call);
                return ADMIT_CLOSED;
        }
        admission = admit_shared(instance, call);
        /* A place may have become free before the call was in the queue: start it then. */
        if (admission == ADMIT_QUEUED && !instance->blocking)
                start_waiting(instance);
        return admission;
}

bool instance_withdraw(struct instance *instance, struct call *call)
{
        bool queued;

        (void)pthread_mutex_lock(&instance->lock);
        queued = call->place.link;
        if (queued)
                queue_remove(instance, call);
        (void)pthread_mutex_unlock(&instance->lock);
        return queued;
}

__attribute__((noinline, cold)) static void release_shared(struct instance *instance,
                                                           struct call *call)
{
        (void)pthread_mutex_lock(&instance->lock);
        if (call->place.member)
                share_leave(&instance->share, &call->place);
        (void)pthread_cond_signal(&instance->work);
        (void)pthread_mutex_unlock(&instance->lock);
        if (!instance->blocking)
                start_waiting(instance);
}

void instance_vacate(struct instance *instance)
{
        (void)atomic_fetch_sub(&instance->stats->in_flight, 1);
}

void instance_release(struct instance *instance, struct call *call)
{
        if (call->place.member || atomic_load(&instance->stats->queued) > 0)
                release_shared(instance, call);
}

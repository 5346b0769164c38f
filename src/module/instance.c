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
#include "util/clock.h"
#include "util/log.h"

/* A blocking brick's code may be deep, but thousands of such threads must not cost gigabytes. */
#define THREAD_STACK (1024 * 1024)

/* Places in flight that are for whoever comes first. */
static unsigned unreserved(const struct instance *instance)
{
        return instance->limits.concurrency - share_reserve(instance->limits.concurrency);
}

/* Takes one of them, if there is one. */
static bool claim_place(struct instance *instance)
{
        unsigned n = atomic_load(&instance->stats->in_flight);

        while (n < unreserved(instance))
                if (atomic_compare_exchange_weak(&instance->stats->in_flight, &n, n + 1))
                        return true;
        return false;
}

/* Lock held. */
static void queue_append(struct instance *instance, struct brick_call *call)
{
        call->queued = clock_now();
        share_append(&instance->share, call);
        (void)atomic_fetch_add(&instance->stats->queued, 1);
}

/* Lock held. */
static void queue_remove(struct instance *instance, struct brick_call *call)
{
        share_remove(&instance->share, call);
        share_leave(&instance->share, call);
        (void)atomic_fetch_sub(&instance->stats->queued, 1);
}

/* Lock held. The call whose turn it is; NULL: there is none, or no place for it. */
static struct brick_call *queue_take(struct instance *instance)
{
        struct brick_call *call;

        if (!instance->share.turn)
                return NULL; /* nobody waits */
        if (claim_place(instance)) {
                call = share_next(&instance->share);
                share_leave(&instance->share, call);
        } else {
                call = share_next_reserved(&instance->share);
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
        struct brick_call *call;

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

        if (!instance->threads)
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
        entry_end(&entry, instance);

        if (r < 0 && diag_count(diag) == mistakes)
                diag_add(diag, instance->conf->node, "module %s refused to make this brick: %s",
                         instance->module->path, strerror(-r));
        else if (r >= 0 && diag_count(diag) > mistakes)
                r = -EINVAL; /* it has blamed a node and gone on: destroy() is due */
        return r < 0 ? -EINVAL : 0;
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
        instance->stats = stats;
        instance->as_target.instance = instance;
        health_init(&instance->health);
        instance->health.shown = &stats->health;
        atomic_init(&instance->log_level, conf->log_level);
        (void)pthread_mutex_init(&instance->lock, NULL);
        (void)pthread_cond_init(&instance->work, NULL);
        timeouts_init(&instance->timeouts, child_expire);

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

void instance_drain(struct instance *instance)
{
        struct entry entry;

        if (!instance->brick->drain)
                return;
        entry_begin(&entry, instance);
        instance->brick->drain(instance->self);
        entry_end(&entry, instance);
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
        timeouts_done(&instance->timeouts);

        if (instance->self) {
                entry_begin(&entry, instance);
                instance->brick->destroy(instance->self);
                entry_end(&entry, instance);
        }
        health_done(&instance->health);
        (void)pthread_cond_destroy(&instance->work);
        (void)pthread_mutex_destroy(&instance->lock);
        free(instance);
        return NULL;
}

/* Lock held. Those in flight count as well: a blocking brick's calls reach its idle threads only
 * through the queue, and what the reserve keeps from a client waits there. */
static bool queue_has_room(const struct instance *instance)
{
        return atomic_load(&instance->stats->queued) + atomic_load(&instance->stats->in_flight) <
               instance->limits.concurrency + instance->limits.queue;
}

/* There is a place in flight for one more call than those that wait, without the reserve. */
static bool has_unreserved(const struct instance *instance)
{
        return atomic_load(&instance->stats->queued) + atomic_load(&instance->stats->in_flight) <
               unreserved(instance);
}

/* Lock held. An async brick gets its thread only now. */
static bool has_thread(struct instance *instance)
{
        return instance->n_threads > 0 || start_threads(instance, 1) == 0;
}

/* Lock held. The call has joined. *ret_victim: the call to refuse in its stead. */
static enum admission admit_scarce(struct instance *instance, struct brick_call *call,
                                   struct brick_call **ret_victim)
{
        if (!instance->blocking && !has_unreserved(instance) &&
            share_take(&instance->share, call)) {
                (void)atomic_fetch_add(&instance->stats->in_flight, 1);
                return ADMIT_START;
        }
        if (!has_thread(instance))
                return ADMIT_FULL;
        if (!queue_has_room(instance)) {
                *ret_victim = share_victim(&instance->share, call);
                if (!*ret_victim)
                        return ADMIT_FULL;
                queue_remove(instance, *ret_victim);
        }
        call_ref(call);
        queue_append(instance, call);
        (void)pthread_cond_signal(&instance->work);
        return ADMIT_QUEUED;
}

/* Counts the call for its party, and takes it in. Cold: most calls of most bricks do not come here.
 */
__attribute__((noinline, cold)) static enum admission admit_shared(struct instance *instance,
                                                                   struct brick_call *call)
{
        enum admission admission = ADMIT_FULL;
        struct brick_call *victim = NULL;
        struct share_party party = {};

        /* A blocking brick's calls reach even its idle threads through the queue: while there are
         * places for all, it does not matter whose they are. */
        if (!instance->blocking || !has_unreserved(instance))
                call->transport->party(call, &party);
        (void)pthread_mutex_lock(&instance->lock);
        if (share_join(&instance->share, call, &party) == 0) {
                admission = admit_scarce(instance, call, &victim);
                if (admission == ADMIT_FULL)
                        share_leave(&instance->share, call);
        }
        (void)pthread_mutex_unlock(&instance->lock);
        if (victim) {
                call_refuse_busy(victim);
                call_unref(victim); /* the queue's */
        }
        return admission;
}

enum admission instance_admit(struct instance *instance, struct brick_call *call)
{
        if (!instance->blocking && atomic_load(&instance->stats->queued) == 0 &&
            claim_place(instance))
                return ADMIT_START;
        return admit_shared(instance, call);
}

bool instance_withdraw(struct instance *instance, struct brick_call *call)
{
        bool queued;

        (void)pthread_mutex_lock(&instance->lock);
        queued = call->link;
        if (queued)
                queue_remove(instance, call);
        (void)pthread_mutex_unlock(&instance->lock);
        return queued;
}

__attribute__((noinline, cold)) static void release_shared(struct instance *instance,
                                                           struct brick_call *call)
{
        (void)pthread_mutex_lock(&instance->lock);
        if (call->member)
                share_leave(&instance->share, call);
        (void)pthread_cond_signal(&instance->work);
        (void)pthread_mutex_unlock(&instance->lock);
}

void instance_release(struct instance *instance, struct brick_call *call)
{
        (void)atomic_fetch_sub(&instance->stats->in_flight, 1);
        if (call->member || atomic_load(&instance->stats->queued) > 0)
                release_shared(instance, call);
}

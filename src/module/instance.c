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
static void queue_append(struct instance *instance, struct brick_call *call)
{
        call->next = NULL;
        call->queued = clock_now();
        call->link = instance->queue_end;
        *call->link = call;
        instance->queue_end = &call->next;
        (void)atomic_fetch_add(&instance->stats->queued, 1);
}

/* Lock held. */
static void queue_remove(struct instance *instance, struct brick_call *call)
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
static struct brick_call *queue_take(struct instance *instance)
{
        struct brick_call *call = instance->queue;

        if (!call || !claim_place(instance))
                return NULL;
        queue_remove(instance, call);
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
 * through the queue. */
static bool queue_has_room(const struct instance *instance)
{
        return atomic_load(&instance->stats->queued) + atomic_load(&instance->stats->in_flight) <
               instance->limits.concurrency + instance->limits.queue;
}

/* Lock held. An async brick gets its thread only now. */
static bool has_thread(struct instance *instance)
{
        return instance->n_threads > 0 || start_threads(instance, 1) == 0;
}

enum admission instance_admit(struct instance *instance, struct brick_call *call)
{
        enum admission admission = ADMIT_FULL;

        if (!instance->blocking && atomic_load(&instance->stats->queued) == 0 &&
            claim_place(instance))
                return ADMIT_START;

        (void)pthread_mutex_lock(&instance->lock);
        if (queue_has_room(instance) && has_thread(instance)) {
                call_ref(call);
                queue_append(instance, call);
                (void)pthread_cond_signal(&instance->work);
                admission = ADMIT_QUEUED;
        }
        (void)pthread_mutex_unlock(&instance->lock);
        return admission;
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

void instance_release(struct instance *instance)
{
        (void)atomic_fetch_sub(&instance->stats->in_flight, 1);
        if (atomic_load(&instance->stats->queued) == 0)
                return;
        (void)pthread_mutex_lock(&instance->lock);
        (void)pthread_cond_signal(&instance->work);
        (void)pthread_mutex_unlock(&instance->lock);
}

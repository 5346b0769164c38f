/* SPDX-License-Identifier: MIT */
#include "remote/upstream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/names.h"
#include "module/instance.h"
#include "remote/address.h"
#include "remote/affinity.h"
#include "serve/service.h"
#include "serve/validate.h"
#include "util/random.h"

/* --- state ------------------------------------------------------------------------------------ */

static enum backend_state state_of(const struct backend *backend)
{
        if (atomic_load_explicit(&backend->paused, memory_order_relaxed))
                return BACKEND_PAUSED;
        return channel_state(backend->user.channel);
}

/* The brick serves as long as it may: a backend that has not failed yet may be good. */
static void report_health(const struct upstream *upstream)
{
        char reason[160];

        for (size_t i = 0; i < upstream->n_backends; i++) {
                enum backend_state state = state_of(&upstream->backends[i]);

                if (state == BACKEND_READY || state == BACKEND_CONNECTING) {
                        upstream->host->set_health(upstream->ctx, 1, brick_str(""));
                        return;
                }
        }
        if (upstream->n_backends == 1)
                (void)snprintf(reason, sizeof reason, "backend %s does not serve",
                               upstream->backends[0].address);
        else
                (void)snprintf(reason, sizeof reason, "none of its %zu backends serves",
                               upstream->n_backends);
        upstream->host->set_health(upstream->ctx, 0, brick_str(reason));
}

static void report(struct backend *backend)
{
        struct upstream *upstream = backend->upstream;
        enum backend_state state;

        (void)pthread_mutex_lock(&upstream->lock);
        state = state_of(backend);
        atomic_store_explicit(&backend->stats->state, state, memory_order_relaxed);
        if (upstream->changed)
                upstream->changed(upstream->user, (size_t)(backend - upstream->backends), state);
        else
                report_health(upstream);
        (void)pthread_mutex_unlock(&upstream->lock);
}

static void on_changed(struct channel_user *user, enum backend_state state)
{
        struct backend *backend = (struct backend *)user;
        const struct upstream *upstream = backend->upstream;

        if (!upstream->changed)
                brick_logf(upstream->host, upstream->ctx,
                           state == BACKEND_FAILING ? BRICK_LOG_WARNING : BRICK_LOG_INFO,
                           "backend %s is %s", backend->address, backend_state_to_string(state));
        report(backend);
}

/* False: it was so already. */
static bool set_paused(struct backend *backend, bool paused)
{
        if (atomic_exchange(&backend->paused, paused) == paused)
                return false;
        report(backend);
        return true;
}

void upstream_pause(struct upstream *upstream, size_t index, bool paused)
{
        struct backend *backend = &upstream->backends[index];

        if (set_paused(backend, paused) && !paused)
                channel_hurry(backend->user.channel);
}

void upstream_leave(struct upstream *upstream, size_t index)
{
        struct backend *backend = &upstream->backends[index];

        if (set_paused(backend, true))
                channel_renew(backend->user.channel);
}

/* --- choice ----------------------------------------------------------------------------------- */

/* How good a backend is for a new call; 0: it gets none. A failing one is better than none: what
 * it says is the reason that the client gets. A paused one is better than none if calls wait. */
static unsigned rank_of(const struct backend *backend)
{
        switch (state_of(backend)) {
        case BACKEND_READY:
                return 4;
        case BACKEND_CONNECTING:
                return 3;
        case BACKEND_FAILING:
                return 2;
        default:
                return backend->upstream->flags != 0;
        }
}

/* Of two backends of the same rank: whether the call goes to b rather than to a, which precedes
 * it. */
static bool is_better(const struct upstream *upstream, uint64_t key, const struct backend *a,
                      const struct backend *b)
{
        if (upstream->choice == UPSTREAM_FEWEST)
                return atomic_load_explicit(&b->stats->in_flight, memory_order_relaxed) <
                       atomic_load_explicit(&a->stats->in_flight, memory_order_relaxed);
        return key != 0 && affinity_weight(key, b->hash) > affinity_weight(key, a->hash);
}

/* Among those with equally few calls, backends take turns: this worker does not know what the
 * others send them. */
static size_t first_choice(struct upstream *upstream)
{
        return upstream->choice == UPSTREAM_FEWEST
                       ? atomic_fetch_add_explicit(&upstream->turn, 1, memory_order_relaxed)
                       : 0;
}

struct backend *upstream_choose(struct upstream *upstream, uint64_t key, uint32_t tried)
{
        size_t first = first_choice(upstream), n = upstream->n_backends;
        struct backend *best = NULL;
        unsigned best_rank = 0;

        for (size_t i = 0; i < n; i++) {
                struct backend *backend = &upstream->backends[(first + i) % n];
                unsigned rank = tried & backend_bit(backend) ? 0 : rank_of(backend);

                if (rank > best_rank ||
                    (rank > 0 && rank == best_rank && is_better(upstream, key, best, backend))) {
                        best = backend;
                        best_rank = rank;
                }
        }
        return best;
}

uint64_t upstream_key(const struct upstream *upstream, struct brick_call *call,
                      struct brick_bytes request)
{
        struct brick_str key = {};

        if (upstream->choice != UPSTREAM_AFFINITY)
                return 0;
        if (upstream->affinity)
                key = upstream->host->call_metadata(call, upstream->affinity);
        else if (upstream->session_id > 0 && request.ptr)
                key.ptr = validate_find_string(request.ptr, request.len, upstream->session_id,
                                               &key.len);
        return key.len > 0 ? affinity_hash(key.ptr, key.len) : 0;
}

/* --- life ------------------------------------------------------------------------------------- */

static void init_methods(struct upstream *upstream, const struct service *service)
{
        for (uint32_t m = 0; m < STATS_METHODS; m++) {
                struct upstream_method *method = &upstream->methods[m];

                (void)snprintf(method->path, sizeof method->path, "/%s/%s", service->name,
                               brick_method_to_string(m));
                method->reply = service_reply(service, m);
                method->error_field = service_error_field(service, m);
                method->single = m != BRICK_METHOD_OUTPUT_STREAMING &&
                                 m != BRICK_METHOD_BIDI_STREAMING;
                method->request_stream = m == BRICK_METHOD_INPUT_STREAMING ||
                                         m == BRICK_METHOD_BIDI_STREAMING;
        }
        upstream->session_id = service->session_id;
}

static int add_backend(struct upstream *upstream, const struct backend_settings *settings)
{
        struct backend *backend = &upstream->backends[upstream->n_backends];
        struct stats_brick *stats = upstream->ctx->instance->stats;
        int r;

        *backend = (struct backend){
                .upstream = upstream,
                .user.changed = on_changed,
                .hash = affinity_hash(settings->address, strlen(settings->address)),
                .stats = &stats->backends[upstream->n_backends],
                .counters = &stats->counters.backends[upstream->n_backends],
                .address = strdup(address_shown(settings->address)),
        };
        if (!backend->address)
                return -ENOMEM;
        r = channel_join(&backend->user, settings);
        if (r < 0) {
                free(backend->address);
                return r;
        }
        atomic_store(&backend->stats->state, BACKEND_CONNECTING);
        upstream->n_backends++;
        return 0;
}

static int copy(char **to, const char *prefix, const char *text)
{
        if (text && asprintf(to, "%s%s", prefix, text) < 0) {
                *to = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int copy_texts(struct upstream *upstream, const struct upstream_settings *settings)
{
        int r;

        r = copy(&upstream->affinity, "", settings->affinity);
        if (r == 0)
                r = copy(&upstream->brick, "", settings->brick);
        if (r == 0)
                r = copy(&upstream->lost, "", settings->lost);
        if (r == 0)
                r = copy(&upstream->authorization, "Bearer ", settings->token);
        return r;
}

int upstream_new(struct upstream **ret, const struct upstream_settings *settings)
{
        _cleanup_(upstream_freep) struct upstream *upstream = calloc(1, sizeof *upstream);
        int r;

        if (!upstream)
                return -ENOMEM;
        if (settings->n_backends > STATS_BACKENDS)
                return -E2BIG;
        (void)pthread_mutex_init(&upstream->lock, NULL);
        upstream->host = settings->host;
        upstream->ctx = settings->ctx;
        upstream->choice = settings->choice;
        upstream->errors_as_status = settings->errors_as_status;
        upstream->once = settings->once;
        upstream->first_token = settings->first_token;
        upstream->stall = settings->stall;
        if (settings->wait_for_ready)
                upstream->flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY |
                                  GRPC_INITIAL_METADATA_WAIT_FOR_READY_EXPLICITLY_SET;
        atomic_init(&upstream->turn, (unsigned)random_u64());
        upstream->changed = settings->changed;
        upstream->user = settings->user;
        init_methods(upstream, service_of_type(settings->host->type(settings->ctx)));
        r = copy_texts(upstream, settings);
        if (r < 0)
                return r;
        upstream->backends = calloc(settings->n_backends, sizeof *upstream->backends);
        if (!upstream->backends)
                return -ENOMEM;
        for (size_t i = 0; i < settings->n_backends; i++) {
                r = add_backend(upstream, &settings->backends[i]);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(upstream);
        return 0;
}

struct upstream *upstream_free(struct upstream *upstream)
{
        if (!upstream)
                return NULL;
        for (size_t i = 0; i < upstream->n_backends; i++) {
                channel_leave(&upstream->backends[i].user);
                free(upstream->backends[i].address);
        }
        free(upstream->backends);
        free(upstream->affinity);
        free(upstream->brick);
        free(upstream->lost);
        if (upstream->authorization)
                explicit_bzero(upstream->authorization, strlen(upstream->authorization));
        free(upstream->authorization);
        (void)pthread_mutex_destroy(&upstream->lock);
        free(upstream);
        return NULL;
}

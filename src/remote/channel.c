/* SPDX-License-Identifier: MIT */
#include "remote/channel.h"

#include <errno.h>
#include <grpc/grpc_security.h>
#include <grpc/impl/codegen/compression_types.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "remote/tls-files.h"
#include "rpc/batch.h"
#include "rpc/rpc.h"
#include "util/clock.h"
#include "util/log.h"

/* The bounds of the time between two tries to connect. The first one is also the longest that a try
 * may take, so it must not be short. */
#define CONNECT_MS 5000
#define RECONNECT_MIN_MS 100
#define RECONNECT_MAX_MS 2000

/* A name is not looked up more often. */
#define RESOLVE_MS 1000

/* What a reply has on the wire besides its payload, at most, in bytes: its error field. */
#define REPLY_EXTRA (1024 * 1024)

#define ARGS_MAX 20

struct channel {
        struct channel *next;
        struct backend_settings settings;
        atomic_uint state; /* enum backend_state */
        struct tls_files *files;

        pthread_mutex_t lock; /* of all below */
        struct link *link;
        struct channel_user *users;
};

/* A link and the watch of its state, which has a batch tag in the queue as long as there is one. */
struct watched_link {
        struct link base;
        struct batch_tag changed;
        grpc_connectivity_state seen;
        bool closed; /* the core's channel is destroyed: the tag is about to come */
};

/* [main], but `queue` does not change while channels are connected */
static struct {
        struct channel *channels;
        grpc_completion_queue *queue; /* NULL: not started, or stopped */
        int max_reply;
} client;

/* --- settings --------------------------------------------------------------------------------- */

static bool same(const char *a, const char *b)
{
        return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_settings(const struct backend_settings *a, const struct backend_settings *b)
{
        return same(a->address, b->address) && same(a->service_config, b->service_config) &&
               a->keepalive_time == b->keepalive_time &&
               a->keepalive_timeout == b->keepalive_timeout && a->tls == b->tls &&
               same(a->ca, b->ca) && same(a->certificate, b->certificate) &&
               same(a->key_file, b->key_file) && same(a->key, b->key) &&
               same(a->server_name, b->server_name);
}

static void forget_settings(struct backend_settings *settings)
{
        free((char *)settings->address);
        free((char *)settings->service_config);
        free((char *)settings->ca);
        free((char *)settings->certificate);
        free((char *)settings->key_file);
        if (settings->key)
                explicit_bzero((char *)settings->key, strlen(settings->key));
        free((char *)settings->key);
        free((char *)settings->server_name);
}

static bool copy(const char **to, const char *from)
{
        *to = from ? strdup(from) : NULL;
        return *to || !from;
}

static int copy_settings(struct backend_settings *to, const struct backend_settings *from)
{
        bool whole;

        *to = *from;
        whole = copy(&to->address, from->address);
        whole = copy(&to->service_config, from->service_config) && whole;
        whole = copy(&to->ca, from->ca) && whole;
        whole = copy(&to->certificate, from->certificate) && whole;
        whole = copy(&to->key_file, from->key_file) && whole;
        whole = copy(&to->key, from->key) && whole;
        whole = copy(&to->server_name, from->server_name) && whole;
        return whole ? 0 : -ENOMEM;
}

/* --- the core's arguments --------------------------------------------------------------------- */

struct args {
        grpc_arg list[ARGS_MAX];
        size_t n;
};

static void add_number(struct args *args, const char *key, int value)
{
        args->list[args->n++] = (grpc_arg){
                .type = GRPC_ARG_INTEGER,
                .key = (char *)key,
                .value.integer = value,
        };
}

static void add_string(struct args *args, const char *key, const char *value)
{
        if (value)
                args->list[args->n++] = (grpc_arg){
                        .type = GRPC_ARG_STRING,
                        .key = (char *)key,
                        .value.string = (char *)value,
                };
}

static int milliseconds(int64_t ns)
{
        uint64_t ms = (uint64_t)ns / NSEC_PER_MSEC;

        return ms < INT_MAX ? (int)ms : INT_MAX;
}

static void add_args(struct args *args, const struct backend_settings *settings)
{
        add_number(args, GRPC_ARG_ENABLE_CHANNELZ, 0);
        add_number(args, GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, client.max_reply);
        /* Backends are asked to compress nothing: a small compressed reply can be a huge one. */
        add_number(args, GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1);
        add_number(args, GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
        add_number(args, GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
        add_number(args, GRPC_ARG_ENABLE_HTTP_PROXY, 0);
        add_number(args, GRPC_ARG_CLIENT_IDLE_TIMEOUT_MS, INT_MAX);
        add_number(args, GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, CONNECT_MS);
        add_number(args, GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, RECONNECT_MIN_MS);
        add_number(args, GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, RECONNECT_MAX_MS);
        add_number(args, GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, RESOLVE_MS);
        add_number(args, GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
        add_number(args, "grpc.service_config_disable_resolution", 1);
        add_string(args, GRPC_ARG_SERVICE_CONFIG, settings->service_config);
        if (settings->keepalive_time > 0) {
                add_number(args, GRPC_ARG_KEEPALIVE_TIME_MS,
                           milliseconds(settings->keepalive_time));
                add_number(args, GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                           milliseconds(settings->keepalive_timeout));
        }
        add_string(args, GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, settings->server_name);
}

static grpc_channel_credentials *make_credentials(const struct channel *channel)
{
        const struct tls_text *text = channel->files ? tls_files_text(channel->files) : NULL;
        grpc_ssl_pem_key_cert_pair pair;

        if (!text)
                return grpc_insecure_credentials_create();
        pair = (grpc_ssl_pem_key_cert_pair){ text->key, text->certificate };
        return grpc_ssl_credentials_create(text->ca, text->certificate ? &pair : NULL, NULL, NULL);
}

/* --- links ------------------------------------------------------------------------------------ */

/* The core has closed a connection that was good: connecting again is no failure until it fails. */
static enum backend_state next_state(enum backend_state now, grpc_connectivity_state core)
{
        switch (core) {
        case GRPC_CHANNEL_READY:
                return BACKEND_READY;
        case GRPC_CHANNEL_TRANSIENT_FAILURE:
        case GRPC_CHANNEL_SHUTDOWN:
                return BACKEND_FAILING;
        case GRPC_CHANNEL_IDLE:
        case GRPC_CHANNEL_CONNECTING:
                break;
        }
        return now == BACKEND_FAILING ? now : BACKEND_CONNECTING;
}

/* Lock held. */
static void set_state(struct channel *channel, enum backend_state state)
{
        if (atomic_exchange(&channel->state, state) == state)
                return;
        for (struct channel_user *user = channel->users; user; user = user->next)
                user->changed(user, state);
}

/* Lock held. Reports the state, and waits for the next. An idle channel connects. */
static void watch(struct watched_link *link)
{
        struct channel *channel = link->base.channel;

        link->seen = grpc_channel_check_connectivity_state(link->base.core, 1);
        if (channel->link == &link->base)
                set_state(channel, next_state(atomic_load(&channel->state), link->seen));
        grpc_channel_watch_connectivity_state(link->base.core, link->seen,
                                              gpr_inf_future(GPR_CLOCK_MONOTONIC), client.queue,
                                              &link->changed);
}

static void on_changed(void *owner, bool ok)
{
        struct watched_link *link = owner;
        struct channel *channel = link->base.channel;
        bool closed;

        (void)pthread_mutex_lock(&channel->lock);
        closed = link->closed;
        if (!closed)
                watch(link);
        (void)pthread_mutex_unlock(&channel->lock);
        if (closed)
                free(link);
}

/* The core does not report that it cannot use the settings: it makes a channel that fails every
 * call and whose state never changes. A good one has not begun to connect. */
static bool is_usable(grpc_channel *core)
{
        return grpc_channel_check_connectivity_state(core, 0) == GRPC_CHANNEL_IDLE;
}

/* NULL: out of memory, or gRPC cannot use the settings, which has been logged. */
static struct watched_link *link_new(struct channel *channel)
{
        struct watched_link *link = calloc(1, sizeof *link);
        struct args args = { .n = 0 };
        grpc_channel_credentials *credentials;

        if (!link)
                return NULL;
        add_args(&args, &channel->settings);
        credentials = make_credentials(channel);
        *link = (struct watched_link){
                .base.channel = channel,
                .base.core = grpc_channel_create(channel->settings.address, credentials,
                                                 &(grpc_channel_args){ args.n, args.list }),
                .changed = { on_changed, link },
        };
        atomic_init(&link->base.refs, 1);
        grpc_channel_credentials_release(credentials);
        if (is_usable(link->base.core))
                return link;
        log_error("gRPC cannot use the settings of backend %s", channel->settings.address);
        grpc_channel_destroy(link->base.core);
        free(link);
        return NULL;
}

struct link *channel_take_link(struct channel *channel)
{
        struct link *link;

        (void)pthread_mutex_lock(&channel->lock);
        link = channel->link;
        if (link)
                (void)atomic_fetch_add_explicit(&link->refs, 1, memory_order_relaxed);
        (void)pthread_mutex_unlock(&channel->lock);
        return link;
}

/* The watch is what frees the link: destroying the core's channel makes it come. */
void link_unref(struct link *base)
{
        struct watched_link *link = (struct watched_link *)base;
        struct channel *channel = base->channel;

        if (atomic_fetch_sub_explicit(&base->refs, 1, memory_order_acq_rel) != 1)
                return;
        (void)pthread_mutex_lock(&channel->lock);
        link->closed = true;
        grpc_channel_destroy(base->core);
        (void)pthread_mutex_unlock(&channel->lock);
}

/* Lock held. Replaces the link by a new one; NULL: by none. The old one is the caller's. */
static struct link *exchange_link(struct channel *channel, struct watched_link *link)
{
        struct link *old = channel->link;

        channel->link = link ? &link->base : NULL;
        if (link)
                watch(link);
        return old;
}

static void replace_link(struct channel *channel, struct watched_link *link)
{
        struct link *old;

        (void)pthread_mutex_lock(&channel->lock);
        old = exchange_link(channel, link);
        (void)pthread_mutex_unlock(&channel->lock);
        if (old)
                link_unref(old);
}

void channel_renew(struct channel *channel)
{
        struct watched_link *link = link_new(channel);
        struct link *old = NULL;

        if (!link)
                return;
        (void)pthread_mutex_lock(&channel->lock);
        if (channel->link)
                old = exchange_link(channel, link);
        (void)pthread_mutex_unlock(&channel->lock);
        if (old) {
                link_unref(old);
                return;
        }
        grpc_channel_destroy(link->base.core);
        free(link);
}

void channel_hurry(struct channel *channel)
{
        struct link *link = channel_take_link(channel);

        if (!link)
                return;
        grpc_channel_reset_connect_backoff(link->core);
        (void)grpc_channel_check_connectivity_state(link->core, 1);
        link_unref(link);
}

enum backend_state channel_state(const struct channel *channel)
{
        return (enum backend_state)atomic_load_explicit(&channel->state, memory_order_relaxed);
}

/* --- channels --------------------------------------------------------------------------------- */

static struct channel *channel_free(struct channel *channel)
{
        if (!channel)
                return NULL;
        (void)tls_files_free(channel->files);
        forget_settings(&channel->settings);
        (void)pthread_mutex_destroy(&channel->lock);
        free(channel);
        return NULL;
}
DEFINE_CLEANUP(struct channel *, channel_free);

static int channel_new(struct channel **ret, const struct backend_settings *settings)
{
        _cleanup_(channel_freep) struct channel *channel = calloc(1, sizeof *channel);
        int r;

        if (!channel)
                return -ENOMEM;
        (void)pthread_mutex_init(&channel->lock, NULL);
        atomic_init(&channel->state, BACKEND_CONNECTING);
        r = copy_settings(&channel->settings, settings);
        if (r < 0)
                return r;
        if (settings->tls) {
                r = tls_files_new(&channel->files, &channel->settings);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(channel);
        return 0;
}

int channel_join(struct channel_user *user, const struct backend_settings *settings)
{
        struct channel *channel = client.channels;
        int r;

        while (channel && !same_settings(&channel->settings, settings))
                channel = channel->next;
        if (!channel) {
                r = channel_new(&channel, settings);
                if (r < 0)
                        return r;
                channel->next = client.channels;
                client.channels = channel;
        }
        user->channel = channel;
        user->next = channel->users;
        channel->users = user;
        return 0;
}

void channel_leave(struct channel_user *user)
{
        struct channel *channel = user->channel;
        struct channel_user **at = &channel->users;
        struct channel **place = &client.channels;

        while (*at != user)
                at = &(*at)->next;
        *at = user->next;
        if (channel->users)
                return;
        while (*place != channel)
                place = &(*place)->next;
        *place = channel->next;
        (void)channel_free(channel);
}

/* --- the worker's ----------------------------------------------------------------------------- */

/* The longest reply that any port passes on. */
static int longest_reply(const struct conf *conf)
{
        int64_t longest = 0;

        for (size_t i = 0; i < conf->n_ports; i++)
                if (conf->ports[i].max_reply > longest)
                        longest = conf->ports[i].max_reply;
        return longest < INT_MAX - REPLY_EXTRA ? (int)longest + REPLY_EXTRA : -1;
}

grpc_completion_queue *client_queue(void)
{
        return client.queue;
}

int client_start(struct rpc *rpc, const struct conf *conf)
{
        client.queue = rpc_queue(rpc);
        client.max_reply = longest_reply(conf);
        for (struct channel *channel = client.channels; channel; channel = channel->next) {
                struct watched_link *link = link_new(channel);

                if (!link)
                        return -EINVAL;
                replace_link(channel, link);
        }
        return 0;
}

void client_maintain(void)
{
        for (struct channel *channel = client.channels; channel; channel = channel->next)
                if (channel->files && tls_files_changed(channel->files))
                        channel_renew(channel);
}

void client_stop(void)
{
        for (struct channel *channel = client.channels; channel; channel = channel->next)
                replace_link(channel, NULL);
}

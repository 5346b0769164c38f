/* SPDX-License-Identifier: MIT */
#include "meaning.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "brick-sdk.h"
#include "embed.h"
#include "scope.h"

#define NSEC_PER_MSEC 1000000
#define NSEC_PER_SEC INT64_C(1000000000)

/* How long a server that has failed is left alone. */
#define PAUSE NSEC_PER_SEC

/* Clients that are kept; each has a connection. */
#define IDLE_MAX 16

struct meaning {
        struct brick_ctx *ctx;
        struct embed_settings settings;
        char *base_url, *key, *prefix, *input_type;

        pthread_mutex_t lock; /* guards what follows */
        struct embed *idle[IDLE_MAX];
        size_t n_idle;
        bool failing;
        int64_t retry_at; /* CLOCK_MONOTONIC; while it fails */
};

const struct brick_option meaning_options[] = {
        {
                .name = "base_url",
                .type = BRICK_STRING,
                .flags = BRICK_OPTION_REQUIRED,
                .summary = "of an API like OpenAI's, such as http://127.0.0.1:8000/v1",
        },
        {
                .name = "api_key",
                .type = BRICK_SECRET,
                .summary = "is sent as Authorization: Bearer",
        },
        {
                .name = "query_prefix",
                .type = BRICK_STRING,
                .fallback = "",
                .summary = "goes before each query, such as \"query: \" for E5's models",
        },
        {
                .name = "input_type",
                .type = BRICK_STRING,
                .fallback = "",
                .summary = "is sent as input_type, such as query, to servers that take it",
        },
        {
                .name = "timeout",
                .type = BRICK_DURATION,
                .fallback = "2s",
                .min = 10 * NSEC_PER_MSEC,
                .max = 60 * NSEC_PER_SEC,
                .summary = "for one query; then it is searched for by words alone",
        },
        {},
};

static int64_t now(void)
{
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

static bool is_key(struct brick_str key)
{
        for (size_t i = 0; i < key.len; i++)
                if (key.ptr[i] < 0x20 || key.ptr[i] > 0x7e)
                        return false;
        return key.len > 0;
}

static bool is_local(const char *url)
{
        static const char *const hosts[] = { "127.", "localhost", "[::1]" };
        const char *host = url + strlen("http://");

        for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
                if (strncmp(host, hosts[i], strlen(hosts[i])) == 0)
                        return true;
        return false;
}

static int copy(const struct brick_node *node, const char *name, char **ret)
{
        struct brick_str text = brick_host->node_str(brick_host->node_get(node, name));

        *ret = strndup(text.ptr ?: "", text.len);
        return *ret ? 0 : -ENOMEM;
}

static int read_options(struct meaning *m, const struct brick_node *node)
{
        const struct brick_host *host = brick_host;
        const struct brick_node *url = host->node_get(node, "base_url");
        const struct brick_node *key = host->node_get(node, "api_key");
        const char *why;

        if (copy(node, "base_url", &m->base_url) < 0 || copy(node, "api_key", &m->key) < 0 ||
            copy(node, "query_prefix", &m->prefix) < 0 ||
            copy(node, "input_type", &m->input_type) < 0)
                return -ENOMEM;
        why = embed_check_url(m->base_url);
        if (why)
                brick_node_errorf(host, m->ctx, url, "the URL %s", why);
        if (key && !is_key(host->node_str(key))) {
                why = "only printable ASCII can be sent";
                brick_node_errorf(host, m->ctx, key, "%s", why);
        }
        if (why)
                return -EINVAL;
        if (key && strncmp(m->base_url, "http://", 7) == 0 && !is_local(m->base_url))
                brick_logf(host, m->ctx, BRICK_LOG_WARNING,
                           "The API key and all queries are sent to %s unencrypted", m->base_url);
        m->settings = (struct embed_settings){
                .base_url = m->base_url,
                .key = key ? m->key : NULL,
                .prefix = m->prefix,
                .input_type = m->input_type,
                .timeout_ms = (long)(host->node_int(host->node_get(node, "timeout")) /
                                     NSEC_PER_MSEC),
        };
        return 0;
}

struct meaning *meaning_free(struct meaning *m)
{
        if (!m)
                return NULL;
        while (m->n_idle > 0)
                (void)embed_free(m->idle[--m->n_idle]);
        (void)pthread_mutex_destroy(&m->lock);
        free(m->base_url);
        free(m->key);
        free(m->prefix);
        free(m->input_type);
        free(m);
        return NULL;
}

DEFINE_CLEANUP(struct meaning *, meaning_free);

int meaning_new(struct brick_ctx *ctx, const struct brick_node *node, struct meaning **ret)
{
        _cleanup_(meaning_freep) struct meaning *m = NULL;
        int r;

        if (!node)
                return 0;
        m = calloc(1, sizeof *m);
        if (!m || embed_init() < 0)
                return -ENOMEM;
        m->ctx = ctx;
        (void)pthread_mutex_init(&m->lock, NULL);
        r = read_options(m, node);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

/* NULL: out of memory, or the server is left alone. */
static struct embed *client_take(struct meaning *m)
{
        struct embed *embed = NULL;
        bool pause;

        (void)pthread_mutex_lock(&m->lock);
        pause = m->failing && now() < m->retry_at;
        if (pause)
                embed = NULL;
        else if (m->n_idle > 0)
                embed = m->idle[--m->n_idle];
        if (m->failing && !pause) /* the others wait for what this one finds */
                m->retry_at = now() + PAUSE;
        (void)pthread_mutex_unlock(&m->lock);
        return embed || pause ? embed : embed_new(&m->settings);
}

static void client_give(struct meaning *m, struct embed *embed)
{
        (void)pthread_mutex_lock(&m->lock);
        if (m->n_idle < IDLE_MAX) {
                m->idle[m->n_idle++] = embed;
                embed = NULL;
        }
        (void)pthread_mutex_unlock(&m->lock);
        (void)embed_free(embed);
}

/* why: NULL: the server gives vectors. */
static void note(struct meaning *m, const char *why)
{
        bool was;

        (void)pthread_mutex_lock(&m->lock);
        was = m->failing;
        m->failing = why;
        m->retry_at = now() + PAUSE;
        (void)pthread_mutex_unlock(&m->lock);
        if (why && !was)
                brick_logf(brick_host, m->ctx, BRICK_LOG_WARNING,
                           "No vectors of queries, so searches are by words alone: %s", why);
        else if (!why && was)
                brick_logf(brick_host, m->ctx, BRICK_LOG_NOTICE,
                           "There are vectors of queries again");
}

int meaning_of(struct meaning *m, const struct meaning_text *text, const char *model,
               size_t dimension, float *ret)
{
        struct embed_request request = {
                .model = model,
                .texts = &text->text,
                .n = 1,
                .cancelled = text->cancelled,
                .user = text->user,
        };
        _cleanup_free_ float *vector = NULL;
        char error[EMBED_ERROR_SIZE];
        struct embed *embed = client_take(m);
        long wait_ms;
        int r;

        if (!embed)
                return -EAGAIN;
        r = embed_run(embed, &request, &dimension, &vector, &wait_ms, error);
        client_give(m, embed);
        if (r == 0)
                memcpy(ret, vector, dimension * sizeof *ret);
        if (r != -ECANCELED)
                note(m, r == 0 ? NULL : r == -ENOMEM ? "out of memory" : error);
        return r;
}

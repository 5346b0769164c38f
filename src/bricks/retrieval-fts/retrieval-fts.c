/* SPDX-License-Identifier: MIT */

/* Retrieval: searches an index that `brickctl index` keeps. See README.md. */

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "brick-sdk.h"

#include "meaning.h"
#include "schema.h"
#include "search.h"

struct brick_instance {
        struct brick_ctx *ctx;
        struct searcher *searcher;
        int max_results;
        int max_results_limit;
        int snippet_words;
        struct meaning *meaning; /* NULL: searches are by words alone */

        /* The last use of the index failed, and the host has been told. While this is set, the
         * thread checks the index. */
        atomic_bool unavailable;
        pthread_mutex_t lock; /* held to change it, and of stopping */
        pthread_cond_t change;
        pthread_t thread;
        bool has_thread;
        bool stopping;
};

/* The interval between checks of an index that is unavailable. */
#define CHECK_SECONDS 1

/* One who is in no group. */
static const struct search_who nobody;

/* The response that a search fills in. */
struct answer {
        struct brick_call *call;
        RetrievalResponse *response;
        struct meaning *meaning;
        struct meaning_text text;
        bool by_meaning;
};

static const struct brick_option options[] = {
        {
                .name = "index",
                .type = BRICK_PATH,
                .flags = BRICK_OPTION_REQUIRED,
                .summary = "the index to search, as `brickctl index --db` names it",
        },
        {
                .name = "max_results",
                .type = BRICK_INT,
                .fallback = "5",
                .min = 1,
                .max = 200,
                .summary = "documents in an answer, if the request does not say",
        },
        {
                .name = "max_results_limit",
                .type = BRICK_INT,
                .fallback = "50",
                .min = 1,
                .max = 200,
                .summary = "the most documents in an answer, whatever the request says",
        },
        {
                .name = "snippet_words",
                .type = BRICK_INT,
                .fallback = "40",
                .min = 4,
                .max = 1000,
                .summary = "length of a snippet in words, or characters of scripts without spaces",
        },
        {
                .name = "embeddings",
                .type = BRICK_MAP,
                .items = meaning_options,
                .summary =
                        "the server that has made the vectors of the index, for those of queries",
        },
        {},
};

/* depth: levels of nesting that the value may have. */
static int set_value(struct brick_call *call, const json_t *json, unsigned depth, Value *ret);

/* Adds the members of a JSON object to a Struct. */
static int add_members(struct brick_call *call, json_t *json, unsigned depth, Struct *object)
{
        Google__Protobuf__Struct__FieldsEntry **entry = brick_add_n(call, object, fields,
                                                                    json_object_size(json));
        const char *key;
        json_t *member;
        int r;

        if (!entry)
                return -ENOMEM;
        json_object_foreach(json, key, member)
        {
                (*entry)->key = brick_strndup(call, key, strlen(key));
                (*entry)->value = BRICK_NEW(call, Value);
                if (!(*entry)->key || !(*entry)->value)
                        return -ENOMEM;
                r = set_value(call, member, depth, (*entry)->value);
                if (r < 0)
                        return r;
                entry++;
        }
        return 0;
}

static int add_items(struct brick_call *call, const json_t *json, unsigned depth, ListValue *list)
{
        Value **values = brick_add_n(call, list, values, json_array_size(json));
        json_t *item;
        size_t i;
        int r;

        if (!values)
                return -ENOMEM;
        json_array_foreach(json, i, item)
        {
                r = set_value(call, item, depth, values[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int set_struct(struct brick_call *call, json_t *json, unsigned depth, Value *ret)
{
        Struct *object = brick_value_set_struct(call, ret);

        return object ? add_members(call, json, depth, object) : -ENOMEM;
}

static int set_list(struct brick_call *call, const json_t *json, unsigned depth, Value *ret)
{
        ListValue *list = brick_value_set_list(call, ret);

        return list ? add_items(call, json, depth, list) : -ENOMEM;
}

static int set_string(struct brick_call *call, const json_t *json, Value *ret)
{
        const char *copy = brick_strndup(call, json_string_value(json), json_string_length(json));

        return copy ? brick_value_set_string(ret, copy) : -ENOMEM;
}

static int set_value(struct brick_call *call, const json_t *json, unsigned depth, Value *ret)
{
        if (depth == 0 && (json_is_object(json) || json_is_array(json)))
                return -EBADMSG;
        switch (json_typeof(json)) {
        case JSON_OBJECT:
                return set_struct(call, (json_t *)json, depth - 1, ret);
        case JSON_ARRAY:
                return set_list(call, json, depth - 1, ret);
        case JSON_STRING:
                return set_string(call, json, ret);
        case JSON_INTEGER:
        case JSON_REAL:
                return brick_value_set_number(ret, json_number_value(json));
        case JSON_TRUE:
        case JSON_FALSE:
                return brick_value_set_bool(ret, json_is_true(json));
        default:
                ret->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
                return 0;
        }
}

/* Sets the metadata: that of the document, and the numbers of the passage and of all passages. */
static int set_metadata(struct brick_call *call, const struct search_hit *hit, Struct *metadata)
{
        json_auto_t *json = NULL;

        if (strlen(hit->metadata) <= SCHEMA_METADATA_SIZE_MAX)
                json = json_loads(hit->metadata, 0, NULL);
        if (!json_is_object(json))
                return -EBADMSG;
        if (json_object_set_new(json, "passage", json_integer(hit->passage)) < 0 ||
            json_object_set_new(json, "passages", json_integer(hit->passages)) < 0)
                return -ENOMEM;
        return add_members(call, json, SCHEMA_METADATA_DEPTH_MAX - 1, metadata);
}

static int add_hit(void *user, const struct search_hit *hit)
{
        struct answer *answer = user;
        struct brick_call *call = answer->call;
        RetrievalDocument *document;

        document = brick_add(call, answer->response, documents);
        if (!document)
                return -ENOMEM;
        document->doc_id = brick_strndup(call, hit->id, strlen(hit->id));
        document->title = brick_strndup(call, hit->title, strlen(hit->title));
        document->snippet = brick_strndup(call, hit->snippet, strlen(hit->snippet));
        document->score = (float)hit->score;
        if (!document->doc_id || !document->title || !document->snippet)
                return -ENOMEM;
        return set_metadata(call, hit, document->metadata);
}

static bool is_cancelled(void *user)
{
        struct answer *answer = user;

        return brick_host->call_cancelled(answer->call);
}

/* Whether the caller is a member of a group. */
static bool is_member(void *user, const char *group, size_t n)
{
        struct brick_str name;

        if (!BRICK_HAS(brick_host, call_group))
                return false;
        for (size_t i = 0; (name = brick_host->call_group(user, i)).ptr; i++)
                if (name.len == n && memcmp(name.ptr, group, n) == 0)
                        return true;
        return false;
}

static int embed(void *user, const char *model, size_t dimension, float *ret)
{
        struct answer *answer = user;

        answer->by_meaning = meaning_of(answer->meaning, &answer->text, model, dimension, ret) == 0;
        return answer->by_meaning ? 0 : -EAGAIN;
}

static void report_state(struct brick_instance *self, const struct search_error *error)
{
        if (BRICK_HAS(brick_host, set_health))
                brick_host->set_health(self->ctx, !error, brick_str(error ? error->text : ""));
        else if (error)
                brick_logf(brick_host, self->ctx, BRICK_LOG_WARNING, "%s", error->text);
        else
                brick_logf(brick_host, self->ctx, BRICK_LOG_NOTICE, "The index is back");
}

/* Tells the host when the index becomes unavailable and when it is available again, but not for
 * every call between. */
static void note_state(struct brick_instance *self, const struct search_error *error)
{
        bool unavailable = error != NULL;

        if (atomic_load(&self->unavailable) == unavailable)
                return;
        (void)pthread_mutex_lock(&self->lock);
        if (atomic_exchange(&self->unavailable, unavailable) != unavailable) {
                report_state(self, error);
                (void)pthread_cond_signal(&self->change);
        }
        (void)pthread_mutex_unlock(&self->lock);
}

/* Checks an index that is unavailable, because clients may send no calls while the brick is not
 * healthy. */
static void *check_index(void *arg)
{
        struct brick_instance *self = arg;
        struct search_statistics statistics;
        struct search_error error;
        struct timespec until;

        (void)pthread_mutex_lock(&self->lock);
        while (!self->stopping) {
                if (!atomic_load(&self->unavailable)) {
                        (void)pthread_cond_wait(&self->change, &self->lock);
                        continue;
                }
                (void)clock_gettime(CLOCK_MONOTONIC, &until);
                until.tv_sec += CHECK_SECONDS;
                if (pthread_cond_clockwait(&self->change, &self->lock, CLOCK_MONOTONIC, &until) !=
                    ETIMEDOUT)
                        continue;
                (void)pthread_mutex_unlock(&self->lock);
                if (searcher_statistics(self->searcher, &nobody, &statistics, &error) == 0)
                        note_state(self, NULL);
                (void)pthread_mutex_lock(&self->lock);
        }
        (void)pthread_mutex_unlock(&self->lock);
        return NULL;
}

static bool is_blank(const char *s)
{
        return s[strspn(s, " \t\r\n\v\f")] == '\0';
}

/* Tells the client whether the search was by meaning as well, where it can be. */
static int note_kind(struct brick_instance *self, const struct answer *answer)
{
        if (!self->meaning)
                return 0;
        return brick_host->call_trailer(answer->call, brick_str("x-search"),
                                        brick_str(answer->by_meaning ? "hybrid" : "words"));
}

static int retrieval_unary(struct brick_instance *self, struct brick_call *call,
                           const RetrievalRequest *request, RetrievalResponse *response)
{
        struct answer answer = {
                .call = call,
                .response = response,
                .meaning = self->meaning,
                .text = { request->query, is_cancelled, &answer },
        };
        struct search_query query = {
                .who = { .is_member = is_member, .user = call },
                .text = request->query,
                .n = strlen(request->query),
                .max_results = request->max_results,
                .snippet_words = self->snippet_words,
                .embed = self->meaning ? embed : NULL,
                .cancelled = is_cancelled,
                .hit = add_hit,
                .user = &answer,
        };
        struct search_error error;
        int r;

        if (is_blank(request->query))
                return brick_fail(call, BRICK_E_PARAMETER_MISSING, "The query is empty", NULL);
        if (query.max_results <= 0)
                query.max_results = self->max_results;
        if (query.max_results > self->max_results_limit)
                query.max_results = self->max_results_limit;
        r = searcher_search(self->searcher, &query, &error);
        if (r == SEARCH_E_CANCELLED)
                return -ECANCELED;
        if (r == SEARCH_E_UNAVAILABLE) {
                note_state(self, &error);
                return brick_fail(call, BRICK_E_SERVICE_UNAVAILABLE, "The index is unavailable",
                                  error.text);
        }
        if (r == 0) {
                note_state(self, NULL);
                r = note_kind(self, &answer);
        }
        return r;
}

static int retrieval_service_info(struct brick_instance *self, struct brick_call *call,
                                  ServiceInfoResponse *response)
{
        struct search_who who = { .is_member = is_member, .user = call };
        struct search_statistics statistics;
        struct search_error error;
        char *description, tokenizer[TOKENIZER_VERSION_SIZE];
        struct brick_str name;
        bool with;
        int r;

        tokenizer_version(tokenizer);
        r = searcher_statistics(self->searcher, &who, &statistics, &error);
        if (r < 0)
                return r;
        with = self->meaning && statistics.model[0];
        if (r > 0)
                description = brick_strndup(call, error.text, strlen(error.text));
        else
                description = brick_printf(
                        call, "BM25%s%s over %lld documents in %lld passages; tokenizer %s",
                        with ? " and vectors of " : "", with ? statistics.model : "",
                        (long long)statistics.documents, (long long)statistics.passages, tokenizer);
        name = brick_host->name(self->ctx);
        response->service_name = brick_strndup(call, name.ptr, name.len);
        response->models[0]->description = description;
        return description && response->service_name ? 0 : -ENOMEM;
}

static void retrieval_destroy(struct brick_instance *self)
{
        (void)pthread_mutex_lock(&self->lock);
        self->stopping = true;
        (void)pthread_cond_signal(&self->change);
        (void)pthread_mutex_unlock(&self->lock);
        if (self->has_thread)
                (void)pthread_join(self->thread, NULL);
        (void)pthread_cond_destroy(&self->change);
        (void)pthread_mutex_destroy(&self->lock);
        searcher_free(self->searcher);
        (void)meaning_free(self->meaning);
        free(self);
}

DEFINE_CLEANUP(struct brick_instance *, retrieval_destroy);

static int read_options(struct brick_instance *self, const struct brick_node *config)
{
        const struct brick_host *host = brick_host;
        const struct brick_node *max_results = host->node_get(config, "max_results");
        int r;

        self->max_results = (int)host->node_int(max_results);
        self->max_results_limit = (int)host->node_int(host->node_get(config, "max_results_limit"));
        self->snippet_words = (int)host->node_int(host->node_get(config, "snippet_words"));
        if (self->max_results > self->max_results_limit) {
                brick_node_errorf(host, self->ctx, max_results,
                                  "%d is more than max_results_limit, %d", self->max_results,
                                  self->max_results_limit);
                return -EINVAL;
        }
        r = meaning_new(self->ctx, host->node_get(config, "embeddings"), &self->meaning);
        if (r < 0)
                return r;
        return searcher_new(host->node_str(host->node_get(config, "index")).ptr, &self->searcher);
}

/* The index may be made later, so a missing or unusable one is only a warning: the other bricks are
 * served. */
static int retrieval_create(const struct brick_host *host, struct brick_ctx *ctx,
                            const struct brick_node *config, struct brick_instance **ret)
{
        _cleanup_(retrieval_destroyp) struct brick_instance *self = NULL;
        struct search_statistics statistics;
        struct search_error error;
        int r;

        self = calloc(1, sizeof *self);
        if (!self)
                return -ENOMEM;
        self->ctx = ctx;
        (void)pthread_mutex_init(&self->lock, NULL);
        (void)pthread_cond_init(&self->change, NULL);
        r = read_options(self, config);
        if (r < 0)
                return r;
        r = searcher_statistics(self->searcher, &nobody, &statistics, &error);
        if (r < 0)
                return r;
        if (r > 0)
                note_state(self, &error);
        r = -pthread_create(&self->thread, NULL, check_index, self);
        if (r < 0)
                return r;
        self->has_thread = true;
        *ret = TAKE_PTR(self);
        return 0;
}

static const struct brick_retrieval handlers = {
        .service_info = retrieval_service_info,
        .unary = retrieval_unary,
};

BRICK_RETRIEVAL(handlers, .name = "retrieval-fts", .version = "1.0",
                .summary = "full-text search with BM25 over an index made by brickctl index",
                .flags = BRICK_FLAG_BLOCKING, .options = options, .create = retrieval_create,
                .destroy = retrieval_destroy);

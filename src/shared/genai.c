/* SPDX-License-Identifier: MIT */
#include "shared/genai.h"

#include <string.h>

#include "util/clock.h"
#include "util/grpc-status.h"

#define MSEC NSEC_PER_MSEC

/* So many places always remain for calls whose models count as GENAI_OTHER: they have a place for
 * each combination of the rest. */
#define PLACES_OTHER (GENAI_OPERATIONS * GENAI_PROVIDERS * GENAI_ERRORS)
#define PLACES_NAMED (STATS_GENAI - PLACES_OTHER)

_Static_assert(STATS_GENAI >= 2 * PLACES_OTHER, "as many places for models that have a name");

/* --- names --------------------------------------------------------------------------------------
 */

/* The bounds are those that the conventions advise. */
const struct genai_metric_spec genai_metrics[GENAI_METRICS] = {
        [GENAI_METRIC_DURATION] = {
                .name = "gen_ai_server_request_duration_seconds",
                .help = "Time from the arrival of a call to a model to its end.",
                .n_bounds = 14,
                .bounds = { 10 * MSEC, 20 * MSEC, 40 * MSEC, 80 * MSEC, 160 * MSEC, 320 * MSEC,
                            640 * MSEC, 1280 * MSEC, 2560 * MSEC, 5120 * MSEC, 10240 * MSEC,
                            20480 * MSEC, 40960 * MSEC, 81920 * MSEC },
        },
        [GENAI_METRIC_FIRST] = {
                .name = "gen_ai_server_time_to_first_token_seconds",
                .help = "Time from the arrival of a call to the first text of its stream, for "
                        "streams that succeed.",
                .n_bounds = 16,
                .bounds = { 1 * MSEC, 5 * MSEC, 10 * MSEC, 20 * MSEC, 40 * MSEC, 60 * MSEC,
                            80 * MSEC, 100 * MSEC, 250 * MSEC, 500 * MSEC, 750 * MSEC,
                            1000 * MSEC, 2500 * MSEC, 5000 * MSEC, 7500 * MSEC, 10000 * MSEC },
        },
        [GENAI_METRIC_PER_TOKEN] = {
                .name = "gen_ai_server_time_per_output_token_seconds",
                .help = "Time per output token after the first text of a stream, for streams that "
                        "succeed and whose tokens are known.",
                .n_bounds = 13,
                .bounds = { 10 * MSEC, 25 * MSEC, 50 * MSEC, 75 * MSEC, 100 * MSEC, 150 * MSEC,
                            200 * MSEC, 300 * MSEC, 400 * MSEC, 500 * MSEC, 750 * MSEC,
                            1000 * MSEC, 2500 * MSEC },
        },
        [GENAI_METRIC_TOKENS] = {
                .name = "gen_ai_client_token_usage",
                .help = "Tokens of a call, if its brick has counted them.",
                .n_bounds = 14,
                .bounds = { 1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304,
                            16777216, 67108864 },
        },
};

const char *genai_attribute_to_string(enum genai_attribute attribute)
{
        static const char *const names[] = {
                [GENAI_ATTRIBUTE_OPERATION] = "gen_ai.operation.name",
                [GENAI_ATTRIBUTE_PROVIDER] = "gen_ai.provider.name",
                [GENAI_ATTRIBUTE_REQUEST_MODEL] = "gen_ai.request.model",
                [GENAI_ATTRIBUTE_RESPONSE_MODEL] = "gen_ai.response.model",
                [GENAI_ATTRIBUTE_INPUT_TOKENS] = "gen_ai.usage.input_tokens",
                [GENAI_ATTRIBUTE_OUTPUT_TOKENS] = "gen_ai.usage.output_tokens",
                [GENAI_ATTRIBUTE_FINISH_REASONS] = "gen_ai.response.finish_reasons",
                [GENAI_ATTRIBUTE_TOKEN_TYPE] = "gen_ai.token.type",
                [GENAI_ATTRIBUTE_ERROR_TYPE] = "error.type",
        };

        return names[attribute];
}

const char *genai_operation_to_string(enum genai_operation operation)
{
        return operation == GENAI_TEXT_COMPLETION ? "text_completion" : "chat";
}

const char *genai_provider_to_string(enum genai_provider provider)
{
        return provider == GENAI_OPENAI ? "openai" : "brickd";
}

unsigned genai_error_of(unsigned status, enum stats_class c)
{
        if (c != STATS_CLASS_GOOD)
                return STATS_STATUSES - 1 + c;
        return status;
}

const char *genai_error_to_string(unsigned error)
{
        if (error == 0)
                return "";
        return error < STATS_STATUSES ? grpc_status_to_string(error)
                                      : stats_class_to_string(error - STATS_STATUSES + 1);
}

/* --- places -------------------------------------------------------------------------------------
 */

static uint64_t add_hash(uint64_t hash, const void *bytes, size_t length)
{
        for (const unsigned char *p = bytes; length > 0; p++, length--)
                hash = (hash ^ *p) * UINT64_C(0x100000001b3); /* FNV-1a */
        return hash;
}

/* Not 0, which says that a place is free. */
static uint64_t hash_of(const struct genai_key *key)
{
        const unsigned numbers[] = { key->operation, key->provider, key->error };
        uint64_t hash = add_hash(UINT64_C(0xcbf29ce484222325), numbers, sizeof numbers);

        hash = add_hash(hash, key->request_model, strlen(key->request_model) + 1);
        hash = add_hash(hash, key->response_model, strlen(key->response_model));
        return hash | 1;
}

static void write_model(_Atomic char to[static STATS_MODEL_MAX + 1], const char *model)
{
        size_t i = 0;

        do
                atomic_store_explicit(&to[i], model[i], memory_order_relaxed);
        while (model[i++]);
}

static void read_model(const _Atomic char from[static STATS_MODEL_MAX + 1],
                       char ret[static STATS_MODEL_MAX + 1])
{
        for (size_t i = 0; i < STATS_MODEL_MAX; i++) {
                ret[i] = atomic_load_explicit(&from[i], memory_order_relaxed);
                if (!ret[i])
                        return;
        }
        ret[STATS_MODEL_MAX] = '\0';
}

static bool is_graphic(const char *model)
{
        for (; *model; model++)
                if (*model <= ' ' || *model > '~')
                        return false;
        return true;
}

bool genai_read_key(const struct stats_genai *place, struct genai_key *ret)
{
        if (atomic_load_explicit(&place->hash, memory_order_acquire) == 0)
                return false;
        *ret = (struct genai_key){
                .operation = atomic_load_explicit(&place->operation, memory_order_relaxed),
                .provider = atomic_load_explicit(&place->provider, memory_order_relaxed),
                .error = atomic_load_explicit(&place->error, memory_order_relaxed),
        };
        read_model(place->request_model, ret->request_model);
        read_model(place->response_model, ret->response_model);
        return ret->operation < GENAI_OPERATIONS && ret->provider < GENAI_PROVIDERS &&
               ret->error < GENAI_ERRORS && is_graphic(ret->request_model) &&
               is_graphic(ret->response_model);
}

bool genai_key_equal(const struct genai_key *a, const struct genai_key *b)
{
        return a->operation == b->operation && a->provider == b->provider && a->error == b->error &&
               strcmp(a->request_model, b->request_model) == 0 &&
               strcmp(a->response_model, b->response_model) == 0;
}

struct genai_key genai_key_other(const struct genai_key *key)
{
        return (struct genai_key){
                .operation = key->operation,
                .provider = key->provider,
                .error = key->error,
                .request_model = GENAI_OTHER,
        };
}

static bool has_key(const struct stats_genai *place, const struct genai_key *key)
{
        struct genai_key taken;

        return genai_read_key(place, &taken) && genai_key_equal(&taken, key);
}

static void take(struct stats_genai *place, const struct genai_key *key, uint64_t hash)
{
        atomic_store_explicit(&place->operation, key->operation, memory_order_relaxed);
        atomic_store_explicit(&place->provider, key->provider, memory_order_relaxed);
        atomic_store_explicit(&place->error, key->error, memory_order_relaxed);
        write_model(place->request_model, key->request_model);
        write_model(place->response_model, key->response_model);
        atomic_store_explicit(&place->hash, hash, memory_order_release);
}

/* Among `n` places, which are taken in their order. NULL: all are taken by other keys. */
static struct stats_genai *find(struct stats_genai *places, size_t n, const struct genai_key *key)
{
        uint64_t hash = hash_of(key), taken;

        for (size_t i = 0; i < n; i++) {
                taken = atomic_load_explicit(&places[i].hash, memory_order_relaxed);
                if (taken == 0)
                        take(&places[i], key, hash);
                if (taken == 0 || (taken == hash && has_key(&places[i], key)))
                        return &places[i];
        }
        return NULL;
}

struct stats_genai *genai_place(struct stats_head *head, const struct genai_key *key)
{
        const struct genai_key other = genai_key_other(key);
        struct stats_genai *place = find(head->genai, PLACES_NAMED, key);

        if (place)
                return place;
        place = find(head->genai + PLACES_NAMED, PLACES_OTHER, &other);
        return place ? place : &head->genai[STATS_GENAI - 1];
}

void genai_observe(struct stats_histogram *histogram, enum genai_metric metric, uint64_t value)
{
        const struct genai_metric_spec *spec = &genai_metrics[metric];
        unsigned i = 0;

        while (i < spec->n_bounds && value > spec->bounds[i])
                i++;
        stats_count(&histogram->buckets[i], 1);
        stats_count(&histogram->sum, value);
}

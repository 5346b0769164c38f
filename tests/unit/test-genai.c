/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "manager/tally.h"
#include "shared/genai.h"
#include "util/clock.h"

/* Places for calls to models: as many as there are, whatever clients and servers call their models,
 * and whatever another process writes there. */

static struct conf conf = { .metrics_genai = true };

static struct genai_key key_of(const char *request, const char *response, unsigned error)
{
        struct genai_key key = { .error = error };

        (void)snprintf(key.request_model, sizeof key.request_model, "%s", request);
        (void)snprintf(key.response_model, sizeof key.response_model, "%s", response);
        return key;
}

static struct stats *worker(void)
{
        struct stats *stats;

        assert(stats_attach(&stats, -EBADF, 0, 0) == 0);
        return stats;
}

static struct stats_genai_counters *count(struct stats *stats, const struct genai_key *key,
                                          uint64_t tokens)
{
        struct stats_genai_counters *counters = &genai_place(stats->head, key)->counters;

        genai_observe(&counters->input, GENAI_METRIC_TOKENS, tokens);
        return counters;
}

static const struct tally_genai *find(const struct tally *tally, const struct genai_key *key)
{
        for (size_t i = 0; i < tally->n_genai; i++)
                if (genai_key_equal(&tally->genai[i]->key, key))
                        return tally->genai[i];
        return NULL;
}

static void test_places(void)
{
        _cleanup_(stats_freep) struct stats *stats = worker();
        struct genai_key keys[] = {
                key_of("a", "b", 0),
                key_of("a", "", 0),
                key_of("a", "b", 1),
                key_of("ab", "", 0),
        };
        struct stats_genai *place;
        struct genai_key read;

        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                place = genai_place(stats->head, &keys[i]);
                assert(place == &stats->head->genai[i]);
                assert(genai_place(stats->head, &keys[i]) == place);
                assert(genai_read_key(place, &read) && genai_key_equal(&read, &keys[i]));
        }
        assert(!genai_read_key(&stats->head->genai[ELEMENTSOF(keys)], &read));
}

static void test_many(void)
{
        _cleanup_(stats_freep) struct stats *stats = worker(), *more = worker();
        _cleanup_(tally_freep) struct tally *tally = NULL, *copy = NULL;
        const struct genai_key first = key_of("m0", "", 0), other = key_of(GENAI_OTHER, "", 0);
        char name[16];
        uint64_t sum = 0;

        for (unsigned i = 0; i < 1000; i++) {
                struct genai_key key;

                (void)snprintf(name, sizeof name, "m%u", i);
                key = key_of(name, i % 2 ? name : "", 0);
                (void)count(stats, &key, 1);
                (void)snprintf(name, sizeof name, "n%u", i);
                key = key_of(name, "", 0);
                (void)count(more, &key, 1);
        }
        for (unsigned error = 0; error < GENAI_ERRORS; error++)
                for (unsigned i = 0; i < GENAI_OPERATIONS * GENAI_PROVIDERS; i++) {
                        struct genai_key key = key_of("late", "late", error), read;

                        key.operation = i % GENAI_OPERATIONS;
                        key.provider = i / GENAI_OPERATIONS;
                        assert(genai_read_key(genai_place(stats->head, &key), &read));
                        assert(read.error == error && read.operation == key.operation);
                        assert(read.provider == key.provider);
                        assert(strcmp(read.request_model, GENAI_OTHER) == 0);
                }

        assert(tally_new(&tally) == 0);
        assert(tally_add(tally, &conf, stats, TALLY_DEAD) == 0);
        assert(find(tally, &first) && find(tally, &other));
        for (unsigned i = 0; i < 3; i++)
                assert(tally_add(tally, &conf, more, TALLY_DEAD) == 0);
        assert(tally->n_genai <= STATS_GENAI + 1);
        assert(tally_copy(&copy, tally) == 0 && copy->n_genai == tally->n_genai);
        for (size_t i = 0; i < copy->n_genai; i++)
                sum += stats_get(&copy->genai[i]->counters.input.sum);
        assert(sum == 4000);
        assert(stats_get(&find(copy, &first)->counters.input.sum) == 1);
}

static void test_buckets(void)
{
        _cleanup_(stats_freep) struct stats *stats = worker();
        const struct genai_key key = key_of("m", "", 0);
        struct stats_genai_counters *counters = count(stats, &key, 0);

        (void)count(stats, &key, 1);
        (void)count(stats, &key, 2);
        (void)count(stats, &key, UINT64_C(1) << 40);
        assert(stats_get(&counters->input.buckets[0]) == 2);
        assert(stats_get(&counters->input.buckets[1]) == 1);
        assert(stats_get(&counters->input.buckets[14]) == 1);
        genai_observe(&counters->first, GENAI_METRIC_FIRST, NSEC_PER_MSEC + 1);
        assert(stats_get(&counters->first.buckets[1]) == 1);
        for (unsigned i = 0; i < GENAI_METRICS; i++) {
                const struct genai_metric_spec *spec = &genai_metrics[i];

                assert(spec->n_bounds <= STATS_BUCKETS && spec->bounds[spec->n_bounds - 1] > 0);
                for (unsigned k = 1; k < spec->n_bounds; k++)
                        assert(spec->bounds[k - 1] < spec->bounds[k]);
        }
}

static void test_errors(void)
{
        assert(!*genai_error_to_string(genai_error_of(0, STATS_CLASS_GOOD)));
        for (unsigned status = 1; status < STATS_STATUSES; status++)
                assert(*genai_error_to_string(genai_error_of(status, STATS_CLASS_GOOD)));
        for (unsigned c = 1; c < STATS_CLASSES; c++) {
                unsigned error = genai_error_of(0, c);

                assert(error < GENAI_ERRORS);
                assert(strcmp(genai_error_to_string(error), stats_class_to_string(c)) == 0);
        }
}

/* A brick may write anything into the memory that its worker shares. */
static void test_damage(void)
{
        for (int byte = 1; byte < 256; byte += 2) {
                _cleanup_(stats_freep) struct stats *stats = worker();
                _cleanup_(tally_freep) struct tally *tally = NULL;
                const struct genai_key key = key_of("m", "", 0);

                memset(stats->head->genai, byte, sizeof stats->head->genai);
                assert(genai_place(stats->head, &key));
                assert(tally_new(&tally) == 0);
                assert(tally_add(tally, &conf, stats, TALLY_LIVE) == 0);
                assert(tally->n_genai <= 1);
        }
}

int main(void)
{
        test_places();
        test_many();
        test_buckets();
        test_errors();
        test_damage();
        return 0;
}

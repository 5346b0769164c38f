/* SPDX-License-Identifier: MIT */

/* The memory that workers count in, as both sides see it. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/stats.h"

#define BRICKS 3
#define PORTS 2

static void test_both_sides(void)
{
        _cleanup_(stats_freep) struct stats *ours = NULL, *theirs = NULL;
        _cleanup_close_ int fd = stats_create(BRICKS, PORTS);

        assert(fd >= 0);
        assert(stats_open(&ours, fd, BRICKS, PORTS) == 0);
        assert(stats_attach(&theirs, fd, BRICKS, PORTS) == 0);
        assert(theirs->head != ours->head && theirs->size == ours->size);
        stats_count(&theirs->bricks[BRICKS - 1].counters.methods[4].begun, 7);
        stats_reject(&theirs->ports[1], STATS_REJECTED_QUEUE);
        assert(stats_get(&ours->bricks[BRICKS - 1].counters.methods[4].begun) == 7);
        assert(stats_get(&ours->ports[1].counters.rejected[STATS_REJECTED_QUEUE]) == 1);
        assert((char *)&ours->bricks[BRICKS] == (char *)ours->head + ours->size);
        for (size_t i = 0; i < BRICKS; i++)
                assert((uintptr_t)&ours->bricks[i] % 64 == 0);

        /* a worker cannot take the memory away from under the main process */
        assert(ftruncate(fd, 0) < 0 && errno == EPERM);
}

/* What the main process would misread stays private. */
static void test_other_version(void)
{
        _cleanup_(stats_freep) struct stats *ours = NULL, *larger = NULL, *other = NULL,
                                            *own = NULL;
        _cleanup_close_ int fd = stats_create(BRICKS, PORTS);
        uint64_t layout = STATS_LAYOUT + 1;

        assert(stats_open(&ours, fd, BRICKS, PORTS) == 0);
        assert(stats_attach(&larger, fd, BRICKS + 1, PORTS) == -ESTALE);
        stats_count(&larger->bricks[BRICKS].counters.inner, 1);
        assert(pwrite(fd, &layout, sizeof layout, 0) == sizeof layout);
        assert(stats_attach(&other, fd, BRICKS, PORTS) == -ESTALE);
        stats_count(&other->bricks[0].counters.inner, 1);
        assert(stats_get(&ours->bricks[0].counters.inner) == 0);

        assert(stats_attach(&own, -EBADF, BRICKS, PORTS) == 0);
        stats_count(&own->bricks[0].counters.inner, 1);
        assert(stats_get(&ours->bricks[0].counters.inner) == 0);
}

static void test_histogram(void)
{
        struct stats_histogram h = {};

        for (size_t i = 1; i < STATS_BUCKETS; i++)
                assert(stats_bounds[i - 1] < stats_bounds[i]);
        for (size_t i = 0; i < STATS_BUCKETS; i++) {
                stats_observe(&h, stats_bounds[i]);
                stats_observe(&h, stats_bounds[i] + 1);
        }
        assert(stats_get(&h.buckets[0]) == 1);
        for (size_t i = 1; i < STATS_BUCKETS; i++)
                assert(stats_get(&h.buckets[i]) == 2);
        assert(stats_get(&h.buckets[STATS_BUCKETS]) == 1);
        stats_observe(&h, UINT64_MAX);
        assert(stats_get(&h.buckets[STATS_BUCKETS]) == 2);
}

static void test_classes(void)
{
        static const struct {
                int32_t code;
                const char *name;
        } codes[] = {
                { 12, "unimplemented" }, { 13, "internal" },     { 399, "other" },
                { 400, "client" },       { 499, "client" },      { 500, "server" },
                { 599, "server" },       { 600, "other" },       { 999, "other" },
                { 1000, "general" },     { 1999, "general" },    { 2004, "validation" },
                { 3000, "auth" },        { 4005, "model" },      { 5004, "external" },
                { 6001, "resource" },    { 7004, "network" },    { 8004, "storage" },
                { 9999, "business" },    { 10000, "other" },     { 0, "other" },
                { -1, "other" },         { INT32_MIN, "other" }, { INT32_MAX, "other" },
        };

        for (size_t i = 0; i < ELEMENTSOF(codes); i++)
                assert(strcmp(stats_class_to_string(stats_class_of(codes[i].code)),
                              codes[i].name) == 0);
        for (unsigned i = 0; i < STATS_CLASSES; i++)
                assert(stats_class_to_string(i));
        for (unsigned i = 0; i < STATS_REASONS; i++)
                assert(*stats_reason_to_string(i) && !strchr(stats_reason_to_string(i), ' '));
        for (unsigned i = 0; i < STATS_BUILTIN_METHODS; i++)
                assert(*stats_builtin_to_string(i));
}

static void test_totals(void)
{
        static struct stats_brick_counters one, sum;
        uint64_t calls, failures;

        stats_count(&one.methods[1].ended[0][STATS_CLASS_GOOD], 5);
        stats_count(&one.methods[2].ended[0][STATS_CLASS_MODEL], 2);
        stats_count(&one.methods[2].ended[16][STATS_CLASS_GOOD], 1);
        stats_count_shared(&one.inner);
        stats_count_shared(&one.inner_failed);
        stats_add(&sum, &one, sizeof one);
        stats_add(&sum, &one, sizeof one);
        stats_totals(&sum, &calls, &failures);
        assert(calls == 18 && failures == 8);
        assert(stats_ended(&sum.methods[2]) == 6);
}

static void test_identities(void)
{
        _cleanup_(stats_freep) struct stats *stats = NULL;
        char name[STATS_NAME_MAX + 1], longer[100];

        assert(stats_attach(&stats, -EBADF, 0, 0) == 0);
        assert(stats_identity(stats, "ann") == 0);
        assert(stats_identity(stats, "bob") == 1);
        assert(stats_identity(stats, "ann") == 0);
        memset(longer, 'x', sizeof longer - 1);
        longer[sizeof longer - 1] = '\0';
        assert(stats_identity(stats, longer) == 2 && stats_identity(stats, longer) == 2);
        for (unsigned i = 3; i < STATS_IDENTITIES + 10; i++) {
                (void)snprintf(name, sizeof name, "i%u", i);
                assert(stats_identity(stats, name) ==
                       (i < STATS_IDENTITIES - 1 ? i : STATS_IDENTITIES - 1));
        }
        stats_identity_name(&stats->head->identities[STATS_IDENTITIES - 1], name);
        assert(strcmp(name, STATS_IDENTITY_OTHER) == 0);
}

/* No sum is larger than readers of JSON take, and what no counter can reach is no count. */
static void test_impossible(void)
{
        static struct stats_brick_counters one, sum;
        uint64_t calls, failures;

        stats_count(&one.methods[0].ended[0][STATS_CLASS_GOOD], STATS_MAX);
        stats_count(&one.methods[1].ended[3][STATS_CLASS_GOOD], STATS_MAX - 1);
        stats_count(&one.methods[2].ended[3][STATS_CLASS_GOOD], STATS_MAX + 1);
        stats_count(&one.inner, UINT64_MAX);
        stats_add(&sum, &one, sizeof one);
        stats_add(&sum, &one, sizeof one);
        assert(stats_get(&sum.methods[0].ended[0][STATS_CLASS_GOOD]) == STATS_MAX);
        assert(stats_get(&sum.methods[1].ended[3][STATS_CLASS_GOOD]) == STATS_MAX);
        assert(stats_get(&sum.methods[2].ended[3][STATS_CLASS_GOOD]) == 0);
        assert(stats_get(&sum.inner) == 0);
        stats_totals(&sum, &calls, &failures);
        assert(calls == STATS_MAX && failures <= calls);
}

/* A brick has written where it should not: what is read has still an end. */
static void test_scribbled(void)
{
        _cleanup_(stats_freep) struct stats *stats = NULL;
        char text[STATS_TEXT_MAX + 1], name[STATS_NAME_MAX + 1];

        assert(stats_attach(&stats, -EBADF, BRICKS, PORTS) == 0);
        memset(stats->head, 0xff, stats->size);
        (void)stats_get_health(&stats->bricks[0].health, text);
        assert(*text == '\0');
        stats_identity_name(&stats->head->identities[0], name);
        assert(*name == '\0');
        memset(stats->head, 'x', stats->size);
        atomic_store(&stats->head->identities[1].name[1], '\x1b');
        stats_identity_name(&stats->head->identities[1], name);
        assert(*name == '\0');
        (void)stats_get_health(&stats->bricks[0].health, text);
        assert(strlen(text) <= STATS_TEXT_MAX);
        stats_identity_name(&stats->head->identities[0], name);
        assert(strlen(name) == STATS_NAME_MAX);
}

static struct stats_health health;
static atomic_bool stop;

static void *flap(void *arg)
{
        for (unsigned i = 0; !atomic_load(&stop); i++)
                stats_set_health(&health, i % 2, i % 2 ? "" : i % 4 ? "aaaaaaaaaaaa" : "bbbb");
        return NULL;
}

/* Half of one reason and half of another is none. */
static void test_health(void)
{
        char reason[STATS_TEXT_MAX + 1];
        pthread_t thread;

        assert(stats_get_health(&health, reason) && *reason == '\0');
        assert(pthread_create(&thread, NULL, flap, NULL) == 0);
        for (int i = 0; i < 20000; i++) {
                (void)stats_get_health(&health, reason);
                assert(strcmp(reason, "") == 0 || strcmp(reason, "bbbb") == 0 ||
                       strcmp(reason, "aaaaaaaaaaaa") == 0);
        }
        atomic_store(&stop, true);
        assert(pthread_join(thread, NULL) == 0);
        stats_set_health(&health, false, "gone");
        assert(!stats_get_health(&health, reason) && strcmp(reason, "gone") == 0);
}

int main(void)
{
        test_both_sides();
        test_other_version();
        test_histogram();
        test_classes();
        test_totals();
        test_identities();
        test_impossible();
        test_scribbled();
        test_health();
        return 0;
}

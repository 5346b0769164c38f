/* SPDX-License-Identifier: MIT */

/* Counters of workers that come and go, added up by name. */

#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/node.h"
#include "manager/tally.h"

#define TYPE 5 /* LLM */
#define OUTPUT 2

static struct conf_brick bricks[] = { { .name = "one" }, { .name = "two" }, { .name = "three" } };
static struct conf_port ports[] = { { .listen = "127.0.0.1:1" } };
static struct conf conf = { .bricks = bricks, .n_bricks = 3, .ports = ports, .n_ports = 1 };

static struct stats *worker(void)
{
        struct stats *stats;

        assert(stats_attach(&stats, -EBADF, conf.n_bricks, conf.n_ports) == 0);
        for (size_t i = 0; i < conf.n_bricks; i++)
                atomic_store(&stats->bricks[i].type, TYPE);
        return stats;
}

static const struct tally_brick *find(const struct tally *tally, const char *name)
{
        for (size_t i = 0; i < tally->n_bricks; i++)
                if (strcmp(tally->bricks[i]->name, name) == 0)
                        return tally->bricks[i];
        return NULL;
}

static void test_workers(void)
{
        _cleanup_(tally_freep) struct tally *tally = NULL, *copy = NULL;
        _cleanup_(stats_freep) struct stats *stats = worker(), *empty = NULL;
        struct stats_method *method = &stats->bricks[1].counters.methods[OUTPUT];

        assert(tally_new(&tally) == 0);
        assert(stats_attach(&empty, -EBADF, conf.n_bricks, conf.n_ports) == 0);
        assert(tally_add(tally, &conf, empty, TALLY_DEAD) == 0);
        assert(tally->n_bricks == 0); /* it has made none */

        stats_count(&method->begun, 5);
        stats_count(&method->ended[0][STATS_CLASS_GOOD], 2);
        stats_count(&method->ended[1][STATS_CLASS_GOOD], 1);
        stats_observe(&stats->bricks[1].counters.queue_wait, 1000);
        stats_count_shared(&stats->bricks[1].counters.inner);
        atomic_store(&stats->bricks[1].in_flight, 2);
        atomic_store(&stats->bricks[1].queued, 1);
        stats_set_health(&stats->bricks[1].health, false, "too hot");
        stats_reject(&stats->ports[0], STATS_REJECTED_RATE);
        atomic_store(&stats->ports[0].connections, 4);
        atomic_store(&stats->ports[0].certificate_ends, 1000);
        stats_count(&stats->head->identities[stats_identity(stats, "ann")].requests, 3);

        /* two that died, one that lives, one that does not serve yet */
        for (int i = 0; i < 2; i++)
                assert(tally_add(tally, &conf, stats, TALLY_DEAD) == 0);
        assert(tally_copy(&copy, tally) == 0);
        assert(tally_add(copy, &conf, stats, TALLY_SERVES) == 0);
        assert(tally_add(copy, &conf, stats, TALLY_LIVE) == 0);

        assert(tally->n_bricks == 3 && copy->n_bricks == 3);
        assert(stats_ended(&find(tally, "two")->counters.methods[OUTPUT]) == 6);
        assert(stats_get(&find(tally, "two")->lost[OUTPUT]) == 4);
        assert(!find(tally, "two")->live && find(tally, "two")->in_flight == 0);
        assert(tally->ports[0]->connections == 0 && !tally->ports[0]->live);

        assert(stats_ended(&find(copy, "two")->counters.methods[OUTPUT]) == 12);
        assert(stats_get(&find(copy, "two")->lost[OUTPUT]) == 4);
        assert(stats_observed(&find(copy, "two")->counters.queue_wait) == 4);
        assert(stats_get(&find(copy, "two")->counters.inner) == 4);
        assert(find(copy, "two")->in_flight == 4 && find(copy, "two")->queued == 2);
        assert(find(copy, "two")->sick == 1 && find(copy, "two")->healthy == 0);
        assert(strcmp(find(copy, "two")->reason, "too hot") == 0);
        assert(find(copy, "one")->healthy == 1 && find(copy, "one")->sick == 0);
        assert(stats_get(&copy->ports[0]->counters.rejected[STATS_REJECTED_RATE]) == 4);
        assert(copy->ports[0]->connections == 8);
        assert(tally->ports[0]->certificate_ends == 0 && copy->ports[0]->certificate_ends == 1000);
        assert(copy->n_identities == 2 && strcmp(copy->identities[1].name, "ann") == 0);
        assert(copy->identities[1].requests == 12);
}

#define ROUNDS 1200 /* of two names each: more than there is room for */

/* What nobody has any more makes room in the end; what is configured stays. */
static void test_bounds(void)
{
        _cleanup_(tally_freep) struct tally *tally = NULL;
        static char names[3][32], listen[32]; /* the configuration keeps them */
        char identity[32];

        assert(tally_new(&tally) == 0);
        for (int i = 0; i < ROUNDS; i++) {
                _cleanup_(stats_freep) struct stats *stats = worker();

                for (int k = 0; k < 3; k++) {
                        (void)snprintf(names[k], sizeof names[k], "%s%d", k ? "gone" : "stays",
                                       k ? 2 * i + k : 0);
                        bricks[k].name = names[k];
                }
                (void)snprintf(listen, sizeof listen, "port%d", i);
                ports[0].listen = listen;
                (void)snprintf(identity, sizeof identity, "i%d", i);
                stats_count(&stats->head->identities[stats_identity(stats, identity)].requests, 1);
                stats_count(&stats->bricks[0].counters.methods[1].begun, 1);
                assert(tally_add(tally, &conf, stats, TALLY_DEAD) == 0);
        }
        assert(tally->n_bricks == 2048 && tally->n_ports == 128);
        assert(stats_get(&find(tally, "stays0")->counters.methods[1].begun) == ROUNDS);
        assert(find(tally, "gone2400") && !find(tally, "gone1"));
        assert(tally->n_identities == STATS_IDENTITIES);
        assert(strcmp(tally->identities[0].name, STATS_IDENTITY_OTHER) == 0);
        assert(tally->identities[0].requests == ROUNDS - (STATS_IDENTITIES - 1));
}

/* Whatever is in the memory, the names stay within bounds and no two of a kind are the same. */
static void test_scribbled(void)
{
        _cleanup_(tally_freep) struct tally *tally = NULL;
        _cleanup_(stats_freep) struct stats *stats = worker();

        assert(tally_new(&tally) == 0);
        for (int byte = 0; byte < 256; byte++) {
                memset(stats->head, byte, stats->size);
                atomic_store(&stats->bricks[0].type, TYPE);
                assert(tally_add(tally, &conf, stats, byte % 2 ? TALLY_DEAD : TALLY_SERVES) == 0);
        }
        for (size_t i = 0; i < tally->n_bricks; i++) {
                uint64_t calls, failures;

                stats_totals(&tally->bricks[i]->counters, &calls, &failures);
                assert(calls <= STATS_MAX && failures <= calls);
                assert(tally->bricks[i]->methods < 1 << STATS_METHODS);
        }
        for (size_t i = 0; i < tally->n_identities; i++)
                for (size_t k = 0; k < i; k++)
                        assert(strcmp(tally->identities[i].name, tally->identities[k].name) != 0);
        for (size_t i = 0; i < tally->n_bricks; i++)
                for (size_t k = 0; k < i; k++)
                        assert(tally->bricks[i]->type != tally->bricks[k]->type ||
                               strcmp(tally->bricks[i]->name, tally->bricks[k]->name) != 0);
}

/* Counters that contradict each other are not believed: of that method, and no other. */
static void test_impossible(void)
{
        _cleanup_(tally_freep) struct tally *tally = NULL;
        _cleanup_(stats_freep) struct stats *stats = worker();
        struct stats_method *methods = stats->bricks[0].counters.methods;

        assert(tally_new(&tally) == 0);
        stats_count(&methods[OUTPUT].begun, 3);
        stats_count(&methods[OUTPUT].ended[0][STATS_CLASS_GOOD], 4); /* seen a moment later */
        stats_count(&methods[OUTPUT + 1].begun, 3);
        stats_count(&methods[OUTPUT + 1].ended[0][STATS_CLASS_GOOD], 1000);
        assert(tally_add(tally, &conf, stats, TALLY_DEAD) == 0);
        assert(stats_ended(&tally->bricks[0]->counters.methods[OUTPUT]) == 4);
        assert(stats_ended(&tally->bricks[0]->counters.methods[OUTPUT + 1]) == 0);
        assert(stats_get(&tally->bricks[0]->lost[OUTPUT]) == 0);
        assert(stats_get(&tally->bricks[0]->lost[OUTPUT + 1]) == 0);
}

/* What new connections get: the one that ends first, of the workers that take connections. */
static void test_certificates(void)
{
        _cleanup_(tally_freep) struct tally *tally = NULL;
        const struct {
                uint64_t ends;
                enum tally_kind kind;
                uint64_t shown;
        } workers[] = {
                { 100, TALLY_DEAD, 0 },     { 200, TALLY_LIVE, 0 },     { 0, TALLY_SERVES, 0 },
                { 900, TALLY_SERVES, 900 }, { 500, TALLY_SERVES, 500 }, { 700, TALLY_SERVES, 500 },
        };

        assert(tally_new(&tally) == 0);
        for (size_t i = 0; i < ELEMENTSOF(workers); i++) {
                _cleanup_(stats_freep) struct stats *stats = worker();

                atomic_store(&stats->ports[0].certificate_ends, workers[i].ends);
                assert(tally_add(tally, &conf, stats, workers[i].kind) == 0);
                assert(tally->ports[0]->certificate_ends == workers[i].shown);
        }
}

/* Rows of shared memory have no names: those of the worker's configuration count. */
static void test_backends(void)
{
        static const struct node one = { .kind = NODE_SCALAR, .text = "a:1" };
        static const struct node two = { .kind = NODE_SCALAR, .text = "b:2" };
        const struct node *orders[2][2] = { { &one, &two }, { &two, &one } };
        struct node lists[2], options[2];
        _cleanup_(tally_freep) struct tally *tally = NULL, *copy = NULL;
        const struct tally_backend *backends;

        assert(tally_new(&tally) == 0);
        for (unsigned i = 0; i < 2; i++) {
                const struct node *children[1] = { &lists[i] };
                struct conf_brick brick = { .name = "far",
                                            .module = "remote",
                                            .options = &options[i] };
                const struct conf now = { .bricks = &brick, .n_bricks = 1 };
                _cleanup_(stats_freep) struct stats *stats = NULL;

                lists[i] = (struct node){
                        .kind = NODE_LIST, .key = "to", .children = orders[i], .n_children = 2
                };
                options[i] = (struct node){ .kind = NODE_MAP,
                                            .children = children,
                                            .n_children = 1 };
                assert(stats_attach(&stats, -EBADF, 1, 0) == 0);
                atomic_store(&stats->bricks[0].type, TYPE);
                stats_count(&stats->bricks[0].counters.backends[0].calls, 10 + i);
                stats_count(&stats->bricks[0].counters.backends[1].calls, 100);
                assert(tally_add(tally, &now, stats, TALLY_DEAD) == 0);

                /* of two workers, the worse state is shown; what is no state is not */
                (void)tally_free(copy);
                assert(tally_copy(&copy, tally) == 0);
                atomic_store(&stats->bricks[0].backends[0].state, BACKEND_READY);
                atomic_store(&stats->bricks[0].backends[0].in_flight, 3);
                atomic_store(&stats->bricks[0].backends[1].state, 77);
                assert(tally_add(copy, &now, stats, TALLY_SERVES) == 0);
                atomic_store(&stats->bricks[0].backends[0].state, BACKEND_FAILING);
                assert(tally_add(copy, &now, stats, TALLY_SERVES) == 0);
        }
        assert(find(tally, "far")->n_backends == 2);
        backends = find(tally, "far")->backends;
        assert(strcmp(backends[0].name, "a:1") == 0 &&
               stats_get(&backends[0].counters.calls) == 110);
        assert(strcmp(backends[1].name, "b:2") == 0 &&
               stats_get(&backends[1].counters.calls) == 111);
        assert(!backends[0].live);
        backends = find(copy, "far")->backends;
        assert(backends[1].live && backends[1].state == BACKEND_FAILING);
        assert(backends[1].in_flight == 6);
        assert(backends[0].state == BACKEND_NONE);
        assert(stats_get(&backends[0].counters.calls) == 310);
}

int main(void)
{
        test_backends();
        test_workers();
        test_certificates();
        test_bounds();
        test_scribbled();
        test_impossible();
        return 0;
}

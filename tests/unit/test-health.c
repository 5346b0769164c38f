/* SPDX-License-Identifier: MIT */

/* What a brick says of its health, from many threads, and who hears of it. */

#undef NDEBUG
#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "module/health.h"
#include "util/utf8.h"

#define THREADS 4
#define ROUNDS 20000

static void count(void *user)
{
        (*(unsigned *)user)++; /* under the health's lock */
}

static void test_changes(void)
{
        struct health health = {};
        char reason[HEALTH_REASON_MAX + 1], longer[1024];
        unsigned heard = 0;

        health_init(&health);
        assert(atomic_load(&health.good));
        health_listen(&health, count, &heard);
        assert(!health_set(&health, true, brick_str("")));
        assert(heard == 0);
        assert(health_set(&health, false, brick_str("gone")));
        assert(heard == 1 && !atomic_load(&health.good));
        health_reason(&health, reason);
        assert(strcmp(reason, "gone") == 0);

        /* another reason is no change, but is kept */
        assert(!health_set(&health, false, brick_str("still gone")));
        health_reason(&health, reason);
        assert(heard == 1 && strcmp(reason, "still gone") == 0);

        /* cut, but not inside a character, and not in secret */
        for (size_t i = 0; i < sizeof longer; i += 2)
                memcpy(longer + i, "\xc3\xa9", 2);
        assert(!health_set(&health, false, (struct brick_str){ longer, sizeof longer }));
        health_reason(&health, reason);
        assert(strlen(reason) == HEALTH_REASON_MAX && utf8_valid(reason, strlen(reason)));
        assert(strcmp(reason + HEALTH_REASON_MAX - 5, "\xc3\xa9\xe2\x80\xa6") == 0);
        assert(!health_set(&health, false, brick_str("not \xff UTF-8")));
        health_reason(&health, reason);
        assert(strcmp(reason, "not \xef\xbf\xbd UTF-8") == 0);
        assert(!health_set(&health, false, (struct brick_str){}));

        assert(health_set(&health, true, brick_str("no matter")));
        health_reason(&health, reason);
        assert(heard == 2 && *reason == '\0');
        health_listen(&health, NULL, NULL);
        assert(health_set(&health, false, brick_str("")));
        assert(heard == 2);
        health_done(&health);
}

static struct health shared;

static void *flap(void *arg)
{
        char reason[HEALTH_REASON_MAX + 1];
        unsigned changes = 0;

        for (unsigned i = 0; i < ROUNDS; i++) {
                changes += health_set(&shared, i % 2, brick_str("flapping"));
                health_reason(&shared, reason);
                assert(*reason == '\0' || strcmp(reason, "flapping") == 0);
        }
        *(unsigned *)arg = changes;
        return NULL;
}

/* Each change is heard once, by the thread that made it. */
static void test_threads(void)
{
        unsigned changes[THREADS], heard = 0, sum = 0;
        pthread_t threads[THREADS];

        health_init(&shared);
        health_listen(&shared, count, &heard);
        for (size_t i = 0; i < THREADS; i++)
                assert(pthread_create(&threads[i], NULL, flap, &changes[i]) == 0);
        for (size_t i = 0; i < THREADS; i++) {
                assert(pthread_join(threads[i], NULL) == 0);
                sum += changes[i];
        }
        assert(sum == heard && heard > 0);
        health_done(&shared);
}

int main(void)
{
        test_changes();
        test_threads();
        return 0;
}

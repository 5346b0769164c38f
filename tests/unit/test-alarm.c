/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "fake-pair.h"
#include "module/alarm.h"
#include "util/cleanup.h"
#include "util/clock.h"

/* Alarms ring once each, in the order of their times, and not once they are cleared. */

enum { ALARMS = 300 };

struct bell {
        struct alarm alarm;
        uint64_t at; /* 0: not set */
        unsigned rung;
};

static struct alarms alarms;
static struct bell bells[ALARMS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t last; /* the time of the last one that rang */
static unsigned rung;

static void ring(struct alarm *alarm)
{
        struct bell *bell = CONTAINER_OF(alarm, struct bell, alarm);

        (void)pthread_mutex_lock(&lock);
        assert(bell->at > 0 && clock_now() >= bell->at && bell->at >= last);
        last = bell->at;
        bell->at = 0;
        bell->rung++;
        rung++;
        (void)pthread_mutex_unlock(&lock);
}

static unsigned rung_so_far(void)
{
        unsigned n;

        (void)pthread_mutex_lock(&lock);
        n = rung;
        (void)pthread_mutex_unlock(&lock);
        return n;
}

static void set(struct bell *bell, uint64_t at)
{
        bell->at = at;
        alarm_set(&alarms, &bell->alarm, at);
}

/* All are set, moved and cleared before the thread runs, so that their order is known. */
static void test_order(struct call *call)
{
        uint64_t begin = clock_now();
        unsigned seed = 1, due = 0;

        for (unsigned i = 0; i < ALARMS; i++)
                bells[i].alarm = (struct alarm){ .call = call, .ring = ring };
        for (unsigned i = 0; i < 20 * ALARMS; i++) {
                struct bell *bell = &bells[(unsigned)rand_r(&seed) % ALARMS];

                if (rand_r(&seed) % 3 > 0) {
                        set(bell, begin + (uint64_t)rand_r(&seed) % (20 * NSEC_PER_MSEC));
                } else {
                        alarm_clear(&alarms, &bell->alarm);
                        bell->at = 0;
                }
        }
        for (unsigned i = 0; i < ALARMS; i++)
                due += bells[i].at > 0;
        assert(alarms_start(&alarms) == 0);
        while (rung_so_far() < due)
                (void)usleep(1000);
        for (unsigned i = 0; i < ALARMS; i++)
                assert(bells[i].at == 0 && bells[i].rung <= 1);
        assert(rung == due && !alarms.first);
}

/* One that is set while the thread waits for a later one. */
static void test_earlier(void)
{
        uint64_t begin = clock_now();

        rung = 0;
        last = 0;
        set(&bells[0], begin + 3600 * NSEC_PER_SEC);
        (void)usleep(2000);
        set(&bells[1], begin + 1);
        while (rung_so_far() < 1)
                (void)usleep(1000);
        assert(bells[1].at == 0 && bells[0].at > 0);
        alarm_clear(&alarms, &bells[0].alarm);
}

int main(void)
{
        struct wire *wire;

        runner_enter(NULL, NULL);
        wire = parent_new();
        alarms_init(&alarms);
        test_order(&wire->call);
        test_earlier();
        alarms_done(&alarms);
        parent_finish(wire);
        return 0;
}

/* SPDX-License-Identifier: MIT */

/* The token budgets of shared/quota.h. */

#undef NDEBUG
#include <assert.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/quota-own.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define NOON INT64_C(1796040000) /* 2026-11-30T12:00:00Z */
#define DAY INT64_C(86400)

static struct quota *main_process;

static struct quota *worker_in(uint32_t row)
{
        struct quota *quota = NULL;

        assert(quota_open(&quota, quota_fd(main_process), row) == 0);
        return quota;
}

static struct quota *worker(void)
{
        uint32_t row;

        assert(quota_take_row(main_process, &row) == 0);
        return worker_in(row);
}

static struct quota_budget budget(const char *name, uint64_t minute, uint64_t day, uint64_t month)
{
        return (struct quota_budget){ .key = quota_key(name), .limits = { minute, day, month } };
}

static uint64_t used(const char *name, enum window window, int64_t now)
{
        struct quota_used all[WINDOWS];
        uint64_t reserved;

        quota_get_used(main_process, quota_key(name), now, all, &reserved);
        return all[window].tokens;
}

static uint64_t reserved(const char *name)
{
        struct quota_used all[WINDOWS];
        uint64_t n;

        quota_get_used(main_process, quota_key(name), NOON, all, &n);
        return n;
}

static bool reserve(struct quota *quota, const struct quota_budget *b, uint64_t n, int64_t now)
{
        struct quota_shortage shortage;
        uint32_t slot;

        return quota_reserve(quota, b, n, now, &slot, &shortage);
}

/* A call that reserves as much as it uses. */
static bool use(struct quota *quota, const struct quota_budget *b, uint64_t n, int64_t now)
{
        struct quota_shortage shortage;
        uint32_t slot;

        if (!quota_reserve(quota, b, n, now, &slot, &shortage))
                return false;
        quota_spend(quota, slot, n, n, now);
        return true;
}

static void test_windows(void)
{
        _cleanup_(quota_freep) struct quota *quota = worker();
        const struct quota_budget b = budget("windows", 100, 250, 400);

        assert(use(quota, &b, 100, NOON) && !use(quota, &b, 1, NOON) &&
               !use(quota, &b, 1, NOON + 59));
        assert(use(quota, &b, 100, NOON + 60) && !use(quota, &b, 51, NOON + 120));
        assert(use(quota, &b, 50, NOON + 120) && !use(quota, &b, 1, NOON + 180));
        /* The next day is in the next month; the one after it not. */
        assert(used("windows", WINDOW_MONTH, NOON) == 250);
        assert(use(quota, &b, 100, NOON + DAY) && use(quota, &b, 100, NOON + DAY + 60));
        assert(used("windows", WINDOW_MONTH, NOON + DAY) == 200);
        assert(use(quota, &b, 100, NOON + 2 * DAY) && use(quota, &b, 100, NOON + 2 * DAY + 60));
        assert(!use(quota, &b, 1, NOON + 3 * DAY) && use(quota, &b, 1, NOON + 40 * DAY));
}

/* The reason is that of the window which is the longest in the way. */
static void test_shortage(void)
{
        _cleanup_(quota_freep) struct quota *quota = worker();
        const struct quota_budget b = budget("shortage", 100, 1000, 0);
        struct quota_shortage s;
        uint32_t slot, other;

        assert(quota_reserve(quota, &b, 60, NOON, &slot, &s));
        assert(!quota_reserve(quota, &b, 41, NOON, &other, &s));
        assert(s.kind == SHORTAGE_OF_RESERVED && s.window == WINDOW_MINUTE && s.limit == 100 &&
               s.left == 40 && s.reserved == 60 && s.ends == NOON + 60);
        quota_spend(quota, slot, 60, 970, NOON); /* more than it reserved */
        assert(!quota_reserve(quota, &b, 30, NOON, &other, &s));
        assert(s.kind == SHORTAGE_OF_WINDOW && s.window == WINDOW_MINUTE && s.left == 0 &&
               s.reserved == 0);
        assert(!quota_reserve(quota, &b, 31, NOON, &other, &s));
        assert(s.kind == SHORTAGE_OF_WINDOW && s.window == WINDOW_DAY && s.left == 30 &&
               s.ends == NOON + DAY / 2);
        assert(!quota_reserve(quota, &b, 101, NOON + 60, &other, &s));
        assert(s.kind == SHORTAGE_FOREVER && s.window == WINDOW_MINUTE);
        assert(reserved("shortage") == 0);
        /* No limit, and numbers without end. */
        const struct quota_budget none = budget("none", 0, 0, 0);
        assert(quota_reserve(quota, &none, QUOTA_TOKENS_MAX, NOON, &slot, &s));
        quota_spend(quota, slot, QUOTA_TOKENS_MAX, UINT64_MAX, NOON);
        assert(use(quota, &none, 5, NOON) && used("none", WINDOW_DAY, NOON) == QUOTA_TOKENS_MAX);
}

/* Set back by less than a window, a clock does not give its tokens again; by more, it does. */
static void test_clock(void)
{
        _cleanup_(quota_freep) struct quota *quota = worker();
        const struct quota_budget b = budget("clock", 0, 100, 0);

        assert(use(quota, &b, 100, NOON + DAY / 2));
        assert(!use(quota, &b, 1, NOON + DAY / 2 - 1) && !use(quota, &b, 1, NOON + DAY / 2 + 1));
        assert(use(quota, &b, 100, NOON + 30 * DAY) && use(quota, &b, 100, NOON));
        assert(!use(quota, &b, 1, NOON) && use(quota, &b, 1, NOON + DAY));
        assert(use(quota, &b, 1, INT64_MAX) && use(quota, &b, 1, INT64_MIN) &&
               use(quota, &b, 1, NOON));
}

static void test_death(void)
{
        _cleanup_(quota_freep) struct quota *quota = worker();
        const struct quota_budget b = budget("death", 0, 100, 0);
        uint32_t row;
        int status;
        pid_t pid;

        assert(quota_take_row(main_process, &row) == 0);
        pid = fork();
        assert(pid >= 0);
        if (pid == 0)
                _exit(reserve(worker_in(row), &b, 90, NOON) ? 0 : 1);
        assert(waitpid(pid, &status, 0) == pid && status == 0);
        assert(reserved("death") == 90 && !use(quota, &b, 20, NOON));
        quota_release_row(main_process, row);
        assert(reserved("death") == 0 && use(quota, &b, 100, NOON));
}

static void test_restored(void)
{
        _cleanup_(quota_freep) struct quota *quota = worker();
        const struct quota_budget b = budget("restored", 0, 100, 0);
        struct quota_used was[WINDOWS] = {};
        uint64_t none;

        assert(used("restored", WINDOW_DAY, NOON) == 0);
        quota_get_used(main_process, b.key, NOON, was, &none);
        was[WINDOW_DAY].tokens = 70;
        was[WINDOW_MONTH].tokens = 80;
        quota_set_used(main_process, b.key, was);
        assert(used("restored", WINDOW_MONTH, NOON) == 80);
        assert(!use(quota, &b, 31, NOON) && use(quota, &b, 30, NOON));
        quota_set_used(main_process, b.key, was); /* what has been counted since stays */
        assert(used("restored", WINDOW_DAY, NOON) == 100);
}

/* Budgets that still count are kept, whatever names come. */
static void test_many_names(void)
{
        _cleanup_(quota_freep) struct quota *quota = worker();
        const struct quota_budget b = budget("kept", 0, 100, 0);
        int64_t now = time(NULL);
        uint32_t slot;
        char name[32];

        assert(use(quota, &b, 60, now));
        for (int i = 0; i < QUOTA_IDENTITIES + 100; i++) {
                (void)snprintf(name, sizeof name, "name-%d", i);
                const struct quota_limit limit = quota_limit(name, 1000000, 1, 1);

                assert(quota_enter(quota, &limit, &slot));
                quota_release(quota, slot);
        }
        assert(used("kept", WINDOW_DAY, now) == 60 && !use(quota, &b, 41, now));
}

/* A brick writes whatever it likes: what is read stays within bounds, and what a worker has
 * reserved itself becomes right again. */
static void test_scribbled(void)
{
        _cleanup_(quota_freep) struct quota *own = NULL, *quota = NULL;
        const struct quota_budget b = budget("scribbled", 10, 20, 30);
        struct quota_used all[WINDOWS];
        uint32_t row, other;
        uint64_t n;
        void *p;

        assert(quota_new(&own) == 0);
        assert(quota_take_row(own, &row) == 0 && quota_take_row(own, &other) == 0);
        assert(quota_open(&quota, quota_fd(own), row) == 0);
        p = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, quota_fd(own), 0);
        assert(p != MAP_FAILED);
        for (int byte = 1; byte < 256; byte += 127) {
                memset(p, byte, sizeof(struct shared));
                (void)use(quota, &b, 5, NOON);
                quota_get_used(own, b.key, NOON, all, &n);
                assert(n <= QUOTA_TOKENS_MAX && all[WINDOW_DAY].tokens <= QUOTA_TOKENS_MAX);
                quota_set_used(own, quota_key("another"), all);
                quota_release_row(own, other);
                assert(quota_take_row(own, &other) == 0);
        }
        memset(p, 0, sizeof(struct shared));
        ((struct shared *)p)->rows = 2;
        assert(use(quota, &b, 10, NOON) && !use(quota, &b, 1, NOON));
        (void)munmap(p, sizeof(struct shared));
}

#define THREADS 4
#define ROUNDS 20000
#define LIMIT 1000

static struct quota *quotas[THREADS];
static _Atomic uint64_t spent;

static void *run_thread(void *arg)
{
        struct quota *quota = *(struct quota **)arg;
        const struct quota_budget b = budget("threads", 0, LIMIT, 0);
        struct quota_shortage shortage;
        uint32_t slot;

        for (unsigned i = 0; i < ROUNDS; i++)
                if (quota_reserve(quota, &b, 7, NOON, &slot, &shortage)) {
                        uint64_t n = i % 8 == 0 ? 7 : 0;

                        atomic_fetch_add(&spent, n);
                        quota_spend(quota, slot, 7, n, NOON);
                }
        return NULL;
}

/* Two threads in each of two workers. */
static void test_threads(void)
{
        _cleanup_(quota_freep) struct quota *a = worker(), *b = worker();
        pthread_t threads[THREADS];

        for (int i = 0; i < THREADS; i++) {
                quotas[i] = i % 2 ? a : b;
                assert(pthread_create(&threads[i], NULL, run_thread, &quotas[i]) == 0);
        }
        for (int i = 0; i < THREADS; i++)
                assert(pthread_join(threads[i], NULL) == 0);
        assert(spent <= LIMIT && spent > LIMIT - 7);
        assert(used("threads", WINDOW_DAY, NOON) == spent && reserved("threads") == 0);
}

/* Of the window that has the fewest left. */
static void test_left(void)
{
        _cleanup_(quota_freep) struct quota *quota = worker();
        const struct quota_budget none = budget("left-none", 0, 0, 0);
        const struct quota_budget b = budget("left", 100, 150, 0);
        struct quota_shortage shortage;
        struct quota_left left;
        uint32_t slot;

        assert(!quota_tokens_left(quota, &none, NOON, &left));
        assert(quota_reserve(quota, &b, 30, NOON, &slot, &shortage));
        assert(quota_tokens_left(quota, &b, NOON, &left));
        assert(left.limit == 100 && left.left == 70 && left.reset == 60 * NSEC_PER_SEC);
        quota_spend(quota, slot, 30, 80, NOON);
        assert(quota_tokens_left(quota, &b, NOON + 10, &left));
        assert(left.left == 20 && left.reset == 50 * NSEC_PER_SEC);
        assert(quota_tokens_left(quota, &b, NOON + 60, &left));
        assert(left.limit == 150 && left.left == 70);
        assert(left.reset == (DAY / 2 - 60) * NSEC_PER_SEC);
        assert(quota_reserve(quota, &b, 0, NOON + 60, &slot, &shortage));
        quota_spend(quota, slot, 0, QUOTA_TOKENS_MAX, NOON + 60);
        assert(quota_tokens_left(quota, &b, NOON + 60, &left) && left.left == 0);
}

int main(void)
{
        assert(quota_new(&main_process) == 0);
        test_left();
        test_windows();
        test_shortage();
        test_clock();
        test_death();
        test_restored();
        test_scribbled();
        test_threads();
        test_many_names();
        main_process = quota_free(main_process);
        return 0;
}

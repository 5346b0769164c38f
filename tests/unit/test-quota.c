/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "shared/quota-own.h"
#include "util/clock.h"

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

static void test_rate(void)
{
        _cleanup_(quota_freep) struct quota *quota = worker();
        const struct quota_limit free = quota_limit("free", 0, 1, 0);
        const struct quota_limit limit = quota_limit("rate", 10, 3, 0);
        const uint64_t interval = NSEC_PER_SEC / 10;
        uint64_t now = clock_now();
        struct quota_left left;

        for (int i = 0; i < 1000; i++)
                assert(quota_request(quota, &free, now) == 0);
        assert(!quota_requests_left(quota, &free, now, &left));

        /* A burst, then one at a time. */
        for (unsigned i = 0; i <= 3; i++) {
                assert(quota_requests_left(quota, &limit, now, &left));
                assert(left.limit == 3 && left.left == 3 - i && left.reset == i * interval);
                assert(i == 3 || quota_request(quota, &limit, now) == 0);
        }
        assert(quota_request(quota, &limit, now) == interval);
        assert(quota_request(quota, &limit, now + interval - 1) == 1);
        assert(quota_request(quota, &limit, now + interval) == 0);
        assert(quota_request(quota, &limit, now + interval) == interval);

        /* After a pause there is one burst, not more. */
        now += 100 * NSEC_PER_SEC;
        for (int i = 0; i < 3; i++)
                assert(quota_request(quota, &limit, now) == 0);
        assert(quota_request(quota, &limit, now) > 0);
}

/* What has been counted at a stricter rate is no burden for longer than the new one would make it.
 */
static void test_rate_that_changes(void)
{
        _cleanup_(quota_freep) struct quota *quota = worker();
        const struct quota_limit slow = quota_limit("changes", 0.001, 5, 0);
        const struct quota_limit fast = quota_limit("changes", 100, 1, 0);
        uint64_t now = clock_now();

        for (int i = 0; i < 5; i++)
                assert(quota_request(quota, &slow, now) == 0);
        assert(quota_request(quota, &slow, now) == 1000 * NSEC_PER_SEC);
        assert(quota_request(quota, &fast, now) == NSEC_PER_SEC / 100);
        assert(quota_request(quota, &fast, now + NSEC_PER_SEC / 100) == 0);
}

static void test_concurrency(void)
{
        _cleanup_(quota_freep) struct quota *quota = worker();
        const struct quota_limit limit = quota_limit("calls", 0, 1, 2);
        const struct quota_limit other = quota_limit("other", 0, 1, 1);
        uint32_t a, b, c;

        for (int i = 0; i < 3; i++) {
                assert(quota_enter(quota, &limit, &a) && quota_enter(quota, &limit, &b));
                assert(!quota_enter(quota, &limit, &c));
                assert(quota_enter(quota, &other, &c));
                quota_release(quota, c);
                quota_release(quota, a);
                assert(quota_enter(quota, &limit, &c) && !quota_enter(quota, &limit, &a));
                quota_release(quota, b);
                quota_release(quota, c);
        }
}

/* Another process that takes what there is and dies. */
static pid_t run_worker(uint32_t row, const struct quota_limit *limit, unsigned expected)
{
        pid_t pid = fork();
        uint32_t slot;
        unsigned n = 0;

        assert(pid >= 0);
        if (pid == 0) {
                struct quota *quota = worker_in(row);

                while (quota_enter(quota, limit, &slot))
                        n++;
                _exit(n == expected ? 0 : 1);
        }
        return pid;
}

static void wait_for(pid_t pid)
{
        int status;

        assert(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_death(void)
{
        _cleanup_(quota_freep) struct quota *quota = worker();
        const struct quota_limit limit = quota_limit("death", 0, 1, 5);
        uint32_t mine, slot, row;

        assert(quota_enter(quota, &limit, &mine));
        for (int i = 0; i < 3; i++) {
                assert(quota_take_row(main_process, &row) == 0);
                wait_for(run_worker(row, &limit, 4));
                assert(!quota_enter(quota, &limit, &slot));
                quota_release_row(main_process, row);
        }
        for (int i = 0; i < 4; i++)
                assert(quota_enter(quota, &limit, &slot));
        assert(!quota_enter(quota, &limit, &slot));
        for (int i = 0; i < 5; i++)
                quota_release(quota, mine);
}

static void test_rows(void)
{
        _cleanup_(quota_freep) struct quota *own = NULL;
        struct quota *none = NULL;
        uint32_t row, n = 0, last = 0;

        assert(quota_new(&own) == 0);
        for (; quota_take_row(own, &row) == 0; last = row)
                assert(row == n++);
        assert(n == QUOTA_WORKERS && quota_take_row(own, &row) == -EUSERS);
        quota_release_row(own, 7);
        assert(quota_take_row(own, &row) == 0 && row == 7);
        assert(quota_open(&none, quota_fd(own), QUOTA_WORKERS) == -EINVAL && !none);
        assert(quota_open(&none, quota_fd(own), last) == 0);
        none = quota_free(none);
}

static uint32_t *map_all(struct quota *quota, size_t *ret_size)
{
        struct stat st;
        void *p;

        assert(fstat(quota_fd(quota), &st) == 0);
        *ret_size = (size_t)st.st_size;
        p = mmap(NULL, *ret_size, PROT_READ | PROT_WRITE, MAP_SHARED, quota_fd(quota), 0);
        assert(p != MAP_FAILED);
        return p;
}

/* Of an identity, the calls in each worker's row. */
static _Atomic uint32_t *counts_of(uint32_t *p, uint32_t slot)
{
        return ((struct shared *)(void *)p)->calls[slot];
}

/* A brick writes whatever it likes: nothing is done outside of the memory, nor without an end. */
static void test_scribbled(void)
{
        const struct quota_limit limit = quota_limit("scribbled", 10, 5, 2);
        _cleanup_(quota_freep) struct quota *own = NULL, *quota = NULL;
        uint32_t row, other, slot, *p;
        size_t size;

        assert(quota_new(&own) == 0);
        assert(quota_take_row(own, &row) == 0 && quota_take_row(own, &other) == 0);
        assert(quota_open(&quota, quota_fd(own), row) == 0);
        p = map_all(own, &size);
        for (int byte = 1; byte < 256; byte += 127) {
                memset(p, byte, size);
                if (quota_enter(quota, &limit, &slot))
                        quota_release(quota, slot);
                (void)quota_request(quota, &limit, clock_now());
                quota_release_row(own, other);
                assert(quota_take_row(own, &other) == 0);
        }
        (void)munmap(p, size);
}

/* All of it: once its worker is gone and each of the others has had a call, all is as before. */
static void test_overwritten(void)
{
        const struct quota_limit limit = quota_limit("overwritten", 10, 5, 3);
        _cleanup_(quota_freep) struct quota *own = NULL, *a = NULL, *b = NULL;
        uint32_t rows[3], slot, *p;
        size_t size;

        assert(quota_new(&own) == 0);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert(quota_take_row(own, &rows[i]) == 0);
        assert(quota_open(&a, quota_fd(own), rows[0]) == 0);
        assert(quota_open(&b, quota_fd(own), rows[1]) == 0);
        p = map_all(own, &size);
        for (int byte = 0x80; byte < 256; byte += 0x7f) { /* times that no rate can come to */
                memset(p, byte, size);
                quota_release_row(own, rows[2]);
                for (int i = 0; i < 2; i++) {
                        if (quota_enter(a, &limit, &slot))
                                quota_release(a, slot);
                        if (quota_enter(b, &limit, &slot))
                                quota_release(b, slot);
                }
                assert(quota_enter(a, &limit, &slot) && quota_enter(b, &limit, &slot));
                assert(quota_enter(b, &limit, &slot) && !quota_enter(a, &limit, &slot));
                quota_release(a, slot);
                quota_release(b, slot);
                quota_release(b, slot);
                (void)quota_request(a, &limit, clock_now());
                assert(quota_request(a, &limit, clock_now() + NSEC_PER_SEC) == 0);
        }
        (void)munmap(p, size);
}

/* What it has written outside of its own row is undone when its worker is gone, unless the row is
 * one that another worker has. */
static void test_healed(void)
{
        const struct quota_limit limit = quota_limit("healed", 0, 1, 2);
        _cleanup_(quota_freep) struct quota *own = NULL, *quota = NULL, *liar = NULL;
        uint32_t rows[3], slot, *p;
        size_t size;

        assert(quota_new(&own) == 0);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert(quota_take_row(own, &rows[i]) == 0);
        quota_release_row(own, rows[2]);
        assert(quota_open(&quota, quota_fd(own), rows[0]) == 0);
        assert(quota_open(&liar, quota_fd(own), rows[2]) == 0); /* nobody has given it that row */
        p = map_all(own, &size);

        assert(quota_enter(quota, &limit, &slot) && quota_enter(liar, &limit, &slot));
        assert(!quota_enter(quota, &limit, &slot));
        p[0] = 0; /* rows */
        assert(quota_enter(quota, &limit, &slot));
        quota_release_row(own, rows[1]);
        assert(p[0] == ELEMENTSOF(rows));
        assert(!quota_enter(quota, &limit, &slot));
        quota_release(quota, slot);
        assert(quota_enter(quota, &limit, &slot) && !quota_enter(quota, &limit, &slot));

        /* its own counts, with its next call */
        counts_of(p, slot)[rows[0]] = 0x80000000;
        quota_release(quota, slot);
        assert(counts_of(p, slot)[rows[0]] == 1);
        assert(quota_enter(quota, &limit, &slot) && !quota_enter(quota, &limit, &slot));
        (void)munmap(p, size);
}

/* Names come and go for years: those with nothing to remember make room. */
static void test_many_names(void)
{
        _cleanup_(quota_freep) struct quota *quota = worker();
        const struct quota_limit kept = quota_limit("kept", 0, 1, 1);
        uint32_t slot, other;
        char name[32];

        assert(quota_enter(quota, &kept, &slot));
        for (int i = 0; i < 3 * QUOTA_IDENTITIES; i++) {
                (void)snprintf(name, sizeof name, "name-%d", i);
                const struct quota_limit limit = quota_limit(name, 1000000, 1, 1);

                assert(quota_request(quota, &limit, clock_now()) == 0);
                assert(quota_enter(quota, &limit, &other));
                quota_release(quota, other);
        }
        assert(!quota_enter(quota, &kept, &other));
        quota_release(quota, slot);
        assert(quota_enter(quota, &kept, &slot));
        quota_release(quota, slot);
}

/* All slots are in use: nobody gets in uncounted. */
static void test_full(void)
{
        _cleanup_(quota_freep) struct quota *quota = worker();
        static uint32_t slots[QUOTA_IDENTITIES];
        const struct quota_limit late = quota_limit("late", 1, 1, 1);
        uint32_t slot;
        char name[32];

        for (int i = 0; i < QUOTA_IDENTITIES; i++) {
                (void)snprintf(name, sizeof name, "full-%d", i);
                const struct quota_limit limit = quota_limit(name, 0, 1, 1);

                assert(quota_enter(quota, &limit, &slots[i]));
        }
        assert(!quota_enter(quota, &late, &slot));
        assert(quota_request(quota, &late, clock_now()) > 0);
        for (int i = 0; i < QUOTA_IDENTITIES; i++)
                quota_release(quota, slots[i]);
        assert(quota_enter(quota, &late, &slot));
        quota_release(quota, slot);
}

#define THREADS 4
#define ROUNDS 20000

static atomic_uint inside, most, passed;
static uint64_t stands_still; /* so the burst is all there is */
static struct quota *threads_quota[THREADS];

static void *run_thread(void *arg)
{
        struct quota *quota = *(struct quota **)arg;
        const struct quota_limit limit = quota_limit("threads", 1000, 100, 2);
        uint32_t slot;

        for (int i = 0; i < ROUNDS; i++) {
                if (quota_request(quota, &limit, stands_still) == 0)
                        atomic_fetch_add(&passed, 1);
                if (quota_enter(quota, &limit, &slot)) {
                        unsigned n = atomic_fetch_add(&inside, 1) + 1, seen = atomic_load(&most);

                        while (n > seen && !atomic_compare_exchange_weak(&most, &seen, n))
                                ;
                        atomic_fetch_sub(&inside, 1);
                        quota_release(quota, slot);
                }
        }
        return NULL;
}

static void test_threads(void)
{
        pthread_t threads[THREADS];

        stands_still = clock_now();
        for (int i = 0; i < THREADS; i++) {
                threads_quota[i] = worker();
                assert(pthread_create(&threads[i], NULL, run_thread, &threads_quota[i]) == 0);
        }
        for (int i = 0; i < THREADS; i++) {
                assert(pthread_join(threads[i], NULL) == 0);
                (void)quota_free(threads_quota[i]);
        }
        assert(atomic_load(&passed) == 100);
        assert(atomic_load(&most) >= 1 && atomic_load(&most) <= 2);
}

int main(void)
{
        assert(quota_new(&main_process) == 0);
        assert(quota_key("a") != quota_key("b") && quota_key("web") == quota_key("web"));
        /* The first two need nearly all slots: nothing may be left in them of the others. */
        test_full();
        test_many_names();
        test_threads();
        test_rate();
        test_rate_that_changes();
        test_concurrency();
        test_death();
        test_rows();
        test_scribbled();
        test_healed();
        test_overwritten();
        main_process = quota_free(main_process);
        return 0;
}

/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <time.h>

#include "util/line-limit.h"

static void wait_out(const struct line_limit *limit)
{
        const struct timespec time = { .tv_nsec = (long)limit->interval };

        (void)nanosleep(&time, NULL);
}

/* Every line passes or is reported, once. */
static void test_report(void)
{
        struct line_limit limit;
        unsigned passed = 0;

        line_limit_init(&limit, 3, NSEC_PER_SEC / 2);
        for (int i = 0; i < 10; i++)
                passed += line_limit_pass(&limit);
        assert(passed >= 3);
        wait_out(&limit);
        assert(line_limit_left_out(&limit) == 10 - passed);
        assert(line_limit_left_out(&limit) == 0);
        assert(line_limit_pass(&limit));
        line_limit_done(&limit);
}

static void test_take(void)
{
        static struct line_limit limit = LINE_LIMIT_INIT;

        assert(line_limit_take(&limit) == 0);
        assert(line_limit_take(&limit) == -1);
        assert(line_limit_left_out(&limit) == 0); /* its time is not over */
        limit.interval = 1;
        wait_out(&limit);
        assert(line_limit_take(&limit) == 1);
}

int main(void)
{
        test_report();
        test_take();
        return 0;
}

/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <sys/wait.h>

#include "shared/balance.h"

#define WORKERS 3

static struct balance *main_process;

static struct balance *worker(unsigned number)
{
        struct balance *balance = NULL;

        assert(balance_open(&balance, balance_fd(main_process), number) == 0);
        return balance;
}

/* Who has the fewest, and those close to it, take the next. */
static void test_shares(void)
{
        _cleanup_(balance_freep) struct balance *a = worker(0), *b = worker(1), *c = worker(2);

        assert(!balance_is_ahead(a, 1000)); /* nobody else is there */
        balance_join(a);
        assert(!balance_is_ahead(a, 1000));
        balance_join(b);
        assert(!balance_is_ahead(a, 0) && balance_is_ahead(a, 1));
        balance_count(a, 1);
        assert(!balance_is_ahead(b, 1) && balance_is_ahead(b, 2));
        balance_count(b, 15);
        assert(!balance_is_ahead(a, 16) && balance_is_ahead(a, 17));
        balance_count(b, 1600);
        assert(!balance_is_ahead(a, 1700) && balance_is_ahead(a, 1710));
        balance_join(c);
        assert(balance_is_ahead(a, 1) && balance_is_ahead(b, 1600) && !balance_is_ahead(c, 1));
        balance_pause(c);
        assert(!balance_is_ahead(a, 1) && !balance_is_ahead(b, 1));
        balance_pause(a);
        balance_pause(b);
}

/* Whatever others have written there, nothing overflows. */
static void test_nonsense(void)
{
        _cleanup_(balance_freep) struct balance *a = worker(0), *b = worker(1);

        balance_join(a);
        balance_join(b);
        balance_count(a, UINT32_MAX);
        assert(balance_is_ahead(a, UINT32_MAX) && !balance_is_ahead(b, UINT32_MAX));
        balance_count(b, UINT32_MAX);
        assert(!balance_is_ahead(a, 0) && !balance_is_ahead(a, UINT32_MAX));
        balance_forget(main_process, 0);
        balance_forget(main_process, 1);
}

/* The place of a process that has died is nobody's until the next has joined. */
static void test_death(void)
{
        _cleanup_(balance_freep) struct balance *a = worker(0);
        struct balance *b;
        int status;
        pid_t pid = fork();

        assert(pid >= 0);
        if (pid == 0) {
                b = worker(1);
                balance_join(b);
                balance_count(b, 5);
                _exit(0);
        }
        assert(waitpid(pid, &status, 0) == pid && status == 0);
        assert(balance_is_ahead(a, 6) && !balance_is_ahead(a, 5));
        balance_forget(main_process, 1);
        assert(!balance_is_ahead(a, 6));
        b = worker(1);
        balance_join(b);
        assert(balance_is_ahead(a, 1));
        b = balance_free(b);
        balance_forget(main_process, 1);
}

int main(void)
{
        struct balance *none = NULL;

        assert(balance_new(&main_process, WORKERS) == 0);
        assert(balance_open(&none, balance_fd(main_process), WORKERS) == -EINVAL);
        assert(balance_open(&none, -1, 0) == -EBADF && !none);
        test_shares();
        test_nonsense();
        test_death();
        main_process = balance_free(main_process);
        return 0;
}
